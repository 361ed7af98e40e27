"""Positions of marks, against what they must satisfy whatever the numbers."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from g2r.evaluation.html import plots

NUMBERS = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)
AMOUNTS = st.floats(1e-4, 1e5)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_linear_axis_holds_its_values_between_round_ticks(values):
    assume(max(values) == min(values) or max(values) - min(values) > 1e-9 * max(map(abs, values)))
    axis = plots.linear_axis(values)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min(values)
    assert max(values) <= axis.high + slack
    positions = [tick.position for tick in axis.ticks]
    assert positions[0] == 0
    assert positions[-1] == 100
    assert np.allclose(np.diff(positions), 100 / (len(positions) - 1), atol=0.02)
    assert 2 <= len(positions) <= 8
    assert len({tick.label for tick in axis.ticks}) == len(positions)


def test_ticks_of_a_known_axis():
    axis = plots.linear_axis([-0.344, 0.013])
    assert [tick.label for tick in axis.ticks] == ["−0.4", "−0.3", "−0.2", "−0.1", "0.0", "0.1"]
    assert axis.position(0) == 80
    assert axis.position(9) == 100


@given(st.lists(AMOUNTS, min_size=1, max_size=20))
def test_a_log_axis_holds_its_values_between_powers_of_ten(values):
    axis = plots.log_axis(values)
    assert axis.low <= min(values) * (1 + 1e-6)
    assert max(values) <= axis.high * (1 + 1e-6)
    for tick in axis.ticks:
        assert axis.position(float(tick.label)) == pytest.approx(tick.position, abs=0.01)


def test_the_middle_of_a_decade_is_its_root():
    axis = plots.log_axis([1.5, 8])
    assert (axis.low, axis.high) == (1, 10)
    assert axis.position(math.sqrt(10)) == 50


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60))
def test_bars_of_counts_hold_every_value_once(values):
    edges = plots.bin_edges(min(values), max(values), whole=True)
    assert np.allclose(np.diff(edges), edges[1] - edges[0])
    assert all(edge == int(edge) for edge in edges)
    assert edges[0] <= min(values)
    assert max(values) < edges[-1]
    bars = plots.histogram(values, edges, top=plots.largest_share([values], edges))
    assert sum(bar.count for bar in bars) == len(values)
    assert max(bar.height for bar in bars) == pytest.approx(100)
    for bar in bars:
        assert bar.count == sum(bar.low <= value < bar.high for value in values)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60))
def test_bars_of_scores_hold_every_value_once(values):
    edges = plots.bin_edges(min(values), max(values))
    assert len(edges) == 21
    bars = plots.histogram(values, edges, top=1.0)
    assert sum(bar.count for bar in bars) == len(values)
    assert sum(bar.height for bar in bars) == pytest.approx(100, abs=0.2)


def test_what_is_beyond_the_edges_counts_at_the_end():
    bars = plots.histogram([-5, 0.5, 1.5, 9, 9], (0.0, 1.0, 2.0), top=1.0)
    assert [bar.count for bar in bars] == [2, 3]


def test_scores_between_round_ends():
    edges = plots.bin_edges(0.0131, 0.987)
    assert (edges[0], edges[1], edges[-1]) == (0.0, pytest.approx(0.05), 1.0)


def test_histograms_of_one_scale_show_shares():
    edges = (0.0, 1.0, 2.0)
    few, many = [0.5, 1.5], [0.5, 0.5, 0.5, 1.5]
    top = plots.largest_share([few, many], edges)
    assert top == 0.75
    assert [bar.height for bar in plots.histogram(few, edges, top=top)] == pytest.approx([66.67, 66.67])


NAMED = st.tuples(st.text("abc", min_size=1, max_size=12), AMOUNTS, st.floats(0, 1))


@given(st.lists(NAMED, min_size=1, max_size=10))
@example([("a", 1.0, 5e-324)])
def test_labels_of_a_scatter_do_not_cover_each_other(points):
    shown = plots.scatter(points)
    boxes = []
    for point in shown.points:
        assert 0 <= point.x <= 100
        assert 0 <= point.y <= shown.height
        middle, width = 3 * point.x, 6.6 * len(point.label)
        left = middle - 10 - width if point.left else middle + 10
        boxes.append((left, left + width, point.label_y))
    for i, (left, right, y) in enumerate(boxes):
        for other_left, other_right, other_y in boxes[:i]:
            assert right <= other_left or other_right <= left or abs(y - other_y) >= 14.99


def test_a_label_leaves_room_for_the_mark_beside_it():
    first, second = plots.scatter([("hnsw", 1.0, 0.9), ("ivf", 1.3, 0.9)], height=300).points
    assert first.x < second.x < first.x + 20
    assert abs(first.label_y - second.y) > 7


def test_curves_join_their_marks_and_label_the_last():
    shown = plots.curves([("hnsw", [(1, 0.5), (10, 1.0)]), ("flat", [(100, 1.0)])], height=200)
    (line,) = shown.lines
    assert (line.x1, line.y1, line.x2, line.y2) == (0, 200, 50, 0)
    assert {(p.label, p.x, p.y) for p in shown.points} == {("", 0, 200), ("hnsw", 50, 0), ("flat", 100, 0)}


def test_numbers_have_a_true_minus_and_zero_none():
    assert [plots.signed(text) for text in ("-0.31", "0.2", "-0.00")] == ["−0.31", "0.2", "0.00"]
