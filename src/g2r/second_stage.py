"""The second stage of a bot: what rates the candidates that the search found, to say the best rated."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from g2r.dialogue import Context
from g2r.encoder import Vectors
from g2r.reply import RankedCandidate

KeysOf = Mapping[str, Sequence[Vectors]]
"""By kind of key, the keys of each response: (keys, dimensions) each."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a second stage is asked about.

    Attributes:
        context: turns, oldest first.
        responses: texts of the candidates.
        views: f(v(c)) by view, (dimensions,): those of the index and those that the stage names.
        keys: reads the candidates' keys out of the index.
    """

    context: Context
    responses: Sequence[str]
    views: Mapping[str, Vectors]
    keys: Callable[[], KeysOf]


class SecondStage(Protocol):
    """Rates candidates: an exported judge, which reads the texts, or a ranker, which sees their vectors."""

    folder: Path

    @property
    def fingerprint(self) -> str:
        """Names what rates."""
        ...

    @property
    def views(self) -> tuple[str, ...]:
        """Views of a context that it needs beside the texts."""
        ...

    def check(self, encoder: str, kinds: Collection[str]) -> None:
        """Refuse an encoder, named by its fingerprint, or an index with these kinds of key, that it does not fit.

        Raises:
            ArtifactError: it was made for another one.
        """
        ...

    def rate(self, asked: Asked) -> Vectors:
        """Rate each candidate: float32 (candidates,), 0 to 10."""
        ...


def reordered(
    ranked: Sequence[RankedCandidate], ratings: Sequence[float], *, weight: float
) -> list[RankedCandidate]:
    """The rated candidates, the first ones, by rating + weight * s(r); the others after them as they came."""
    rated = [
        replace(c, rating=rating, score=rating + weight * c.score)
        for c, rating in zip(ranked, ratings, strict=False)
    ]
    return [*sorted(rated, key=lambda c: -c.score), *ranked[len(rated) :]]
