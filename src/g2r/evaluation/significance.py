"""How sure a number is: intervals and tests over contexts (EVALUATION: Statistics).

The unit is the context: every function takes one value a context. Values that are NaN stand for contexts
where a metric is not defined; they are refused here, so that leaving them out is a decision of the caller.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2r.errors import InputError
from g2r.evaluation.metrics import Floats, NotComputed

DRAWS = 10_000
LEVEL = 0.95
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval at level 0.95, unless told otherwise, over `n` contexts."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference with its interval, and the p-value of its being zero (two-sided)."""

    value: float
    low: float
    high: float
    p: float
    n: int


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """What training seeds alone do to a number: shown apart from the interval over contexts."""

    mean: float
    low: float
    high: float
    seeds: int


def bootstrap_mean(
    values: ArrayLike, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> Estimate | NotComputed:
    """Mean of `values` (contexts,) with its bootstrap percentile interval.

    Raises:
        InputError: not one finite value a context.
    """
    sample = _values(values)
    if len(sample) < 2:
        return NotComputed(f"an interval needs two contexts, got {len(sample)}")
    low, high = _percentiles(_resampled_means(sample, draws, seed), level)
    return Estimate(float(sample.mean()), low, high, len(sample))


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    n: int,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate | NotComputed:
    """A statistic of a whole sample, as Dist-n, with its bootstrap percentile interval.

    Args:
        statistic: gets the numbers of the contexts drawn, with repetitions; NaN if it has no value there.
        n: number of contexts.

    One draw in forty without a value is as much as an interval bears: with more there is none.
    """
    if n < 2:
        return NotComputed(f"an interval needs two contexts, got {n}")
    value = statistic(np.arange(n))
    generator = np.random.default_rng(seed)
    drawn = np.array([statistic(generator.integers(n, size=n)) for _ in range(draws)])
    defined = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or len(defined) < draws * 39 / 40:
        return NotComputed(f"the statistic has no value in {draws - len(defined)} of {draws} resamples")
    low, high = _percentiles(defined, level)
    return Estimate(float(value), low, high, n)


def paired_difference(
    a: ArrayLike, b: ArrayLike, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> Difference | NotComputed:
    """Mean of a - b over the same contexts: bootstrap percentile interval and sign-flip permutation test.

    The test is exact (every sign pattern) where there are no more patterns than `draws`.

    Raises:
        InputError: unequal lengths, or not one finite value a context.
    """
    first, second = _values(a), _values(b)
    if first.shape != second.shape:
        raise InputError(f"{len(first)} contexts against {len(second)}; a paired test needs the same ones")
    if len(first) < 2:
        return NotComputed(f"a test needs two contexts, got {len(first)}")
    differences = first - second
    low, high = _percentiles(_resampled_means(differences, draws, seed), level)
    p = sign_flip_p(differences, draws=draws, seed=seed)
    return Difference(float(differences.mean()), low, high, p, len(differences))


def sign_flip_p(differences: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p-value of a mean difference of zero, under random signs of the differences (contexts,).

    A context where both are equal says nothing either way, so the signs of the others alone are flipped.
    """
    sample = _values(differences)
    moved = sample[sample != 0]
    observed = abs(moved.sum())
    bar = observed - 1e-9 * np.abs(moved).sum()
    exact = 2 ** len(moved) <= draws
    extreme = total = 0
    for signs in _all_signs(len(moved)) if exact else _random_signs(len(moved), draws, seed):
        extreme += int((np.abs(signs @ moved) >= bar).sum())
        total += len(signs)
    return extreme / total if exact else (1 + extreme) / (1 + total)


def label_permutation_p(
    statistic: Callable[[NDArray[np.bool_]], float], n: int, *, draws: int = DRAWS, seed: int = 0
) -> float:
    """Two-sided p-value of a corpus difference, as in Dist-n, under swaps of the two systems per context.

    Args:
        statistic: the difference of the two systems when the replies of the marked contexts are swapped.
        n: number of contexts.
    """
    generator = np.random.default_rng(seed)
    observed = abs(statistic(np.zeros(n, dtype=bool)))
    drawn = [abs(statistic(generator.random(n) < 0.5)) for _ in range(draws)]
    extreme = sum(value >= observed - 1e-12 for value in drawn)
    return (1 + extreme) / (1 + draws)


def sign_test_p(wins: int, losses: int) -> float:
    """Exact two-sided sign test: p-value of so uneven a split of the non-ties if both were as good."""
    n, fewer = wins + losses, min(wins, losses)
    if fewer < 0:
        raise InputError(f"{wins} wins and {losses} losses; expected counts")
    ways = tail = 1
    for k in range(fewer):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, float(2 * tail / 2**n))


def resolvable_win_rate(n: int) -> float:
    """The win rate that `n` contexts tell from one half with 80% power at two-sided 0.05, at most 1.

    The closed form .5 + 1.4 / sqrt(n) is the normal approximation: .60 for 200 contexts, .57 for 400.
    """
    return min(1.0, 0.5 + 1.4 / math.sqrt(n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of the p-values of one family of tests, in their order.

    Raises:
        InputError: a value is no probability.
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise InputError(f"p-value {p}, expected 0 to 1")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, (len(p_values) - place) * p_values[i])
        adjusted[i] = min(1.0, largest)
    return adjusted


def seed_spread(values: Sequence[float]) -> SeedSpread | NotComputed:
    """Mean and range of one number over training seeds."""
    if len(values) < 2:
        return NotComputed(f"a spread needs two seeds, got {len(values)}")
    sample = _values(values)
    return SeedSpread(float(sample.mean()), float(sample.min()), float(sample.max()), len(sample))


def _values(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"values have shape {array.shape}, expected one a context")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(
            f"{count} of {len(array)} values are NaN or infinite; leave those contexts out first"
        )
    return array


def _resampled_means(sample: Floats, draws: int, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    means = [
        sample[generator.integers(len(sample), size=(count, len(sample)))].mean(axis=1)
        for count in _chunks(draws, len(sample))
    ]
    return np.concatenate(means)


def _random_signs(n: int, draws: int, seed: int) -> Iterator[Floats]:
    generator = np.random.default_rng(seed)
    for count in _chunks(draws, n):
        signs = 1 - 2 * generator.integers(2, size=(count, n))
        yield signs.astype(np.float64)


def _all_signs(n: int) -> Iterator[Floats]:
    signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    yield signs.astype(np.float64)


def _chunks(draws: int, n: int) -> Iterator[int]:
    """Split `draws` so that draws x contexts never stand in memory at once."""
    size = max(1, _CELLS_AT_ONCE // max(1, n))
    for start in range(0, draws, size):
        yield min(size, draws - start)


def _percentiles(drawn: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
