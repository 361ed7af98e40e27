"""Krippendorff's alpha: how far raters agree beyond chance, for any number of raters and missing ratings."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2r.errors import InputError
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.significance import DRAWS, LEVEL, Estimate, bootstrap

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(ratings: ArrayLike, *, level: Level) -> float | NotComputed:
    """Alpha of `ratings` (raters, items), NaN where a rater left an item out.

    1 is full agreement, 0 what chance gives. Ordinal distance is that of Krippendorff (2011): the ratings
    that stand between two values, by rank.

    Raises:
        InputError: not a (raters, items) table.
    """
    values, counts = _value_counts(ratings)
    return _alpha(values, counts, level)


def alpha_interval(
    ratings: ArrayLike, *, level: Level, draws: int = DRAWS, interval: float = LEVEL, seed: int = 0
) -> Estimate | NotComputed:
    """Alpha with its bootstrap percentile interval over items."""
    values, counts = _value_counts(ratings)
    whole = _alpha(values, counts, level)
    if isinstance(whole, NotComputed):
        return whole

    def resampled(items: NDArray[np.intp]) -> float:
        alpha = _alpha(values, counts[items], level)
        return np.nan if isinstance(alpha, NotComputed) else alpha

    return bootstrap(resampled, len(counts), draws=draws, level=interval, seed=seed)


def _value_counts(ratings: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """The values in use, sorted, and how often each item with two ratings or more got each: (items, values)."""
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2:
        raise InputError(f"ratings have shape {table.shape}, expected (raters, items)")
    values = np.unique(table[~np.isnan(table)])
    counts = (table[:, :, None] == values).sum(axis=0, dtype=np.int64)
    return values, counts[counts.sum(axis=1) >= 2]


def _alpha(values: Floats, counts: NDArray[np.int64], level: Level) -> float | NotComputed:
    if not len(counts):
        return NotComputed("no item has two ratings")
    totals = counts.sum(axis=0).astype(np.float64)
    if (totals > 0).sum() < 2:
        return NotComputed("all ratings are the same: agreement by chance cannot be told from agreement")
    per_item = counts.sum(axis=1, keepdims=True) - 1.0
    coincidences = (counts / per_item).T @ counts - np.diag((counts / per_item).sum(axis=0))
    expected = (np.outer(totals, totals) - np.diag(totals)) / (totals.sum() - 1)
    distance = _distance(values, totals, level)
    return float(1 - (coincidences * distance).sum() / (expected * distance).sum())


def _distance(values: Floats, totals: Floats, level: Level) -> Floats:
    """Squared distances of the values (values, values)."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return np.square(values[:, None] - values[None, :])
    middle = np.cumsum(totals) - totals / 2
    return np.square(middle[:, None] - middle[None, :])
