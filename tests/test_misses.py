"""The log of misses: nothing that was written is lost, whatever kills the writer."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from g2r.bank.log import locked
from g2r.errors import InputError
from g2r.misses import Miss, MissLog, read_misses

WRITER = """
import sys
import time
from pathlib import Path
from g2r.misses import Miss, MissLog
log = MissLog(Path(sys.argv[1]), lost=lambda count, why: sys.exit(why))
for number in range(9000):
    log.add(Miss(turns=("hi", f"{sys.argv[2]} {number} " + "x" * (number % 50) * 100)))
sys.stdin.read()
"""
MARKS = ("first", "second", "third")


def test_misses_are_read_as_they_were_written(tmp_path: Path):
    file = tmp_path / "misses.jsonl"
    misses = [
        Miss(("hi", "wie geht’s?\u2028 ok"), "0123456789abcdef", 0.5, 0.25, "bank", "llm", "good", "model"),
        Miss(score=-1.0),
    ]
    log = MissLog(file, lost=lambda count, why: pytest.fail(why))
    for miss in misses:
        log.add(miss)
    log.close()
    assert read_misses(file) == misses
    again = MissLog(file, lost=lambda count, why: pytest.fail(why))
    again.add(misses[0])
    again.close()
    assert read_misses(file) == [*misses, misses[0]]


def numbers_of(mark: str, file: Path) -> list[int]:
    """What a writer wrote, by its own count."""
    said = [miss.turns[1].split()[:2] for miss in read_misses(file)] if file.is_file() else []
    return [int(number) for who, number in said if who == mark]


def test_a_killed_writer_leaves_whole_lines_in_order_and_the_next_goes_on(tmp_path: Path):
    file = tmp_path / "misses.jsonl"
    for mark in MARKS:
        command = [sys.executable, "-c", WRITER, str(file), mark]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as writer:
            while not numbers_of(mark, file):
                time.sleep(0.001)
            writer.send_signal(signal.SIGKILL)
    for mark in MARKS:
        assert numbers_of(mark, file) == list(range(len(numbers_of(mark, file))))
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rindex(b"\n") + 1] + b'{"turns": ["torn')
    before = len(read_misses(file))
    log = MissLog(file, lost=lambda count, why: pytest.fail(why))
    log.add(Miss(("after",)))
    log.close()
    assert [miss.turns for miss in read_misses(file)[before:]] == [("after",)]
    assert all(json.loads(line) for line in file.read_bytes().splitlines())


def test_where_nothing_can_be_written_the_loss_is_told_and_nobody_waits(tmp_path: Path):
    lost: list[tuple[int, str]] = []
    log = MissLog(tmp_path / "gone" / "misses.jsonl", lost=lambda *told: lost.append(told))
    for _ in range(5):
        log.add(Miss())
    log.close()
    assert sum(count for count, _ in lost) == 5
    assert "cannot write" in lost[0][1]


@pytest.mark.parametrize("line", ["{", "[]", '{"turns": 5}', '{"no": 1}'])
def test_a_line_that_is_no_miss_is_named(tmp_path: Path, line: str):
    file = tmp_path / "misses.jsonl"
    file.write_text('{"turns": []}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2, is no miss"):
        read_misses(file)
    with pytest.raises(InputError, match="no misses in"):
        read_misses(tmp_path / "none.jsonl")


def test_what_waits_while_the_disk_is_slow_is_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), real(handle))[1])
    log = MissLog(tmp_path / "misses.jsonl", lost=lambda count, why: pytest.fail(why))
    with locked(log.path):
        for _ in range(2000):
            log.add(Miss(("hi",)))
    log.close()
    assert len(read_misses(log.path)) == 2000
    assert len(synced) <= 3


def test_a_log_that_is_full_takes_no_more_and_tells_so(tmp_path: Path):
    file, lost = tmp_path / "misses.jsonl", []
    size = len(json.dumps(asdict(Miss(("hi 0",)))).encode()) + 1

    def write(count: int) -> None:
        log = MissLog(file, most_bytes=3 * size + 5, lost=lambda *told: lost.append(told))
        for number in range(count):
            log.add(Miss((f"hi {number}",)))
        log.close()

    write(2)
    assert lost == []
    write(5)
    assert [miss.turns for miss in read_misses(file)] == [("hi 0",), ("hi 1",), ("hi 0",)]
    assert sum(count for count, _ in lost) == 4
    assert f"more than {3 * size + 5} bytes" in lost[-1][1]
    file.rename(tmp_path / "older.jsonl")
    write(1)
    assert len(read_misses(file)) == 1
