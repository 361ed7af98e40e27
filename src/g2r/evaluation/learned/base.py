"""One protocol for every learned scorer, and the two baselines that each must beat."""

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol, runtime_checkable

import numpy as np

from g2r.dialogue import Context
from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.evaluation.metrics import Floats
from g2r.evaluation.scorers import Scorer


@runtime_checkable
class LearnedScorer(Protocol):
    """Scores a response to a context, higher is better."""

    @property
    def name(self) -> str:
        """Short name, shown in tables."""
        ...

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        """One score for each pair `contexts[i]`, `responses[i]`: float (pairs,)."""
        ...


class ListJudge(Protocol):
    """Scores the candidates of several contexts, as `g2r.judge.Judge` does."""

    def score_lists(
        self, contexts: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> Sequence[Floats]: ...


class JudgeScorer:
    """A `ListJudge` as a `LearnedScorer`: pairs that share a context and follow each other go together."""

    def __init__(self, judge: ListJudge, *, name: str = "judge") -> None:
        self.name = name
        self._judge = judge

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        groups = [(c, list(own)) for c, own in groupby(range(len(contexts)), key=lambda i: contexts[i])]
        if not groups:
            return np.zeros(0)
        candidates = [[responses[i] for i in own] for _, own in groups]
        return np.concatenate(self._judge.score_lists([c for c, _ in groups], candidates))


class LengthBaseline:
    """Number of words of the response."""

    name = "length"

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        return np.array([len(normal_form(response).split()) for response in responses], dtype=np.float64)


class OverlapBaseline:
    """Share of the response's different words that stand in the context."""

    name = "word overlap"

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        pairs = zip(contexts, responses, strict=True)
        return np.array([_overlap(context, response) for context, response in pairs], dtype=np.float64)


BASELINES: tuple[LearnedScorer, ...] = (LengthBaseline(), OverlapBaseline())
"""What knows nothing of dialogue: a scorer worth its name agrees with people more than these."""


def list_scorer(learned: LearnedScorer) -> Scorer:
    """The same scorer for lists of candidates.

    Raises:
        InputError: when called, if it does not give one finite score a pair.
    """

    def score(contexts: Sequence[Context], candidates: Sequence[Sequence[str]]) -> list[Floats]:
        pairs = [(c, text) for c, texts in zip(contexts, candidates, strict=True) for text in texts]
        scores = pair_scores(learned, [c for c, _ in pairs], [text for _, text in pairs])
        return np.split(scores, np.cumsum([len(texts) for texts in candidates])[:-1])

    return score


def pair_scores(learned: LearnedScorer, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
    """The scores of pairs, checked: float (pairs,).

    Raises:
        InputError: there is not one score a pair, or one is not finite.
    """
    scores = np.asarray(learned.score(contexts, responses), dtype=np.float64)
    if scores.shape != (len(responses),) or len(contexts) != len(responses):
        raise InputError(
            f"{learned.name} gave scores {scores.shape} for {len(contexts)} contexts and {len(responses)} "
            "responses; expected one a pair"
        )
    if not np.isfinite(scores).all():
        place = int((~np.isfinite(scores)).argmax())
        raise InputError(
            f"{learned.name} scores {responses[place]!r:.60} with {scores[place]}, expected a finite number; "
            "check the scorer"
        )
    return scores


def _overlap(context: Context, response: str) -> float:
    words = set(normal_form(response).split())
    said = {word for turn in context for word in normal_form(turn).split()}
    return len(words & said) / len(words) if words else 0.0
