"""One reply, whichever protocol asked for it: limits, queue, time-out, metrics, log."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from g2r.bot import Bot
from g2r.config import ServeConfig
from g2r.errors import ArtifactError, G2RError
from g2r.reply import Reply
from g2r.server.batching import Batcher
from g2r.server.fallback import SOURCE, Fallback
from g2r.server.limits import check_conversation
from g2r.server.live import LiveBot, Question
from g2r.server.logs import log, note
from g2r.server.metrics import Metrics
from g2r.server.refusals import RefusedError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Said:
    """A reply as it is told to a client.

    Attributes:
        reply: what the bot said.
        timings_ms: milliseconds of wall clock: encode, search and rules (of a batch, each one's share), queue (the
            rest: waiting, others of the batch included), fallback where there was one, and total, from the request
            to the answer.
        fallback: what is said in the place of a reply that abstains.
    """

    reply: Reply
    timings_ms: Mapping[str, float]
    fallback: str = ""

    @property
    def text(self) -> str:
        """What is said."""
        return self.reply.text or self.fallback

    @property
    def source(self) -> str | None:
        """Where that comes from: bank, fallback, or None if nothing is said."""
        return SOURCE if self.fallback else "bank" if self.reply.text else None


class Service:
    """What the endpoints of one server share."""

    def __init__(self, live: LiveBot, config: ServeConfig) -> None:
        self.live = live
        self.config = config
        self.metrics = Metrics()
        self.fallback = Fallback(live, config, self.metrics)
        self.batcher: Batcher[Question, Reply] = Batcher(self._answer, config)
        self._changing = CapacityLimiter(1)
        self._adding = asyncio.Lock()
        self._swapping = asyncio.Lock()
        self.metrics.queue_length.set_function(lambda: len(self.batcher))

    def _answer(self, questions: Sequence[Question]) -> Sequence[Reply]:
        self.metrics.batch_size.observe(len(questions))
        return self.live.answer(questions)

    async def reply(
        self,
        turns: Sequence[str],
        *,
        tags: Collection[str] = (),
        without: Collection[str] = (),
        candidates: int,
    ) -> Said:
        """Answer a conversation.

        Raises:
            RefusedError: it is over a limit, the server is overloaded or stops, or the time is over.
            InputError: there are no turns, or the last one is blank.
        """
        context = check_conversation(turns, candidates, self.config)
        question = Question(context, frozenset(tags), frozenset(without), candidates)
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self.config.timeout_s):
                reply = await self.batcher.ask(question)
        except TimeoutError:
            raise RefusedError.timed_out(self.config.timeout_s) from None
        replied = time.perf_counter()
        fallback = await self.fallback.answer(question, reply) if reply.abstained else ""
        said = Said(
            reply, _timings(reply, replied - start, time.perf_counter() - replied, fallback), fallback
        )
        self._record(context, said)
        return said

    async def change(self, make: Callable[[Bot], Result]) -> Result:
        """Change the bot that answers now, or its bank: what takes moments alone, a ban above all.

        One change at a time, beside the replies, in a thread that nothing else takes.

        Raises:
            RefusedError: what was to be written cannot be. Whatever `make` raises.
        """
        with _written():
            return await to_thread.run_sync(lambda: make(self.live.bot), limiter=self._changing)

    async def add(self, make: Callable[[Bot], Result]) -> Result:
        """Change the bank by what may take long, such as additions that must be encoded; other changes go on.

        If another bot took over meanwhile it is done again with that one, so that nothing is lost.

        Raises:
            RefusedError: what was to be written cannot be. Whatever `make` raises.
        """
        async with self._adding:
            while True:
                bot = self.live.bot
                with _written():
                    made = await run_in_threadpool(make, bot)
                if await self._still_serves(bot):
                    return made

    async def swap(self, path: str) -> tuple[Bot, Bot]:
        """Serve what `path` names from now on; return it, and what it replaces.

        Raises:
            RefusedError: it cannot be served, or the swap cannot be written; nothing is changed.
        """
        async with self._swapping:
            try:
                successor = await run_in_threadpool(self.live.load, path)
            except G2RError as error:
                log("swap refused", error=type(error).__name__, message=str(error))
                raise RefusedError(
                    422,
                    f"it cannot be served ({type(error).__name__}, the log says why); nothing is changed",
                    param="path",
                ) from error
            replaced = await self.change(lambda _: self.live.adopt(successor))
            try:
                await run_in_threadpool(self.live.settle, successor, replaced)
            except ArtifactError as error:
                log("near duplicates of the latest bans are not banned", error=str(error))
            return successor.bot, replaced

    async def _still_serves(self, bot: Bot) -> bool:
        """Asked in turn with the changes: what was written before it asks, a swap that comes later carries over."""
        return await self.change(lambda current: current is bot)

    def _record(self, context: Sequence[str], said: Said) -> None:
        (self.metrics.abstentions if said.reply.abstained else self.metrics.replies).inc()
        for phase, spent in said.timings_ms.items():
            self.metrics.seconds.labels(phase).observe(spent / 1000)
        note(
            response_id=said.reply.response_id,
            score=said.reply.score,
            source=said.source,
            bank_version=said.reply.bank_version,
            bank_revision=said.reply.bank_revision,
            timings_ms=said.timings_ms,
        )
        if self.config.log_text:
            note(turns=context, text=said.text)


@contextmanager
def _written() -> Iterator[None]:
    """Refuse a change that cannot be written."""
    try:
        yield
    except ArtifactError as error:
        log("change refused", error=str(error))
        raise RefusedError(
            503, "it cannot be written, the log says why; nothing is changed", kind="server_error"
        ) from error


def _timings(reply: Reply, waited: float, beyond: float, fallback: str) -> Mapping[str, float]:
    """Milliseconds by phase, of the seconds until the reply and those beyond it."""
    phases = {phase: spent for phase, spent in reply.timings_ms.items() if phase != "total"}
    queue = max(0.0, 1000 * waited - sum(phases.values()))
    after = {"fallback": round(1000 * beyond, 3)} if fallback else {}
    return {"queue": round(queue, 3), **phases, **after, "total": round(1000 * (waited + beyond), 3)}


def service_of(request: Request) -> Service:
    """The service of the app that serves this request."""
    service: Service = request.app.state.service
    return service
