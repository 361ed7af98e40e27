"""Cold start: from the start of a process to its first reply, with the memory it takes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from g2r.errors import InputError
from g2r.latency.rounds import Record

_FIRST_TURN = "hi, how are you today?"
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024
"""What the system counts the greatest resident size of a process in."""


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """One way to start a bot, several times; files were read before and stand in the system's cache.

    Attributes:
        command: of the command line.
        seconds: to the first reply, each time.
        peak_bytes: the most physical memory the process held, mapped files included; the median of all times.
    """

    command: str
    seconds: tuple[float, ...]
    peak_bytes: int


def measure_cold_starts(bot: Path, *, times: int, record: Record) -> list[ColdStarts]:
    """Start `g2r reply` and `g2r chat` on a bot in turns, after one of each that does not count.

    Raises:
        InputError: a process gave no reply; the message has its own.
    """
    given = {"reply": json.dumps([_FIRST_TURN]), "chat": _FIRST_TURN + "\n"}
    starts: dict[str, list[tuple[float, int]]] = {command: [] for command in given}
    for turn in range(times + 1 if times else 0):
        for command, text in given.items():
            seconds, peak = first_reply([sys.executable, "-m", "g2r", command, str(bot)], text)
            if turn:
                starts[command].append((seconds, peak))
                record({"what": "cold start", "command": command, "seconds": seconds, "peak_bytes": peak})
    return [
        ColdStarts(
            f"g2r {command}",
            tuple(seconds for seconds, _ in own),
            sorted(peak for _, peak in own)[len(own) // 2],
        )
        for command, own in starts.items()
        if own
    ]


def first_reply(command: Sequence[str], text: str) -> tuple[float, int]:
    """Seconds from the start of a process to its first line of output, and its greatest resident size in bytes.

    Args:
        command: the process, with its arguments.
        text: its standard input; a process that goes on after its first line comes to the end of it there.

    Raises:
        InputError: it ended without a line.
    """
    with TemporaryFile("w+") as given, TemporaryFile("w+") as errors:
        given.write(text)
        given.seek(0)
        start = time.perf_counter()
        with subprocess.Popen(
            command, stdin=given, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            seconds = time.perf_counter() - start
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().strip()
    if not line.strip():
        raise InputError(
            f"{' '.join(command)} gave no reply: {said.splitlines()[-1] if said else 'it said nothing'}"
        )
    return seconds, used.ru_maxrss * _KIBIBYTE
