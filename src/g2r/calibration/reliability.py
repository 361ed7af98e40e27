"""How true confidences are: reliability bins, expected calibration error, Brier score."""

import numpy as np
from numpy.typing import NDArray

from g2r.calibration.thresholds import interval
from g2r.confidence import Bin, Measured

BINS = 10
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def reliability_bins(confidences: Floats, good: Bools, *, bins: int = BINS) -> tuple[Bin, ...]:
    """The bins of equal width that hold replies, each with its share of good ones and the exact interval.

    Args:
        confidences: (replies,), 0 to 1.
        good: (replies,).
    """
    place = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    n = np.bincount(place, minlength=bins)
    hits = np.bincount(place, weights=good, minlength=bins)
    sums = np.bincount(place, weights=confidences, minlength=bins)
    low, high = interval(hits, n)
    return tuple(
        Bin(
            low=i / bins,
            high=(i + 1) / bins,
            n=int(n[i]),
            confidence=float(sums[i] / n[i]),
            good=float(hits[i] / n[i]),
            good_low=float(low[i]),
            good_high=float(high[i]),
        )
        for i in np.flatnonzero(n)
    )


def measure(confidences: Floats, good: Bools, *, fitted_share: float) -> Measured:
    """Measure confidences on replies that nothing was fitted on; both (replies,).

    Args:
        fitted_share: share of good ones among the replies fitted on, the constant to do better than.
    """
    found = reliability_bins(confidences, good)
    return Measured(
        n=len(good),
        good=float(good.mean()),
        ece=sum(own.n * abs(own.confidence - own.good) for own in found) / len(good),
        brier=float(((confidences - good) ** 2).mean()),
        brier_of_share=float(((fitted_share - good) ** 2).mean()),
        bins=found,
    )
