"""Percentiles against numpy, their intervals against what is known of the sample."""

import numpy as np
import pytest

from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.significance import Estimate
from g2r.latency.percentiles import percentile, percentile_ratio, samples_needed

MS = np.random.default_rng(0).lognormal(2, 0.4, size=(60, 10))


@pytest.mark.parametrize("at", [50, 95, 99])
def test_a_percentile_is_numpys_with_an_interval_around_it(at: int) -> None:
    found = percentile(MS, at)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(np.percentile(MS, at))
    assert found.low < found.value < found.high
    assert found.n == 60


def test_the_interval_is_over_contexts_not_over_samples() -> None:
    """Rounds that repeat the first add no knowledge: the interval stays as wide."""
    once, often = percentile(MS[:, :1], 50), percentile(np.repeat(MS[:, :1], 40, axis=1), 50)
    assert isinstance(once, Estimate)
    assert isinstance(often, Estimate)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.1)


def test_too_few_samples_give_no_percentile() -> None:
    assert [samples_needed(at) for at in (50, 95, 99)] == [6, 60, 300]
    assert isinstance(percentile(MS[:30, :9], 99), NotComputed)
    assert isinstance(percentile(MS[:30], 99), Estimate)
    few = percentile_ratio(MS[:2, :2], MS, 50)
    assert isinstance(few, NotComputed)
    assert "p50 needs 6 samples, got 4" in few.reason


def test_a_ratio_is_paired_and_on_the_contexts_both_answered() -> None:
    half = percentile_ratio(MS / 2, MS, 95)
    assert isinstance(half, Estimate)
    assert (half.low, half.value, half.high) == pytest.approx((0.5, 0.5, 0.5))
    slow = 10 * MS[:20, :3]
    ratio = percentile_ratio(MS, slow, 50)
    assert isinstance(ratio, Estimate)
    assert ratio.n == 20
    assert ratio.value == pytest.approx(np.percentile(MS[:20], 50) / np.percentile(slow, 50))
