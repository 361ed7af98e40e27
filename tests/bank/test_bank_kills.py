"""Real processes killed in the middle of changing a bank: what was acknowledged is there afterwards."""

import json
import multiprocessing
import random
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from bank_writers import TEXTS, change_for_ever, look_when_asked, make_bank, rebuild_for_ever
from g2r.bank import ResponseBank
from g2r.dialogue import content_id

Acknowledged = list[tuple[str, str, str]]


class Worker:
    """A process, and what it told before it was killed."""

    def __init__(self, work: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["g2r.bank", "g2r.index"])
        self.here, there = context.Pipe()
        self.process: ForkServerProcess = context.Process(target=work, args=(*arguments, there), daemon=True)
        self.process.start()
        there.close()
        self.told: Acknowledged = []

    def hear(self, count: int) -> None:
        self.told += [self.here.recv() for _ in range(count)]

    def kill(self) -> None:
        """SIGKILL, then what was told before it came."""
        self.process.kill()
        self.process.join()
        try:
            while True:
                self.told.append(self.here.recv())
        except (EOFError, OSError):
            return


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def begin(work: Callable[..., None], *arguments: object) -> Worker:
        workers.append(Worker(work, *arguments))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.process.kill()


def check(folder: Path, acknowledged: Acknowledged) -> None:
    """The log has every acknowledged change, whole lines alone, and the bank stands as they say."""
    bank = ResponseBank.load(folder)
    logged = {(change.action, change.response_id, change.by) for change in bank.log}
    assert set(acknowledged) <= logged
    for action, response_id, mark in acknowledged:
        row = bank.find(response_id)
        if action == "add":
            assert row is not None
        elif action == "ban":
            assert response_id in bank.forbidden
        elif row is not None:
            assert mark in bank[row].tags
    *lines, torn = (folder / "log.jsonl").read_bytes().split(b"\n")
    assert len(lines) == len(bank.log)
    assert all(isinstance(json.loads(line), dict) for line in lines)
    bank.ban(content_id(TEXTS[0]), "after the kill")
    after = (folder / "log.jsonl").read_bytes()
    assert after.endswith(b"\n")
    assert torn == b"" or torn not in after.split(b"\n")
    assert len(ResponseBank.load(folder).log) == len(lines) + 1


def test_two_writers_killed_at_any_moment_lose_no_acknowledged_change(
    tmp_path: Path, start: Callable[..., Worker]
) -> None:
    make_bank().save(tmp_path)
    draw, acknowledged = random.Random(0), []
    for number in range(4):
        writers = [start(change_for_ever, tmp_path, f"{name}{number}") for name in "ab"]
        for writer in writers:
            writer.hear(draw.randint(1, 25))
        for writer in writers:
            writer.kill()
            acknowledged += writer.told
        check(tmp_path, acknowledged)
    assert len(acknowledged) >= 8


def test_changes_made_while_the_bank_is_rebuilt_and_its_builder_killed_are_all_there(
    tmp_path: Path, start: Callable[..., Worker]
) -> None:
    folder = tmp_path / "bank"
    make_bank().save(folder)
    acknowledged: Acknowledged = []
    for number in range(3):
        writer = start(change_for_ever, folder, f"w{number}")
        builder = start(rebuild_for_ever, folder)
        writer.hear(5)
        builder.hear(1 + number % 2)
        writer.hear(5)
        for worker in (builder, writer):
            worker.kill()
        acknowledged += writer.told
        check(folder, acknowledged)
    bank = ResponseBank.load(folder)
    assert len(bank.built) > len(TEXTS) - 3
    rebuilt = {r.response_id for r in bank.built} & {i for action, i, _ in acknowledged if action == "add"}
    assert rebuilt, "additions join the rows of a rebuilt bank"


def test_another_process_sees_a_change_at_its_next_look(tmp_path: Path, start: Callable[..., Worker]) -> None:
    make_bank().save(tmp_path)
    reader = start(look_when_asked, tmp_path)

    def look() -> tuple[list[str], list[str]]:
        connection: Connection = reader.here
        connection.send("look")
        seen: tuple[list[str], list[str]] = connection.recv()
        return seen

    assert look() == ([], [])
    bank = ResponseBank.load(tmp_path)
    for number, text in enumerate(TEXTS[:5], 1):
        bank.ban(content_id(text))
        bank.add(f"added {number}")
        banned, added = look()
        assert banned == sorted(map(content_id, TEXTS[:number]))
        assert added == [f"added {n}" for n in range(1, number + 1)]
    bank.unban(content_id(TEXTS[0]))
    assert content_id(TEXTS[0]) not in look()[0]
