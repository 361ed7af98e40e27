"""Whether two systems differ in Dist-n: a corpus metric, tested by swapping their replies (EVALUATION: Statistics)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed, casual_tokens
from g2r.evaluation.significance import holm, label_permutation_p

DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class DistinctDifference:
    """Dist-n of a system less that of the reference, on the contexts that both answered.

    Attributes:
        p: of the permutation of the two systems' names in each context.
        p_adjusted: after Holm's adjustment over the systems.
        n: contexts.
    """

    name: str
    value: float
    p: float
    p_adjusted: float
    n: int


def distinct_differences(
    replies: Mapping[str, Sequence[str | None]],
    *,
    reference: str,
    n: int = 2,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[DistinctDifference] | NotComputed:
    """Dist-n of every system against the reference's, at the same number of replies.

    Raises:
        InputError: the reference is no system, or systems answered other contexts.
        DependencyError: nltk is not installed.
    """
    if reference not in replies or len({len(own) for own in replies.values()}) != 1:
        raise InputError(
            f"expected replies of {reference!r} and of the others to the same contexts, got "
            f"{ {name: len(own) for name, own in replies.items()} }"
        )
    vocabulary: dict[tuple[str, ...], int] = {}
    grams = {name: _grams(own, n, vocabulary) for name, own in replies.items()}
    found = []
    for name, own in grams.items():
        pairs = [
            (a, b) for a, b in zip(own, grams[reference], strict=True) if a is not None and b is not None
        ]
        if (
            name == reference
            or len(pairs) < 2
            or not all(sum(map(len, side)) for side in zip(*pairs, strict=True))
        ):
            continue
        found.append((name, len(pairs), *_tested(pairs, draws, seed)))
    if not found:
        return NotComputed("no two systems answered two contexts in common")
    adjusted = holm([p for _, _, _, p in found])
    return [
        DistinctDifference(name, value, p, p_adjusted, contexts)
        for (name, contexts, value, p), p_adjusted in zip(found, adjusted, strict=True)
    ]


def _grams(
    replies: Sequence[str | None], n: int, vocabulary: dict[tuple[str, ...], int]
) -> list[NDArray[np.int64] | None]:
    """The n-grams of each reply by number; None for no reply."""
    found: list[NDArray[np.int64] | None] = []
    for text, tokens in zip(replies, casual_tokens([text or "" for text in replies]), strict=True):
        spans = (tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
        numbers = [vocabulary.setdefault(span, len(vocabulary)) for span in spans]
        found.append(None if text is None else np.array(numbers, dtype=np.int64))
    return found


def _tested(
    pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], draws: int, seed: int
) -> tuple[float, float]:
    """The difference in Dist-n, and its p-value."""

    def difference(swapped: NDArray[np.bool_]) -> float:
        mine = np.concatenate([b if s else a for (a, b), s in zip(pairs, swapped, strict=True)])
        theirs = np.concatenate([a if s else b for (a, b), s in zip(pairs, swapped, strict=True)])
        return _distinct(mine) - _distinct(theirs)

    observed = difference(np.zeros(len(pairs), dtype=np.bool_))
    return observed, label_permutation_p(difference, len(pairs), draws=draws, seed=seed)


def _distinct(grams: NDArray[np.int64]) -> float:
    return len(np.unique(grams)) / len(grams) if len(grams) else 0.0
