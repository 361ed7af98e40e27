"""Signals to one sum (logistic regression), the sum to a confidence (isotonic regression)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2r.confidence import Signals, Weight
from g2r.errors import DependencyError

try:
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression
except ImportError as error:
    raise DependencyError("calibration needs scikit-learn: pip install 'g2r[train]'") from error

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def fit_weights(signals: Sequence[Signals], good: Bools) -> dict[str, Weight]:
    """What each signal adds to the log odds of a good reply, by L2-regularised logistic regression.

    A signal that no reply has, or that is the same for all, is left out; where one reply lacks it, it counts as
    the mean.

    Args:
        signals: those of each reply.
        good: (replies,), of both kinds.
    """
    columns: dict[str, Floats] = {}
    scales: dict[str, tuple[float, float]] = {}
    for name in dict.fromkeys(name for own in signals for name in own):
        given = [own.get(name) for own in signals]
        values = np.array([np.nan if value is None else value for value in given], dtype=np.float64)
        known = values[~np.isnan(values)]
        if len(known) and known.std() > 0:
            scales[name] = float(known.mean()), float(known.std())
            columns[name] = np.nan_to_num((values - known.mean()) / known.std())
    if not columns:
        return {}
    fitted = LogisticRegression().fit(np.stack(list(columns.values()), axis=1), good)
    return {
        name: Weight(weight=float(weight), mean=scales[name][0], spread=scales[name][1])
        for name, weight in zip(columns, fitted.coef_[0], strict=True)
    }


def fit_knots(sums: Floats, good: Bools) -> tuple[tuple[float, float], ...]:
    """The isotonic regression of `good` on `sums`, both (replies,), as (sum, confidence) to interpolate between.

    No confidence is nearer to 0 or 1 than one reply more of each kind would have it.
    """
    least = 1 / (len(good) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least).fit(sums, good.astype(np.float64))
    knots = zip(fitted.X_thresholds_, fitted.y_thresholds_, strict=True)
    return tuple((float(x), float(y)) for x, y in knots)
