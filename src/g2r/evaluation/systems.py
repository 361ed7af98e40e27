"""Every system under one protocol: a context in, a reply and its timings out (EVALUATION: controls)."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from g2r.bot import Bot, Reply
from g2r.config import BotConfig, GenerateConfig
from g2r.dialogue import Context, Example
from g2r.duplicates import likeness
from g2r.errors import InputError
from g2r.evaluation.bm25 import Bm25
from g2r.evaluation.scorers import Scorer
from g2r.teachers.base import Teacher

GREEDY = GenerateConfig(method="beam", beams=1, responses_per_context=1)
"""The teacher's likeliest token each time."""

PAPER_BEAM = GenerateConfig(
    method="beam", beams=10, responses_per_context=10, min_tokens=20, max_tokens=128, no_repeat_ngram=3
)
"""The paper's decoding: beam 10, at least 20 tokens, no trigram twice."""

_RULES = BotConfig()


@dataclass(frozen=True, slots=True)
class SystemReply:
    """What a system says to a context.

    Attributes:
        text: the reply; None if it has none to say.
        timings_ms: wall-clock milliseconds by phase; "total" is always there.
        score: the system's own score of it, comparable within the system alone; None if it has none.
    """

    text: str | None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None


class System(Protocol):
    """Anything that answers contexts. `Bot` does through `BotSystem`."""

    def reply(self, context: Context) -> SystemReply: ...


def first_unsaid(
    replies: Iterable[str], context: Context, *, repeat_likeness: float = _RULES.repeat_likeness
) -> str | None:
    """The first reply that is no near duplicate of a turn of its context: the bot's rule, for every system."""
    for reply in replies:
        if all(likeness(reply, turn) < repeat_likeness for turn in context):
            return reply
    return None


