"""Systems compared item by item agree with the tests they are made of."""

import numpy as np
import pytest

from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.paired import compare_values
from g2r.evaluation.significance import bootstrap_mean, holm, paired_difference

GENERATOR = np.random.default_rng(0)
A, B, C = GENERATOR.random((3, 40))
B2 = GENERATOR.random(40)


def test_standings_are_paired_tests_with_holm_over_the_systems():
    found = {s.name: s for s in compare_values({"a": [A], "b": [B, B2], "c": [C]}, reference="a")}
    mean_b = (B + B2) / 2
    assert found["b"].value == bootstrap_mean(mean_b)
    assert found["b"].difference == paired_difference(mean_b, A)
    expected = holm([paired_difference(mean_b, A).p, paired_difference(C, A).p])
    assert [found["b"].p_adjusted, found["c"].p_adjusted] == expected
    assert (found["a"].difference, found["a"].p_adjusted, found["a"].seeds) == (None, None, None)
    assert (found["b"].seeds.low, found["b"].seeds.high) == tuple(sorted((B.mean(), B2.mean())))


def test_a_difference_is_taken_where_both_have_a_value():
    a, b = A.copy(), B.copy()
    a[:5], b[3:8] = np.nan, np.nan
    standing = compare_values({"a": [a], "b": [b]}, reference="a")[1]
    assert standing.value == bootstrap_mean(b[~np.isnan(b)])
    assert standing.difference == paired_difference(b[8:], a[8:])


def test_a_system_without_any_value_takes_nothing_from_the_others():
    found = {
        s.name: s for s in compare_values({"a": [A], "b": [B], "mute": [np.full(40, np.nan)]}, reference="a")
    }
    assert isinstance(found["mute"].value, NotComputed)
    assert isinstance(found["mute"].difference, NotComputed)
    assert isinstance(found["mute"].p_adjusted, NotComputed)
    assert found["b"].difference == paired_difference(B, A)
    assert found["b"].p_adjusted == found["b"].difference.p


def test_one_context_is_not_computed():
    found = compare_values({"a": [A[:1]], "b": [B[:1]]}, reference="a")
    assert all(isinstance(s.value, NotComputed) for s in found)
    assert isinstance(found[1].difference, NotComputed)


@pytest.mark.parametrize(
    ("values", "reference", "message"),
    [
        ({"a": [A], "b": [B[:5]]}, "a", r"values for \[5, 40\] items"),
        ({"a": [A], "b": []}, "a", r"no results of \['b'\]"),
        ({}, "a", "no results of any system"),
        ({"a": [A]}, "z", "no system 'z' to compare with"),
        ({"a": [A], "b": [np.where(B > 0.9, np.inf, B)]}, "a", "NaN or infinite"),
    ],
)
def test_unlike_is_not_compared_with_unlike(values, reference, message):
    with pytest.raises(InputError, match=message):
        compare_values(values, reference=reference)
