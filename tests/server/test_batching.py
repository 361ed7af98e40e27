"""The queue before the bot: what is answered together, what is refused, what is finished."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from g2r.config import ServeConfig
from g2r.server.batching import Batcher
from g2r.server.refusals import RefusedError

PATIENT = ServeConfig(max_delay_ms=1e6, max_batch=4, max_queue=6)


class Gate:
    """Work that doubles numbers, a batch at a time, each as soon as it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._open = threading.Semaphore(0)

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        assert self._open.acquire(timeout=20)
        if -1 in numbers:
            raise ZeroDivisionError("as the test wants")
        return [2 * number for number in numbers]

    def let(self, batches: int) -> None:
        self._open.release(batches)

    async def begun(self, batches: int) -> None:
        while len(self.batches) < batches:
            await asyncio.sleep(0.001)


def run(test: Callable[[Batcher[int, int], Gate], Awaitable[None]], config: ServeConfig = PATIENT) -> Gate:
    gate = Gate()

    async def main() -> None:
        batcher = Batcher(gate, config)
        batcher.start()
        await test(batcher, gate)
        gate.let(100)
        await batcher.stop()

    asyncio.run(main())
    return gate


def ask(batcher: Batcher[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.ask(number)) for number in numbers]


def test_what_waits_is_answered_together_in_order_each_with_its_own() -> None:
    async def test(batcher: Batcher[int, int], gate: Gate) -> None:
        first = ask(batcher, 1)
        await gate.begun(1)
        rest = ask(batcher, 2, 3, 4, 5, 6)
        await asyncio.sleep(0)
        assert len(batcher) == 5
        gate.let(3)
        assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8, 10, 12]

    assert run(test).batches == [[1], [2, 3, 4, 5], [6]]


def test_a_full_queue_refuses_at_once_and_keeps_what_it_accepted() -> None:
    async def test(batcher: Batcher[int, int], gate: Gate) -> None:
        accepted = ask(batcher, 0)
        await gate.begun(1)
        accepted += ask(batcher, *range(1, 7))
        for late in ask(batcher, 7, 8):
            with pytest.raises(RefusedError) as refused:
                await late
            assert (refused.value.status, refused.value.reason) == (503, "overloaded")
            assert refused.value.headers == {"Retry-After": "1"}
        gate.let(10)
        assert await asyncio.gather(*accepted) == [0, 2, 4, 6, 8, 10, 12]

    run(test)


def test_what_would_come_too_late_is_refused_but_an_idle_server_never_refuses() -> None:
    def slow(numbers: Sequence[int]) -> list[int]:
        time.sleep(0.03 * len(numbers))
        return list(numbers)

    async def main() -> None:
        batcher = Batcher(slow, ServeConfig(max_delay_ms=75, max_batch=1))
        batcher.start()
        assert await batcher.ask(1) == 1
        answers = await asyncio.gather(*ask(batcher, *range(10)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, RefusedError)]
        assert answers[0] == 0
        assert 8 <= len(refused) <= 9
        assert await batcher.ask(2) == 2
        strict = Batcher(slow, ServeConfig(max_delay_ms=0.001))
        strict.start()
        assert [await strict.ask(number) for number in range(3)] == [0, 1, 2]
        await batcher.stop()
        await strict.stop()

    asyncio.run(main())


def test_a_failure_reaches_all_of_its_batch_and_no_other() -> None:
    async def test(batcher: Batcher[int, int], gate: Gate) -> None:
        first = ask(batcher, 1)
        await gate.begun(1)
        failing = ask(batcher, 2, -1, 3)
        gate.let(2)
        assert await first[0] == 2
        for task in failing:
            with pytest.raises(ZeroDivisionError):
                await task
        gate.let(1)
        assert await batcher.ask(4) == 8

    run(test)


def test_who_gave_up_is_not_worked_for() -> None:
    async def test(batcher: Batcher[int, int], gate: Gate) -> None:
        first = ask(batcher, 1)
        await gate.begun(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.ask(2), timeout=0.01)
        patient = ask(batcher, 3)
        gate.let(2)
        assert await asyncio.gather(*first, *patient) == [2, 6]

    assert run(test).batches == [[1], [3]]


def test_a_short_wait_gathers_a_batch_for_an_idle_server() -> None:
    async def test(batcher: Batcher[int, int], gate: Gate) -> None:
        gate.let(10)
        first = ask(batcher, 1)
        for _ in range(5):
            await asyncio.sleep(0)
        second = ask(batcher, 2)
        assert await asyncio.gather(*first, *second) == [2, 4]

    waiting = PATIENT.model_copy(update={"batch_wait_ms": 100.0})
    assert run(test, waiting).batches == [[1, 2]]


def test_stopping_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    async def test(batcher: Batcher[int, int], gate: Gate) -> None:
        accepted = ask(batcher, 1)
        await gate.begun(1)
        accepted += ask(batcher, 2, 3)
        await asyncio.sleep(0)
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        assert not batcher.running
        with pytest.raises(RefusedError) as refused:
            await batcher.ask(4)
        assert refused.value.reason == "stopping"
        gate.let(10)
        await stopping
        assert [task.result() for task in accepted] == [2, 4, 6]

    run(test)