class HumanSystem:
    """Says what was said: the first original response of the context. No rule changes it."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._replies = {e.context: e.originals[0].text for e in reversed(examples) if e.originals}

    def reply(self, context: Context) -> SystemReply:
        """Raises InputError if nothing was said to this context."""
        return _timed(lambda: self._said(context))

    def _said(self, context: Context) -> str:
        if context not in self._replies:
            raise InputError(f"no human reply on record to {context!r:.80}; evaluate contexts that have one")
        return self._replies[context]


class RandomSystem:
    """Says anything in the bank, drawn by seed and context."""

    def __init__(
        self, responses: Sequence[str], *, seed: int = 0, repeat_likeness: float = _RULES.repeat_likeness
    ) -> None:
        self._responses = _some(responses)
        self._seed = seed
        self._repeat_likeness = repeat_likeness

    def reply(self, context: Context) -> SystemReply:
        return _timed(
            lambda: first_unsaid(self._draws(context), context, repeat_likeness=self._repeat_likeness)
        )

    def _draws(self, context: Context) -> Iterable[str]:
        digits = int(Example(context, ()).context_id, 16)
        generator = np.random.default_rng([self._seed, digits])
        return (self._responses[i] for i in generator.integers(len(self._responses), size=64))


class Bm25System:
    """Says the response that shares the rarest words with the context.

    Args:
        responses: the bank.
        written_for: with it, the context is compared to those that each response was written for instead
            of to the response.
    """

    def __init__(
        self,
        responses: Sequence[str],
        *,
        written_for: Mapping[str, Sequence[Context]] | None = None,
        repeat_likeness: float = _RULES.repeat_likeness,
    ) -> None:
        pairs = [
            (r, r if written_for is None else " ".join(turn for c in written_for.get(r, ()) for turn in c))
            for r in _some(responses)
        ]
        self._responses = [r for r, _ in pairs]
        self._ranker = Bm25([document for _, document in pairs])
        self._repeat_likeness = repeat_likeness

    def reply(self, context: Context) -> SystemReply:
        return _timed(
            lambda: first_unsaid(self._best(context), context, repeat_likeness=self._repeat_likeness)
        )

    def _best(self, context: Context) -> Iterable[str]:
        order = np.argsort(-self._ranker.scores(" ".join(context)), kind="stable")
        return (self._responses[i] for i in order)


class TeacherSystem:
    """Says what the teacher writes; of several beams the first that the rule allows."""

    def __init__(
        self,
        teacher: Teacher,
        settings: GenerateConfig = GREEDY,
        *,
        seed: int = 0,
        repeat_likeness: float = _RULES.repeat_likeness,
    ) -> None:
        self._teacher, self._settings, self._seed = teacher, settings, seed
        self._repeat_likeness = repeat_likeness

    def reply(self, context: Context) -> SystemReply:
        """Raises TeacherError if the teacher fails."""

        def written() -> str | None:
            (samples,) = self._teacher.generate([context], self._settings, seed=self._seed)
            texts = (sample.text for sample in samples)
            return first_unsaid(texts, context, repeat_likeness=self._repeat_likeness)

        return _timed(written)


class HybridSystem:
    """Retrieve and refine: a teacher writes with a retrieved reply put into its context.

    The retrieved reply follows the last turn after `separator`. A teacher that was not trained with such
    hints may copy it or pass over it: this is the plain form of the method, without that training.
    """

    def __init__(
        self,
        retriever: System,
        teacher: Teacher,
        settings: GenerateConfig = GREEDY,
        *,
        separator: str = " / ",
        seed: int = 0,
        repeat_likeness: float = _RULES.repeat_likeness,
    ) -> None:
        self._retriever, self._teacher, self._settings = retriever, teacher, settings
        self._separator, self._seed = separator, seed
        self._repeat_likeness = repeat_likeness

    def reply(self, context: Context) -> SystemReply:
        """Raises TeacherError if the teacher fails."""
        found = self._retriever.reply(context)
        hinted = (*context[:-1], f"{context[-1]}{self._separator}{found.text}") if found.text else context

        def written() -> str | None:
            (samples,) = self._teacher.generate([hinted], self._settings, seed=self._seed)
            texts = (sample.text for sample in samples)
            return first_unsaid(texts, context, repeat_likeness=self._repeat_likeness)

        refined = _timed(written)
        phases = {"retrieve": found.timings_ms["total"], "refine": refined.timings_ms["total"]}
        return SystemReply(refined.text, {**phases, "total": sum(phases.values())})


class BotSystem:
    """Says what a bot says; the bot applies its own rules.

    Args:
        encoding_ms: what encoding a context takes, where the bot's encoder remembers it from before.
    """

    def __init__(self, bot: Bot, *, encoding_ms: Mapping[Context, float] | None = None) -> None:
        self._bot = bot
        self._encoding_ms = encoding_ms or {}

    def first_stage(self) -> "BotSystem":
        """The same bot without its second stage: what the student alone puts first."""
        bot = self._bot
        config = bot.config.model_copy(update={"rerank": 0})
        return BotSystem(Bot(bot.encoder, bot.bank, bot.index, config=config), encoding_ms=self._encoding_ms)

    def reply(self, context: Context) -> SystemReply:
        found = self.candidates(context, 1)
        return SystemReply(found.text or None, found.timings_ms, found.score if found.text else None)

    def candidates(self, context: Context, k: int) -> Reply:
        """The bot's reply with its best `k` candidates and the whole time it takes."""
        found = self._bot.reply(context, candidates=k)
        phases = {phase: ms for phase, ms in found.timings_ms.items() if phase != "total"}
        phases["encode"] = self._encoding_ms.get(context, phases["encode"])
        return replace(found, timings_ms={**phases, "total": sum(phases.values())})


class RerankSystem:
    """Says the one of a bot's best `k` candidates that another scorer puts first."""

    def __init__(self, retriever: BotSystem, scorer: Scorer, *, k: int) -> None:
        self._retriever, self._scorer, self._k = retriever, scorer, k

    def reply(self, context: Context) -> SystemReply:
        """Raises InputError if the scorer gives NaN."""
        found = self._retriever.candidates(context, self._k)
        if not found.candidates:
            return SystemReply(None, found.timings_ms)
        start = time.perf_counter()
        texts = [candidate.text for candidate in found.candidates]
        (scores,) = self._scorer([context], [texts])
        if np.isnan(scores).any():
            raise InputError(f"the re-ranker scores {texts[int(np.isnan(scores).argmax())]!r:.60} with NaN")
        best = int(np.argmax(scores))
        ms = _since(start)
        timings = {**found.timings_ms, "rerank": ms, "total": found.timings_ms["total"] + ms}
        return SystemReply(texts[best], timings, float(scores[best]))


def _timed(work: Callable[[], str | None]) -> SystemReply:
    start = time.perf_counter()
    text = work()
    return SystemReply(text, {"total": _since(start)})


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1000


def _some(responses: Sequence[str]) -> Sequence[str]:
    if not responses:
        raise InputError("a bank without responses has nothing to say; expected at least one")
    return responses
