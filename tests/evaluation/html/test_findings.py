"""Differences are found in the values of a section as its dataclasses write them."""

from dataclasses import replace

import pytest
from reports import COMPARISON, ROWS, difference

from g2r.evaluation.html.findings import Finding, estimates, findings, reference
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.preferences import win_rate
from g2r.evaluation.report import as_json


def test_differences_of_rows_with_their_adjusted_p():
    found = findings(as_json(COMPARISON))
    assert [(f.system, f.metric, f.value, f.p, f.adjusted) for f in found] == [
        ("student", "difference", 0.3, 0.0012, True),
        ("BM25", "difference", -0.2, 0.03, True),
        ("untrained base", "difference", -0.01, 0.8, True),
    ]
    assert [f.verdict for f in found] == ["higher", "lower", "open"]


def test_differences_of_a_mapping_by_metric():
    values = {
        "d": {
            "differences": {"U": difference(0.1, 0.01), "S": difference(0.2, 0.5)},
            "p_adjusted": {"U": 0.02},
        },
        "note": 3,
    }
    found = findings(as_json(values))
    assert [(f.system, f.metric, f.p, f.adjusted) for f in found] == [
        ("d", "U", 0.02, True),
        ("d", "S", 0.5, False),
    ]


def test_a_plain_list_of_rows_is_read_too():
    rows = as_json(COMPARISON)["rows"]
    assert findings(rows) == findings(as_json(COMPARISON))
    assert reference(rows) == "baseline"


def test_what_was_not_computed_is_no_finding():
    row = replace(ROWS[1], difference=NotComputed("one context"), p_adjusted=NotComputed("same"))
    assert findings(as_json({"rows": [row]})) == ()


def test_values_without_systems_have_no_findings():
    for values in (None, 3, "text", [], {"a": 1}, {"rows": [1, "x"]}, ["rows"]):
        assert findings(values) == ()
        assert reference(values) == ""
        assert estimates(values) == {}


def test_a_difference_of_nothing_is_open_whatever_its_p():
    assert Finding("a", "m", 0.0, 0.0, 0.0, 0.001, True).verdict == "open"


def test_win_rates_are_even_at_one_half():
    values = {
        "reference": "baseline",
        "systems": {
            "d": {"outcomes": ["a"], "rate": win_rate(["a"] * 30 + ["b"] * 6)},
            "dm": {"outcomes": ["a"], "rate": win_rate(["a"] * 9 + ["b"] * 9)},
            "BM25": {"outcomes": [], "rate": win_rate([])},
        },
    }
    d, dm = findings(as_json(values))
    assert (d.metric, d.even, d.verdict, d.adjusted) == ("rate", 0.5, "higher", False)
    assert d.value == pytest.approx(30 / 36)
    assert dm.verdict == "open"


@pytest.mark.parametrize("wrong", [None, "0.3", True])
def test_what_is_no_number_is_no_finding(wrong):
    values = as_json(COMPARISON)
    values["rows"][1]["difference"]["value"] = wrong
    assert "student" not in [f.system for f in findings(values)]


def test_the_first_estimate_of_each_system():
    assert estimates(as_json(COMPARISON)) == {
        "baseline": 0.5, "student": 0.8, "BM25": 0.3, "untrained base": 0.49,
    }  # fmt: skip
