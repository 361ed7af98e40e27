"""The systems that are timed: the bot and those that retrieve beside it. Generative rivals have a module of their own."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import faiss

from g2r.bot import Bot
from g2r.dialogue import Context
from g2r.encoder import Encoder, OnnxEncoder, Vectors
from g2r.evaluation.systems import Bm25System
from g2r.latency.rounds import TOTAL
from g2r.student import CONTEXT_TASK, BiEncoder

_CANDIDATES = 10
"""Found by rivals that have no rules: what the bot shows of its candidates."""


class PhasedEncoder:
    """An encoder that remembers how long its last call took.

    Attributes:
        spent_ms: "tokenise" and "encode" of the last call; of an encoder that cannot tell the two apart,
            "encode" has both.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.spent_ms: dict[str, float] = {}

    @property
    def fingerprint(self) -> str:
        return self._encoder.fingerprint

    def encode_contexts(self, contexts: Sequence[Sequence[str]]) -> Vectors:
        start = time.perf_counter()
        if not isinstance(self._encoder, OnnxEncoder):
            vectors = self._encoder.encode_contexts(contexts)
            self.spent_ms = {"encode": milliseconds_since(start)}
            return vectors
        tokens = self._encoder.tokenize_contexts(contexts)
        between = time.perf_counter()
        vectors = self._encoder.encode_tokens(tokens)
        self.spent_ms = {"tokenise": 1000 * (between - start), "encode": milliseconds_since(between)}
        return vectors

    def encode_responses(self, responses: Sequence[str]) -> Vectors:
        return self._encoder.encode_responses(responses)


class TimedBot:
    """A bot, from the turns to the text, with its rules and, if it has one, its second stage.

    Args:
        name: as it stands in the results.
        bot: whose encoder is `encoder`.
        encoder: tells how long it took.
        device: where it runs.
    """

    slow = False
    note = ""

    def __init__(self, name: str, bot: Bot, encoder: PhasedEncoder, *, device: str = "cpu") -> None:
        self.name, self.device = name, device
        self._bot, self._encoder = bot, encoder

    def reply(self, context: Context) -> Mapping[str, float]:
        start = time.perf_counter()
        answer = self._bot.reply(context, candidates=1)
        total = milliseconds_since(start)
        further = {phase: ms for phase, ms in answer.timings_ms.items() if phase not in ("encode", TOTAL)}
        return {**self._encoder.spent_ms, **further, TOTAL: total}

    def reply_batch(self, contexts: Sequence[Context]) -> None:
        self._bot.reply_batch(contexts, candidates=1)


class PlainRival:
    """What anyone would write first: `SentenceTransformer.encode`, then exact search in fp32. No rules."""

    slow = False
    note = "tokenising is part of encoding; no rules"

    def __init__(
        self, name: str, student: BiEncoder, keys: Vectors, texts: Sequence[str], *, device: str
    ) -> None:
        """Search `keys` (responses, dimensions), the vectors of `texts`."""
        self.name, self.device = name, device
        self._student, self._texts = student, texts
        self._index = faiss.IndexFlatIP(keys.shape[1])
        self._index.add(keys)

    def reply(self, context: Context) -> Mapping[str, float]:
        start = time.perf_counter()
        vectors = self._encode([context])
        between = time.perf_counter()
        best = self._index.search(vectors, min(_CANDIDATES, len(self._texts)))[1]
        self._texts[int(best[0, 0])]
        end = time.perf_counter()
        return {
            "encode": 1000 * (between - start),
            "search": 1000 * (end - between),
            TOTAL: 1000 * (end - start),
        }

    def reply_batch(self, contexts: Sequence[Context]) -> None:
        self._index.search(self._encode(contexts), min(_CANDIDATES, len(self._texts)))

    def _encode(self, contexts: Sequence[Context]) -> Any:
        texts = [self._student.context_text(context) for context in contexts]
        return self._student.model.encode(texts, task=CONTEXT_TASK, show_progress_bar=False)


class Bm25Rival:
    """BM25 over the same texts, with the rule against repetitions."""

    slow = False
    device = "cpu"
    note = "search has tokenising and rules in it"

    def __init__(self, name: str, texts: Sequence[str]) -> None:
        self.name = name
        self._system = Bm25System(texts)

    def reply(self, context: Context) -> Mapping[str, float]:
        total = self._system.reply(context).timings_ms[TOTAL]
        return {"search": total, TOTAL: total}

    def reply_batch(self, contexts: Sequence[Context]) -> None:
        for context in contexts:
            self._system.reply(context)


def milliseconds_since(start: float) -> float:
    """Milliseconds since `time.perf_counter()` was `start`."""
    return 1000 * (time.perf_counter() - start)
