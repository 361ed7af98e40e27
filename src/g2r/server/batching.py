"""Micro-batching: what is asked at the same time is answered together, by one thread, from a bounded queue."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median_low
from typing import Generic, TypeVar

from g2r.config import ServeConfig
from g2r.server.refusals import RefusedError

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class _Job(Generic[Question, Answer]):
    question: Question
    answer: asyncio.Future[Answer]


class Batcher(Generic[Question, Answer]):
    """Answers questions in batches, and refuses at once what it could not answer soon.

    While one batch is under way the next one gathers, so that batches grow with the load and an idle server
    waits for nothing. A question is refused if `max_queue` wait already, or if by the speed of recent batches
    its answer would take longer than `max_delay_ms`; where none waits and none is under way, it never is.
    """

    def __init__(self, work: Callable[[Sequence[Question]], Sequence[Answer]], config: ServeConfig) -> None:
        self._work = work
        self._config = config
        self._waiting: deque[_Job[Question, Answer]] = deque()
        self._under_way = 0
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)
        self._seconds_each = 0.0
        self._arrived = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="g2r-bot")

    def start(self) -> None:
        """Begin to answer, on the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Answer what was accepted, refuse what comes now, end the thread."""
        self._stopping = True
        self._arrived.set()
        if self._task:
            await self._task
        self._thread.shutdown()

    @property
    def running(self) -> bool:
        """Whether questions are accepted."""
        return self._task is not None and not self._task.done() and not self._stopping

    def __len__(self) -> int:
        """Questions that wait."""
        return len(self._waiting)

    async def ask(self, question: Question) -> Answer:
        """Return the answer; who gives up waiting (is cancelled) costs no work if the batch has not begun.

        Raises:
            RefusedError: too much is waiting, or the server stops. Whatever the work raised.
        """
        if not self.running:
            raise RefusedError.stopping()
        if not self._admits():
            raise RefusedError.overloaded()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(question, answer))
        self._arrived.set()
        return await answer

    def _admits(self) -> bool:
        ahead = len(self._waiting) + self._under_way
        delay = (ahead + 1) * self._seconds_each
        return not ahead or (
            len(self._waiting) < self._config.max_queue and delay <= self._config.max_delay_ms / 1000
        )

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            if len(self._waiting) < self._config.max_batch and self._config.batch_wait_ms:
                await asyncio.sleep(self._config.batch_wait_ms / 1000)
            batch = self._take()
            if batch:
                await self._answer(batch)
            elif self._stopping:
                return
            else:
                self._arrived.clear()

    def _take(self) -> list[_Job[Question, Answer]]:
        """The next questions whose askers still wait."""
        batch: list[_Job[Question, Answer]] = []
        while self._waiting and len(batch) < self._config.max_batch:
            job = self._waiting.popleft()
            if not job.answer.done():
                batch.append(job)
        return batch

    async def _answer(self, batch: Sequence[_Job[Question, Answer]]) -> None:
        self._under_way = len(batch)
        questions = [job.question for job in batch]
        working = asyncio.get_running_loop().run_in_executor(self._thread, self._timed, questions)
        await asyncio.wait([working])
        self._under_way = 0
        failure = working.exception()
        answers = [] if failure else working.result()
        for place, job in enumerate(batch):
            if job.answer.done():
                continue
            if failure:
                job.answer.set_exception(failure)
            else:
                job.answer.set_result(answers[place])

    def _timed(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Do the work, and learn how long a question takes: the median of late, which no single hiccup moves."""
        start = time.perf_counter()
        answers = self._work(questions)
        self._recent.append((time.perf_counter() - start) / len(questions))
        self._seconds_each = median_low(self._recent)
        return answers
