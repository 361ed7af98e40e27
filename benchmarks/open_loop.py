"""Open-loop load on a server of this machine, and the server as a process of its own.

Requests leave at Poisson times whether earlier ones were answered or not, and each latency counts from the
moment its request was due: a server that stalls cannot hide it. HTTP is spoken over plain asyncio streams, since
the client shares two cores with the server: a full client library would take as long as the reply.
"""

import asyncio
import http.client
import json
import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

KEY = "a key for benchmarks"
NO_ANSWER = 0
CONTEXTS = (
    ["hi, how are you?"],
    ["hello", "Hi! Good to see you.", "how was your weekend? mine was long and full of rain"],
    ["i just got a new puppy and he chews everything i own"],
    ["do you like music?", "I do, mostly quiet things.", "what do you listen to when you work?"],
    ["my boss moved the deadline again, and now i have to cancel my trip to the lake"],
)


@dataclass
class Outcome:
    """What came of a load.

    Attributes:
        rate: requests a second that were due.
        seconds: from the first request due to the last answer.
        late_ms: milliseconds from due to answer, by HTTP status; status 0 for no answer.
    """

    rate: float
    seconds: float = 0.0
    late_ms: dict[int, list[float]] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[int]:
        return Counter({status: len(values) for status, values in self.late_ms.items()})

    @property
    def achieved(self) -> float:
        """Replies a second."""
        return self.counts[200] / self.seconds if self.seconds else 0.0

    @property
    def refused(self) -> float:
        """Share of 503."""
        return self.counts[503] / max(1, self.counts.total())

    @property
    def errors(self) -> int:
        """Answers that are neither 200 nor 503, missing ones included."""
        return self.counts.total() - self.counts[200] - self.counts[503]

    def percentile(self, share: float, *, status: int = 200) -> float:
        """Latency in milliseconds; infinite where there is none."""
        values = self.late_ms.get(status)
        return float(np.percentile(values, share)) if values else float("inf")

    def line(self) -> str:
        """One row of a table, as HEADER names it."""
        p50, p95, p99 = (self.percentile(share) for share in (50, 95, 99))
        return (
            f"{self.rate:8.1f} {self.achieved:8.1f} {p50:8.1f} {p95:8.1f} {p99:8.1f} "
            f"{self.refused:8.3f} {self.errors:7d}"
        )


HEADER = "    rate achieved      p50      p95      p99  share503  errors"


@dataclass(slots=True)
class _Connections:
    """Connections that are kept open, and taken by whoever is next."""

    host: str
    port: int
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def post(self, request: bytes) -> int:
        """Send a request and return the status, `NO_ANSWER` if the connection broke."""
        try:
            reader, writer = (
                self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
            )
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length_of(head))
        except (OSError, asyncio.IncompleteReadError):
            return NO_ANSWER
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self.idle.append((reader, writer))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        for _, writer in self.idle:
            writer.close()


def _length_of(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def load(
    address: str, *, rate: float, seconds: float, contexts: Sequence[Sequence[str]] = CONTEXTS, seed: int = 0
) -> Outcome:
    """Ask for replies at `rate` a second for `seconds`, at Poisson times; wait for the answers."""
    return asyncio.run(_load(address, rate, seconds, contexts, seed))


async def _load(
    address: str, rate: float, seconds: float, contexts: Sequence[Sequence[str]], seed: int
) -> Outcome:
    host, port = address.removeprefix("http://").split(":")
    connections = _Connections(host, int(port))
    draw = random.Random(seed)
    outcome = Outcome(rate)
    asked: list[asyncio.Task[None]] = []
    start = time.perf_counter()
    due = start + draw.expovariate(rate)
    while due < start + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        request = _request(host, draw.choice(contexts))
        asked.append(asyncio.create_task(_ask(connections, request, due, outcome)))
        due += draw.expovariate(rate)
    await asyncio.gather(*asked)
    outcome.seconds = time.perf_counter() - start
    connections.close()
    return outcome


async def _ask(connections: _Connections, request: bytes, due: float, outcome: Outcome) -> None:
    status = await connections.post(request)
    outcome.late_ms.setdefault(status, []).append(1000 * (time.perf_counter() - due))


def _request(host: str, turns: Sequence[str]) -> bytes:
    body = json.dumps({"turns": turns}).encode()
    head = f"POST /reply HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Server:
    """A server, of ours or another's.

    Attributes:
        address: where it listens.
        process: None if it is another's.
        started: what the log said when it began to serve.
    """

    address: str
    process: subprocess.Popen[str] | None = None
    started: dict[str, Any] = field(default_factory=dict)

    def call(self, path: str, body: Any = None) -> tuple[int, str]:
        """Status and text of one request, `NO_ANSWER` and nothing if there was no answer."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.address + path, data, headers), timeout=30
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, http.client.HTTPException):
            return NO_ANSWER, ""

    @property
    def resident_mib(self) -> float:
        """Memory of the server, by its own metrics."""
        for line in self.call("/metrics")[1].splitlines():
            if line.startswith("g2r_process_resident_memory_bytes "):
                return float(line.split()[1]) / 2**20
        return float("nan")


@contextmanager
def serving(
    bot: Path, options: Sequence[str] = (), *, program: Sequence[str] = (sys.executable, "-m", "g2r")
) -> Iterator[Server]:
    """Start `g2r serve BOT` on a free port of this machine; kill it at the end. `program` is g2r."""
    command = [*program, "serve", str(bot), "--port", "0", *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "G2R_ADMIN_KEY": KEY},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        if not first:
            sys.exit(process.stderr.read())
        server = Server(first.split()[-1], process, _first_event(process.stderr, "serving"))
        draining = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield server
        finally:
            process.kill()
            process.wait()
            draining.wait()


def _first_event(lines: Iterator[str], name: str) -> dict[str, Any]:
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == name:
            return event
    sys.exit(f"the server did not say {name!r}")
