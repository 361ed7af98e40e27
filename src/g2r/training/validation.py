"""Which of the models seen in training is kept: hits@1/20, and retrieval from the bank that is served."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from g2r.config import ScoreName
from g2r.dialogue import Context, Example
from g2r.duplicates import normal_form
from g2r.encoder import Encoder
from g2r.evaluation.metrics import hits_at, mrr, ranks

DISTRACTORS = 19
MOST_CONTEXTS = 1000
"""More held-out contexts than this are thinned out by seed, so that an evaluation stays short."""

Judge = Callable[[Sequence[Context], Sequence[Sequence[str]]], Sequence[Sequence[float]]]
"""Scores `responses[i][j]` as a response to `contexts[i]`; higher is better."""


class Validation(Protocol):
    """Measures of an encoder on held-out contexts, by name; higher is better."""

    def measure(self, encoder: Encoder) -> dict[str, float]: ...


def thinned(examples: Sequence[Example], *, seed: int) -> list[Example]:
    """At most MOST_CONTEXTS of the examples, drawn by seed, in their order."""
    drawn = random.Random(seed).sample(range(len(examples)), min(len(examples), MOST_CONTEXTS))
    return [examples[i] for i in sorted(drawn)]


@dataclass(frozen=True)
class HitsValidation:
    """hits@1/20 and MRR: the original response among those of 19 other held-out contexts.

    Attributes:
        contexts: held-out contexts that have an original response.
        texts: the responses they are compared with.
        candidates: numbers of texts, int (contexts, at most 20), the gold first.
    """

    contexts: tuple[Context, ...]
    texts: tuple[str, ...]
    candidates: NDArray[np.int64]

    @classmethod
    def draw(cls, examples: Sequence[Example], *, seed: int) -> "HitsValidation | None":
        """Draw the distractors by seed, none of them a candidate of the context it is drawn for.

        Where the data holds fewer than 20 different originals, all lists are as much shorter; None if
        nothing is left to compare with.
        """
        kept = thinned([example for example in examples if example.originals], seed=seed)
        forms: dict[str, str] = {}
        for example in kept:
            forms.setdefault(normal_form(example.originals[0].text), example.originals[0].text)
        numbers = {form: number for number, form in enumerate(forms)}
        lists = []
        for row, example in enumerate(kept):
            own = {numbers.get(normal_form(c.text)) for c in example.candidates}
            gold = numbers[normal_form(example.originals[0].text)]
            enough = min(len(forms), len(own) + DISTRACTORS)
            drawn = random.Random(f"{seed} {row}").sample(range(len(forms)), enough)
            lists.append([gold, *[number for number in drawn if number not in own][:DISTRACTORS]])
        shortest = min(map(len, lists), default=0)
        if shortest < 2:
            return None
        return cls(
            contexts=tuple(example.context for example in kept),
            texts=tuple(forms.values()),
            candidates=np.array([drawn[:shortest] for drawn in lists]),
        )

    def measure(self, encoder: Encoder) -> dict[str, float]:
        contexts = encoder.encode_contexts(self.contexts)
        responses = encoder.encode_responses(self.texts)
        scores = np.einsum("nd,nkd->nk", contexts, responses[self.candidates])
        places = ranks(scores)
        return {"hits@1": hits_at(places, 1), "mrr": mrr(places)}


@dataclass(frozen=True)
class BankValidation:
    """What the student says when it may choose from everything (METHOD, 8).

    For each held-out context the best response of the whole bank and of the context's own candidates is
    retrieved. With a judge its mean score is the measure. Without one only the candidates' scores are
    known: a retrieved candidate counts as the share of the scored candidates it is at least as good as (1
    for the best), anything else as 0; with no score asked for, every candidate counts 1.

    Attributes:
        examples: held-out contexts with their candidates.
        bank: texts of all training responses.
        score: teacher score of the candidates.
        judge: scores whatever was retrieved.
    """

    examples: tuple[Example, ...]
    bank: tuple[str, ...]
    score: ScoreName | None = None
    judge: Judge | None = None

    def measure(self, encoder: Encoder) -> dict[str, float]:
        replies = self.retrieve(encoder)
        if self.judge is not None:
            judged = self.judge([e.context for e in self.examples], [[reply] for reply in replies])
            return {"bank_score": float(np.mean([scores[0] for scores in judged]))}
        values = [self._recorded(e, reply) for e, reply in zip(self.examples, replies, strict=True)]
        return {"bank_score": float(np.mean(values))}

    def retrieve(self, encoder: Encoder) -> list[str]:
        """The first choice for each context."""
        texts = list(dict.fromkeys([*self.bank, *(c.text for e in self.examples for c in e.candidates)]))
        number = {text: i for i, text in enumerate(texts)}
        vectors = encoder.encode_responses(texts)
        scores = encoder.encode_contexts([e.context for e in self.examples]) @ vectors.T
        served = np.zeros(len(texts), dtype=bool)
        served[[number[text] for text in self.bank]] = True
        replies = []
        for example, row in zip(self.examples, scores, strict=True):
            allowed = served.copy()
            allowed[[number[c.text] for c in example.candidates]] = True
            replies.append(texts[int(np.where(allowed, row, -np.inf).argmax())])
        return replies

    def _recorded(self, example: Example, reply: str) -> float:
        candidates = [c for c in example.candidates if c.text == reply]
        if self.score is None:
            return float(bool(candidates))
        scores = {c.text: s for c in example.candidates if (s := getattr(c.scores, self.score)) is not None}
        if reply not in scores:
            return 0.0
        return float(np.mean([scores[reply] >= other for other in scores.values()]))
