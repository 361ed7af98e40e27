"""The real server as a process of its own, on a bot of hashed words: `g2r serve` with no model and no torch.

Start it by hand with `python tests/bot_server.py serve FOLDER --port 0` on a folder that `save_bot` wrote.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g2r.bank import BankContext, BankResponse, ResponseBank
from g2r.bot import Bot
from g2r.config import IndexConfig
from g2r.dialogue import content_id
from g2r.encoder import Vectors
from word_encoder import WordEncoder

KEY = "a key for tests"
DELAY = "BOT_SERVER_DELAY"
TOPICS = ("music", "tea", "rain", "dogs", "cats", "books", "trains", "bread", "snow", "chess")
FORBIDDEN = {"torch", "transformers", "sentence_transformers"}


def word_bot(*, topics: Sequence[str] = TOPICS, source: str = "human") -> Bot:
    """A bot with one response a topic, written for a context of that topic; that of tea is tagged calm."""
    responses = [
        BankResponse(
            content_id(text),
            text,
            (source,),
            (BankContext((f"let us talk about {topic}",)),),
            tags=frozenset({"calm"} if topic == "tea" else set()),
        )
        for topic in topics
        for text in [f"{topic} is what I think about most, by {source}"]
    ]
    index = IndexConfig(response_key=1, context_key=1)
    return Bot.build(WordEncoder(), ResponseBank.from_responses(responses), index=index)


def save_bot(folder: Path, **options: Any) -> Path:
    """Write such a bot into `folder` and return it."""
    word_bot(**options).save(folder)
    return folder


@dataclass
class BotServer:
    """A running server.

    Attributes:
        process: of the server.
        address: where it listens.
        lines: what it wrote to stderr so far.
    """

    process: subprocess.Popen[str]
    address: str
    lines: list[str] = field(default_factory=list)

    def call(
        self, path: str, body: Any = None, *, key: str | None = KEY, timeout: float = 20
    ) -> tuple[int, Any]:
        """Status and JSON of one request: POST if there is a body (bytes as they are, else as JSON), GET if not."""
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def reply(self, *turns: str, **options: Any) -> dict[str, Any]:
        """The reply to a conversation."""
        status, answer = self.call("/reply", {"turns": turns, **options})
        assert status == 200, answer
        return dict(answer)

    def events(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return [json.loads(line) for line in self.lines]

    def stop(self) -> int:
        """End it with SIGTERM and return its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=30)


@contextmanager
def bot_server(
    folder: Path, *options: str, key: str | None = KEY, seconds_a_batch: float = 0
) -> Iterator[BotServer]:
    """Start `g2r serve FOLDER` on a free port; kill it at the end if it still runs."""
    environment = {name: value for name, value in os.environ.items() if name != "G2R_ADMIN_KEY"}
    environment[DELAY] = str(seconds_a_batch)
    if key is not None:
        environment["G2R_ADMIN_KEY"] = key
    command = [sys.executable, __file__, "serve", str(folder), "--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        lines: list[str] = []
        reading = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
        reading.start()
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first, "".join(lines)
            server = BotServer(process, first.split()[-1], lines)
            _await_ready(server)
            yield server
        finally:
            process.kill()
            process.wait()
            reading.join(timeout=5)


def _await_ready(server: BotServer) -> None:
    """Wait until it answers; the socket takes connections from its first line on."""
    for _ in range(100):
        if server.call("/readyz")[0] == 200:
            return
        time.sleep(0.05)
    raise AssertionError("".join(server.lines))


class SlowEncoder(WordEncoder):
    """Takes its time for a batch of contexts, as a large student would."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def encode_contexts(self, contexts: Sequence[Sequence[str]]) -> Vectors:
        time.sleep(self.seconds)
        return super().encode_contexts(contexts)


class _Absent:
    """A finder for which heavy libraries are not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"no {name} for this test", name=name)


def main() -> None:
    sys.meta_path.insert(0, _Absent())
    import g2r.bot
    from g2r.cli import main as command_line

    seconds = float(os.environ.get(DELAY, "0"))
    g2r.bot.open_encoder = lambda folder, **options: SlowEncoder(seconds)
    command_line(sys.argv[1:])


if __name__ == "__main__":
    main()
