"""Win rates and Bradley-Terry against scipy and closed forms."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.preferences import Choice, bradley_terry, bradley_terry_intervals, win_rate


def test_win_rate_equals_scipy_wilson_and_binomial():
    found = win_rate(["a"] * 31 + ["b"] * 15 + ["tie"] * 4)
    test = stats.binomtest(31, 46)
    wilson = test.proportion_ci(method="wilson")
    assert (found.value, found.wins, found.losses, found.ties) == (31 / 46, 31, 15, 4)
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high))
    assert found.p == pytest.approx(test.pvalue)


def test_ties_alone_are_not_computed():
    assert isinstance(win_rate(["tie", "tie"]), NotComputed)
    assert isinstance(win_rate([]), NotComputed)


def test_two_systems_have_the_closed_form():
    choices = [Choice("x", "y", "a")] * 30 + [Choice("y", "x", "a")] * 10
    strengths = bradley_terry(choices)
    assert strengths["x"] - strengths["y"] == pytest.approx(math.log(3))
    assert sum(strengths.values()) == pytest.approx(0)


def games(seed=0, n=600):
    generator = np.random.default_rng(seed)
    truth = {"p": 1.0, "q": 0.2, "r": -1.2}
    choices = []
    for _ in range(n):
        a, b = generator.choice(list(truth), size=2, replace=False)
        p = 1 / (1 + math.exp(truth[b] - truth[a]))
        tie = generator.random() < 0.1
        choices.append(Choice(str(a), str(b), "tie" if tie else "a" if generator.random() < p else "b"))
    return choices


def test_fit_is_the_maximum_of_the_likelihood():
    choices = games()
    names = ["p", "q", "r"]

    def loss(free):
        strength = dict(zip(names, [*free, -sum(free)], strict=True))
        total = 0.0
        for c in choices:
            won = {"a": 1.0, "tie": 0.5, "b": 0.0}[c.outcome]
            gap = strength[c.a] - strength[c.b]
            total += won * math.log1p(math.exp(-gap)) + (1 - won) * math.log1p(math.exp(gap))
        return total

    best = optimize.minimize(loss, [0.0, 0.0], tol=1e-10).x
    strengths = bradley_terry(choices)
    assert [strengths["p"], strengths["q"]] == pytest.approx(best, abs=1e-4)


def test_intervals_hold_the_fit_and_the_truth_shrunk_by_ties():
    found = bradley_terry_intervals(games(), draws=200)
    assert all(e.low < e.value < e.high for e in found.values())
    assert found["p"].low > found["q"].high > found["q"].low > found["r"].high


def test_a_system_that_never_loses_has_no_strength():
    choices = [Choice("x", "y", "a")] * 5
    assert isinstance(bradley_terry(choices), NotComputed)
    assert isinstance(bradley_terry_intervals(choices), NotComputed)
    once = [*choices, Choice("x", "y", "b")]
    assert isinstance(bradley_terry_intervals(once, draws=100), NotComputed)


def test_a_system_against_itself_is_refused():
    with pytest.raises(InputError, match="'x' and itself"):
        bradley_terry([Choice("x", "x", "a")])
