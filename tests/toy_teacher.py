"""A teacher of a few lines that keeps the contract, fast enough to be killed often."""

import random
import time
from collections.abc import Sequence

from g2r.config import GenerateConfig
from g2r.dialogue import Context, Scores, content_id
from g2r.teachers.base import Sample

WORDS = [
    "tea",
    "rain",
    "sun",
    "music",
    "dogs",
    "cats",
    "films",
    "books",
    "pizza",
    "trains",
    "rivers",
    "winter",
    "summer",
    "friends",
    "work",
    "sleep",
]


class ToyTeacher:
    """Writes random words, and scores a response by its letters and the context's.

    As with a real model, what it writes depends on the seed and on all contexts of the call.
    """

    def __init__(self, *, name: str = "toy", pause: float = 0.0) -> None:
        self.name = name
        self.score_kinds = frozenset({"ll"})
        self.pause = pause
        self.calls: list[int] = []

    def generate(
        self, contexts: Sequence[Context], settings: GenerateConfig, *, seed: int
    ) -> list[list[Sample]]:
        self.calls.append(len(contexts))
        time.sleep(self.pause)
        rng = random.Random(content_id([str(seed), *map(content_id, contexts)]))
        return [
            [self._sample(context, rng) for _ in range(settings.responses_per_context)]
            for context in contexts
        ]

    def _sample(self, context: Context, rng: random.Random) -> Sample:
        text = " ".join(rng.choices(WORDS, k=rng.randint(2, 6)))
        return Sample(text, self.ll(context, text))

    def score(self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]) -> list[list[Scores]]:
        self.calls.append(sum(map(len, responses)))
        time.sleep(self.pause)
        return [
            [self.ll(context, text) for text in group]
            for context, group in zip(contexts, responses, strict=True)
        ]

    @staticmethod
    def ll(context: Context, text: str) -> Scores:
        shared = len(set(text) & set("".join(context)))
        return Scores(ll_sum=-len(text) / 3 + shared / 7, tokens=len(text.split()) + 1)
