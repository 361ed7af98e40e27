"""Intervals and tests against scipy, closed forms and enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed, distinct_n
from g2r.evaluation.significance import (
    bootstrap,
    bootstrap_mean,
    holm,
    label_permutation_p,
    paired_difference,
    resolvable_win_rate,
    seed_spread,
    sign_flip_p,
    sign_test_p,
)


def test_interval_of_a_mean_nears_the_normal_one_and_scipy():
    values = np.random.default_rng(1).normal(3, 2, size=400)
    estimate = bootstrap_mean(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=5)
    half = 1.96 * values.std() / math.sqrt(400)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.n == 400
    for ours, scipy, normal in (
        (estimate.low, theirs.confidence_interval.low, values.mean() - half),
        (estimate.high, theirs.confidence_interval.high, values.mean() + half),
    ):
        assert ours == pytest.approx(scipy, abs=0.02)
        assert ours == pytest.approx(normal, abs=0.02)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(2)
    estimates = [bootstrap_mean(generator.random(60), draws=500, seed=i) for i in range(300)]
    assert 0.90 < np.mean([e.low <= 0.5 <= e.high for e in estimates]) < 0.98


def test_same_seed_same_interval():
    values = np.random.default_rng(0).random(30)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=2, max_size=9))
def test_exact_sign_flips_equal_enumeration(differences):
    observed = abs(sum(differences))
    flipped = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product([-1, 1], repeat=len(differences))
    ]
    assert sign_flip_p(differences) == pytest.approx(np.mean([f >= observed for f in flipped]))


def test_drawn_sign_flips_near_scipy():
    generator = np.random.default_rng(3)
    a = generator.normal(0.18, 1, size=200)
    theirs = stats.permutation_test(
        (a, np.zeros(200)), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=10_000, rng=1,
    )  # fmt: skip
    assert sign_flip_p(a) == pytest.approx(theirs.pvalue, abs=0.01)
    assert 0.001 < theirs.pvalue < 0.2


def test_sign_flips_reject_a_true_null_at_their_level():
    generator = np.random.default_rng(4)
    p = [sign_flip_p(generator.normal(size=25), draws=400, seed=i) for i in range(400)]
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.09


def test_paired_difference_of_equal_systems_is_none():
    same = [0.0, 1.0, 1.0]
    found = paired_difference(same, same)
    assert (found.value, found.low, found.high, found.p, found.n) == (0, 0, 0, 1, 3)


def test_paired_difference_sees_what_is_paired():
    generator = np.random.default_rng(5)
    hard = generator.normal(0, 10, size=100)
    found = paired_difference(hard + 0.5 + generator.normal(0, 0.5, 100), hard)
    assert 0 < found.low < 0.5 < found.high < 1
    assert found.p < 0.001


@pytest.mark.parametrize("values", [[], [1.0]])
def test_one_context_is_not_computed(values):
    assert isinstance(bootstrap_mean(values), NotComputed)
    assert isinstance(paired_difference(values, values), NotComputed)
    assert isinstance(bootstrap(lambda drawn: 1.0, len(values)), NotComputed)
    assert isinstance(seed_spread(values), NotComputed)


def test_wrong_values_are_refused():
    with pytest.raises(InputError, match="2 contexts against 3"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="1 of 3 values are NaN"):
        bootstrap_mean([1, math.nan, 2])
    with pytest.raises(InputError, match="one a context"):
        bootstrap_mean([[1, 2]])


def test_bootstrap_of_a_statistic_equals_that_of_a_mean():
    values = np.random.default_rng(6).random(80)
    found = bootstrap(lambda drawn: float(values[drawn].mean()), 80, draws=2000)
    expected = bootstrap_mean(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_bootstrap_says_when_the_statistic_has_no_value():
    def undefined_without_context_0(drawn):
        return 1.0 if 0 in drawn else math.nan

    assert isinstance(bootstrap(undefined_without_context_0, 10, draws=100), NotComputed)


def test_label_permutation_finds_a_real_difference_in_distinct_n_and_no_other():
    poor = [["i", "do", "not", "know"]] * 40
    rich = [[f"w{i}", f"x{i}", f"y{i}", f"z{i}"] for i in range(40)]

    def difference(first, second):
        def of_swapped(swap):
            a = [y if s else x for x, y, s in zip(first, second, swap, strict=True)]
            b = [x if s else y for x, y, s in zip(first, second, swap, strict=True)]
            return distinct_n(a, 2) - distinct_n(b, 2)

        return of_swapped

    assert label_permutation_p(difference(rich, poor), 40, draws=200) < 0.01
    assert label_permutation_p(difference(rich, rich), 40, draws=200) == 1


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_test_equals_scipy(wins, losses):
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test_p(wins, losses) == pytest.approx(expected, rel=1e-9)


def test_sign_test_bears_many_choices():
    assert sign_test_p(5200, 4800) == pytest.approx(stats.binomtest(5200, 10_000).pvalue, rel=1e-6)


def test_holm_of_a_worked_example():
    # Smallest first, times the tests left (.005*4, .01*3, .03*2), never falling: .04 gets the .06 before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    with pytest.raises(InputError, match="p-value nan"):
        holm([math.nan])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_raw_and_bonferroni(p_values):
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1, p * len(p_values)) + 1e-12


def test_seed_spread():
    spread = seed_spread([0.5, 0.4, 0.6])
    assert (spread.mean, spread.low, spread.high, spread.seeds) == (pytest.approx(0.5), 0.4, 0.6, 3)


@pytest.mark.parametrize(("n", "rate"), [(200, 0.60), (400, 0.57), (1000, 0.54)])
def test_the_win_rate_that_so_many_contexts_resolve_is_found_four_times_in_five(n, rate):
    assert resolvable_win_rate(n) == pytest.approx(rate, abs=0.006)
    wins = stats.binom(n, resolvable_win_rate(n))
    found = sum(wins.pmf(k) for k in range(n + 1) if sign_test_p(k, n - k) < 0.05)
    assert found == pytest.approx(0.8, abs=0.03)


def test_two_contexts_resolve_nothing():
    assert resolvable_win_rate(2) == 1.0
