"""Krippendorff's alpha against the published worked example and a plain loop."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2r.errors import InputError
from g2r.evaluation.agreement import alpha_interval, krippendorff_alpha
from g2r.evaluation.metrics import NotComputed

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example with four observers.
NAN = np.nan
WORKED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_published_example(level, published):
    assert krippendorff_alpha(WORKED, level=level) == pytest.approx(published, abs=0.0005)


def test_interval_holds_the_value_and_repeats():
    found = alpha_interval(WORKED, level="ordinal", draws=500)
    assert found.low < found.value < found.high <= 1
    assert found.n == 11
    assert found == alpha_interval(WORKED, level="ordinal", draws=500)


def plain_alpha(table, distance):
    """Observed over expected disagreement, by loops over pairs of ratings."""
    items = [[x for x in column if not np.isnan(x)] for column in table.T]
    items = [item for item in items if len(item) > 1]
    pairs = [(a, b, 1 / (len(item) - 1)) for item in items for a, b in itertools.permutations(item, 2)]
    everything = [x for item in items for x in item]
    observed = sum(weight * distance(a, b) for a, b, weight in pairs) / len(everything)
    expected = np.mean([distance(a, b) for a, b in itertools.permutations(everything, 2)])
    return 1 - observed / expected


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, 4.0, NAN]), min_size=6, max_size=6), min_size=2, max_size=4
    )
)
def test_alpha_equals_a_plain_loop(rows):
    table = np.array(rows)
    for level, distance in (("nominal", lambda a, b: a != b), ("interval", lambda a, b: (a - b) ** 2)):
        alpha = krippendorff_alpha(table, level=level)
        if not isinstance(alpha, NotComputed):
            assert alpha == pytest.approx(plain_alpha(table, distance))


def test_two_raters_who_always_agree_and_always_differ():
    assert krippendorff_alpha([[1, 2, 3], [1, 2, 3]], level="nominal") == 1
    assert krippendorff_alpha([[1, 2], [2, 1]], level="nominal") < 0


@pytest.mark.parametrize("table", [[[1, 1], [1, 1]], [[1, NAN], [NAN, 2]], [[1, 2, 3]]])
def test_what_has_no_alpha_is_not_computed(table):
    assert isinstance(krippendorff_alpha(table, level="nominal"), NotComputed)
    assert isinstance(alpha_interval(table, level="nominal"), NotComputed)


def test_a_flat_list_is_refused():
    with pytest.raises(InputError, match="raters, items"):
        krippendorff_alpha([1, 2, 3], level="nominal")
