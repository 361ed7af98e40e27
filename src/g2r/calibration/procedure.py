"""From rated replies to a calibration."""

from collections.abc import Sequence

import numpy as np

from g2r.calibration.fitting import fit_knots, fit_weights
from g2r.calibration.reliability import measure
from g2r.calibration.replies import RatedReply
from g2r.calibration.thresholds import threshold_steps
from g2r.confidence import Calibration, Origin
from g2r.config import CalibrateConfig
from g2r.errors import InputError

FEWEST = 40


def calibrate(
    replies: Sequence[RatedReply], origin: Origin, config: CalibrateConfig | None = None
) -> Calibration:
    """Fit on every other reply, measure and set thresholds on the rest.

    Args:
        replies: independent of each other, in an order that has nothing to do with their scores.
        origin: of the bot that said them.

    Raises:
        InputError: there are fewer than 40, or those fitted on are all good or all bad.
    """
    config = config or CalibrateConfig()
    if len(replies) < FEWEST:
        raise InputError(
            f"{len(replies)} rated replies, expected at least {FEWEST}, half to fit on and half to measure; "
            "give more contexts, or a teacher that rates more of the replies"
        )
    good = np.array([reply.score >= config.good for reply in replies])
    fitted, measured = slice(0, None, 2), slice(1, None, 2)
    if good[fitted].all() or not good[fitted].any():
        raise InputError(
            f"all of {len(good[fitted])} replies are {'good' if good[0] else 'bad'} at judge scores of "
            f"{config.good:g} or more, so confidence cannot be fitted; set another --good or give more contexts"
        )
    weights = fit_weights([reply.signals for reply in replies[fitted]], good[fitted])
    linear = Calibration(
        origin=origin, good=config.good, certainty=config.certainty, weights=weights, knots=((0.0, 0.0),)
    )
    sums = np.array([linear.total(reply.signals) for reply in replies])
    knots = fit_knots(sums[fitted], good[fitted])
    levels = np.array([confidence for _, confidence in knots])
    confidences = np.interp(sums, [at for at, _ in knots], levels)
    halves = [(confidences[half], good[half]) for half in (fitted, measured)]
    return linear.model_copy(
        update={
            "knots": knots,
            "steps": threshold_steps(halves[0], halves[1], levels, config.certainty),
            "measured": measure(*halves[1], fitted_share=float(good[fitted].mean())),
        }
    )
