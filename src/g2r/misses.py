"""What a bot had no reply to: an append-only log beside it, from which `g2r grow` learns."""

import json
import queue
import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from math import inf
from pathlib import Path

from g2r.bank.log import append_lines
from g2r.dialogue import Context
from g2r.errors import ArtifactError, InputError

MISSES_FILE = "misses.jsonl"
PROPOSALS_FILE = "proposals.jsonl"
_MOST_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class Miss:
    """A conversation that the bot abstained from.

    Attributes:
        turns: the conversation; () where texts are not kept.
        response_id: the best candidate, which was not said; None if the rules left none.
        score: of that candidate.
        confidence: of that candidate; None for a bot without calibration.
        bank_version: of the bank that had no reply.
        fallback: what was answered instead: none, line or llm.
        proposed: the LLM's answer, a proposal for the bank; "" where there is none or texts are not kept.
        source: who wrote it.
        at: when, UTC.
    """

    turns: Context = ()
    response_id: str | None = None
    score: float | None = None
    confidence: float | None = None
    bank_version: str = ""
    fallback: str = "none"
    proposed: str = ""
    source: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


class MissLog:
    """Writes misses in a thread of its own: all that wait go to disk together, in one write and one fsync.

    Whoever adds a miss never waits for the disk. A kill can cost the misses that wait, never a line that was
    written; an unfinished last line is cut off by the next write.
    """

    def __init__(self, path: Path, *, most_bytes: float = inf, lost: Callable[[int, str], None]) -> None:
        """Write to `path` until it has `most_bytes`; `lost` is told how many misses could not be kept, and why."""
        self.path = path
        self._most_bytes = most_bytes
        self._lost = lost
        self._waiting: queue.Queue[Miss | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="g2r-misses", daemon=True)
        self._thread.start()

    def add(self, miss: Miss) -> None:
        """Have a miss written soon."""
        try:
            self._waiting.put_nowait(miss)
        except queue.Full:
            self._lost(1, f"{_MOST_WAITING} wait to be written already")

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            open_ = None not in batch
            self._write([miss for miss in batch if miss is not None])

    def _write(self, misses: list[Miss]) -> None:
        lines = [json.dumps(asdict(miss), ensure_ascii=False) for miss in misses]
        there = self.path.stat().st_size if self.path.is_file() else 0
        sizes = accumulate(len(line.encode(errors="replace")) + 1 for line in lines)
        fitting = lines[: bisect_right(list(sizes), self._most_bytes - there)]
        if len(fitting) < len(lines):
            self._lost(
                len(lines) - len(fitting),
                f"{self.path} would have more than {self._most_bytes} bytes; move it away, then misses are kept again",
            )
        if not fitting:
            return
        try:
            append_lines(self.path, fitting)
        except ArtifactError as error:
            self._lost(len(fitting), str(error))


def read_misses(path: Path) -> list[Miss]:
    """The misses in a log, oldest first; a last line without its end, cut short by a kill, is left out.

    Raises:
        InputError: there is no such file, or a whole line is no miss.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"no misses in {path}: {error.strerror}; expected what g2r serve wrote while the bot abstained"
        ) from error
    misses = []
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            values = json.loads(line)
            misses.append(Miss(**{**values, "turns": tuple(values["turns"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}, line {number}, is no miss ({error}); mend or remove that line"
            ) from error
    return misses
