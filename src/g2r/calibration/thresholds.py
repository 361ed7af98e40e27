"""From an accepted share of bad replies to a threshold that holds it: learn, then test.

The thresholds and their order are chosen on one half of the replies and tested on the other. With n replies at
or over a threshold, b of them bad, the share R of bad ones there is under the exact binomial (Clopper-Pearson)
bound U(b, n) with probability `certainty`. The tests begin where the first half is surest and go looser, and
the first that fails ends them, so no correction for their number is needed (fixed-sequence testing): a share
chosen beforehand is exceeded with a probability of at most 1 - certainty, at any number of replies.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2r.confidence import Step
from g2r.errors import DependencyError

try:
    from scipy.stats import beta
except ImportError as error:
    raise DependencyError("calibration needs scipy: pip install 'g2r[train]'") from error

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def upper_bound(bad: ArrayLike, n: ArrayLike, certainty: float) -> Floats:
    """The largest share of bad ones that `bad` among `n` do not rule out, at one-sided level `certainty`.

    Solves P(Binomial(n, share) <= bad) = 1 - certainty; 1 where all are bad. Same shape as `bad` and `n`.
    """
    bad, n = np.broadcast_arrays(np.asarray(bad, dtype=np.float64), np.asarray(n, dtype=np.float64))
    good = n - bad
    bound = beta.ppf(certainty, bad + 1, np.maximum(good, 1))
    return np.where(good > 0, bound, 1.0)


def interval(successes: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """The two-sided exact interval of a share: (low, high), each of the shape of `successes`."""
    successes, n = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    one_sided = (1 + level) / 2
    return 1 - upper_bound(n - successes, n, one_sided), upper_bound(successes, n, one_sided)


def threshold_steps(
    first: tuple[Floats, Bools], second: tuple[Floats, Bools], levels: Floats, certainty: float
) -> tuple[Step, ...]:
    """Thresholds from strict to loose, each with the share of bad replies that it holds.

    Args:
        first: confidences and whether good, (replies,) each, that the order of the tests is taken from.
        second: the same of other replies, that are tested.
        levels: thresholds to try, which may depend on `first` alone.
        certainty: of each bound, for a share chosen beforehand.

    Returns:
        Steps with ascending bounds: of two that hold the same share only the looser one.
    """
    descending = np.unique(levels)[::-1]
    start = int(np.argmin(_bounds(*first, descending, certainty)[0]))
    tried = descending[start:]
    bounds, shares, answered = _bounds(*second, tried, certainty)
    held = np.maximum.accumulate(bounds)
    loosest = np.append(held[1:] > held[:-1], True)
    return tuple(
        Step(
            confidence=float(tried[i]),
            max_bad=float(held[i]),
            bad=float(shares[i]),
            answered=float(answered[i]),
        )
        for i in np.flatnonzero(loosest & (held < 1))
    )


def _bounds(
    confidences: Floats, good: Bools, levels: Floats, certainty: float
) -> tuple[Floats, Floats, Floats]:
    """Of the replies at or over each level: bound and share of bad ones, and their share of all replies."""
    over = confidences[None, :] >= levels[:, None]
    n, bad = over.sum(axis=1), (over & ~good).sum(axis=1)
    return upper_bound(bad, n, certainty), bad / np.maximum(n, 1), n / max(len(good), 1)
