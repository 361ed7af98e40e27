"""Cells, notes and markdown of tables."""

from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.significance import Difference, Estimate, SeedSpread
from g2r.evaluation.tables import table


def test_markdown_of_every_kind_of_value():
    found = table(
        ("system", "value"),
        [
            ("a|b\nc", Estimate(0.4125, 0.39, 0.44, 800)),
            ("d", Difference(0.05, -0.01, 0.11, 0.1, 800)),
            ("e", Difference(-0.05, -0.11, -0.01, 0.04, 800)),
            ("f", SeedSpread(0.5, 0.4, 0.6, 3)),
            ("g", 13.82),
            ("h", 4),
            ("i", None),
        ],
    )
    assert found.markdown().splitlines() == [
        "| system | value |",
        "| --- | --- |",
        "| a\\|b c | 0.412 [0.390, 0.440] |",
        "| d | +0.050 [-0.010, 0.110] |",
        "| e | -0.050 [-0.110, -0.010] |",
        "| f | 0.500 (0.400 to 0.600, 3 seeds) |",
        "| g | 13.8 |",
        "| h | 4 |",
        "| i |  |",
    ]


def test_what_is_not_computed_says_why_once():
    why = NotComputed("one context")
    found = table(("a", "b"), [(why, NotComputed("no replies")), (why, 1)])
    assert [row[0] for row in found.rows] == ["– [1]", "– [1]"]
    assert found.notes == ("[1] not computed: one context", "[2] not computed: no replies")
    assert found.markdown().count("one context") == 1
