"""Bounds against closed forms and scipy's binomial; what a threshold promises against thousands of drawn worlds."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from g2r.calibration.thresholds import interval, threshold_steps, upper_bound
from g2r.confidence import Calibration, Origin, Step, unreachable

LEVELS = np.linspace(0.05, 0.95, 19)


def test_the_bound_is_the_share_at_which_so_few_bad_ones_are_just_too_few():
    for bad, n in ((0, 30), (1, 30), (7, 40), (39, 40)):
        bound = float(upper_bound(bad, n, 0.9))
        assert binom.cdf(bad, n, bound) == pytest.approx(0.1)
        exact = binomtest(bad, n, alternative="less").proportion_ci(confidence_level=0.9, method="exact")
        assert bound == pytest.approx(exact.high)
    assert float(upper_bound(0, 50, 0.95)) == pytest.approx(1 - 0.05 ** (1 / 50))
    assert upper_bound([0, 5, 0], [0, 5, 1], 0.95) == pytest.approx([1, 1, 0.95])


def test_the_interval_is_scipys():
    for hits, n in ((0, 12), (5, 12), (12, 12)):
        exact = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="exact")
        assert [float(side) for side in interval(hits, n)] == pytest.approx([exact.low, exact.high])


def drawn(generator: np.random.Generator, n: int, bad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """n replies of uniformly drawn levels; those of level i are bad with probability bad[i]."""
    place = generator.integers(len(LEVELS), size=n)
    return LEVELS[place], generator.random(n) >= bad[place]


def true_share(confidence: float, bad: np.ndarray) -> float:
    """Share of bad ones among all replies at or over a threshold."""
    return float(bad[confidence <= LEVELS].mean())


@pytest.mark.parametrize(
    ("bad", "max_bad", "reached"),
    [
        (0.6 * (1 - LEVELS), 0.15, 0.4),
        (0.6 * (1 - LEVELS), 0.3, 0.95),
        (np.where(LEVELS > 0.9, 0.9, 0.1), 0.25, 0.3),  # the surest are the worst
        (np.full(19, 0.205), 0.2, 0.0),  # nothing holds it: every threshold found is a broken promise
    ],
)
def test_a_share_chosen_beforehand_is_exceeded_as_seldom_as_promised(bad, max_bad, reached):
    generator, draws, certainty = np.random.default_rng(1), 500, 0.9
    broken = found = 0
    for _ in range(draws):
        first, second = (drawn(generator, 250, bad) for _ in range(2))
        steps = threshold_steps(first, second, LEVELS, certainty)
        fitting = [step for step in steps if step.max_bad <= max_bad]
        if fitting:
            found += 1
            broken += true_share(fitting[-1].confidence, bad) > max_bad
    chance = 1 - certainty
    assert broken / draws <= chance + 3 * np.sqrt(chance * certainty / draws)
    assert found / draws >= reached


def test_steps_go_from_strict_to_loose_and_tell_what_was_measured():
    generator = np.random.default_rng(2)
    first, second = (drawn(generator, 2000, 0.6 * (1 - LEVELS)) for _ in range(2))
    steps = threshold_steps(first, second, LEVELS, 0.95)
    assert len(steps) > 3
    assert [s.confidence for s in steps] == sorted((s.confidence for s in steps), reverse=True)
    assert all(a.max_bad < b.max_bad for a, b in pairwise(steps))
    confidences, good = second
    for step in steps:
        said = confidences >= step.confidence
        assert step.answered == pytest.approx(said.mean())
        assert step.bad == pytest.approx((~good[said]).mean())
        assert step.max_bad >= float(upper_bound((~good[said]).sum(), said.sum(), 0.95)) - 1e-12
    assert steps[-1].answered == 1


def test_the_loosest_threshold_that_holds_is_taken_or_the_lowest_share_told():
    steps = (
        Step(confidence=0.9, max_bad=0.12, bad=0.05, answered=0.2),
        Step(confidence=0.6, max_bad=0.2, bad=0.11, answered=0.5),
        Step(confidence=0.1, max_bad=0.55, bad=0.5, answered=1.0),
    )
    calibration = Calibration(
        origin=Origin(bank="b", student="s", scoring={}),
        good=6,
        certainty=0.95,
        weights={},
        knots=((0.0, 0.5),),
        steps=steps,
    )
    assert calibration.step_for(0.1) is None
    assert "lowest that holds with certainty 0.95 is 0.120" in unreachable(calibration, 0.1)
    assert calibration.step_for(0.12) is steps[0]
    assert calibration.step_for(0.54) is steps[1]
    assert calibration.step_for(0.9) is steps[2]


def test_where_all_is_bad_there_is_no_threshold():
    bad = (np.array([0.2, 0.8]), np.array([False, False]))
    assert threshold_steps(bad, bad, LEVELS, 0.95) == ()
