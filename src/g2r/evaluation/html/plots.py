"""Where the marks of a plot stand: numbers in, positions out; the template draws them.

A horizontal position is a percentage of the plot's width, so that a plot fits every screen while its text keeps
its size; a vertical one is in pixels from the top.
"""

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LETTER, _LINE, _NARROW = 6.6, 15.0, 300.0
"""Width of a letter and height of a line of a label, and the width of a narrow plot, in pixels."""


@dataclass(frozen=True, slots=True)
class Tick:
    position: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from `low` to `high`; ticks stand within it, in percent of its length."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    log: bool = False

    def position(self, value: float) -> float:
        """Percent of the way from low to high, 0 to 100."""
        low, high, value = (math.log10(x) if self.log else x for x in (self.low, self.high, value))
        return round(min(100.0, max(0.0, 100 * (value - low) / (high - low))), 2)


def linear_axis(values: Sequence[float], *, ticks: int = 5) -> Axis:
    """An axis that holds `values`, from round number to round number."""
    low, high = min(values), max(values)
    step = _round_step((high - low) or abs(high) or 1.0, ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return Axis(
        first * step,
        last * step,
        tuple(
            Tick(round(100 * (i - first) / (last - first), 2), signed(f"{i * step:.{decimals}f}"))
            for i in range(first, last + 1)
        ),
    )


def log_axis(values: Sequence[float]) -> Axis:
    """A logarithmic axis that holds `values` (above 0), from power of ten to power of ten."""
    first = math.floor(math.log10(min(values)) + 1e-9)
    last = max(first + 1, math.ceil(math.log10(max(values)) - 1e-9))
    ticks = tuple(
        Tick(round(100 * (power - first) / (last - first), 2), f"{10.0**power:g}")
        for power in range(first, last + 1)
    )
    return Axis(10.0**first, 10.0**last, ticks, log=True)


def signed(number: str) -> str:
    """A number as text with a true minus sign; zero has none."""
    return number.removeprefix("-") if not number.strip("-0.") else number.replace("-", "−")


@dataclass(frozen=True, slots=True)
class Bar:
    """Positions in percent; `low` and `high` are the edges of the bin, `count` what fell into it."""

    left: float
    width: float
    height: float
    low: float
    high: float
    count: int


def bin_edges(low: float, high: float, *, bins: int = 20, whole: bool = False) -> tuple[float, ...]:
    """Edges of about so many equal bins that hold `low` to `high`: of whole width for counts, else between round ends."""
    if whole:
        step = max(1, math.ceil((high - low + 1) / bins))
        return tuple(float(low + i * step) for i in range(math.ceil((high - low + 1) / step) + 1))
    axis = linear_axis([low, high])
    return tuple(float(edge) for edge in np.linspace(axis.low, axis.high, bins + 1))


def histogram(values: Sequence[float], edges: Sequence[float], *, top: float) -> tuple[Bar, ...]:
    """Bars of the bins that hold something; a bar with the share `top` of the values has the full height.

    What lies beyond the edges counts in the bar at that end.
    """
    counts = _counts(values, edges)
    width, full = 100 / len(counts), top * len(values)
    return tuple(
        Bar(
            round(i * width, 2),
            round(width, 2),
            round(100 * int(count) / full, 2),
            edges[i],
            edges[i + 1],
            int(count),
        )
        for i, count in enumerate(counts)
        if count
    )


def largest_share(values: Sequence[Sequence[float]], edges: Sequence[float]) -> float:
    """The largest share of its values that a bin of several histograms holds."""
    return max(float(_counts(own, edges).max()) / len(own) for own in values)


def _counts(values: Sequence[float], edges: Sequence[float]) -> NDArray[np.int64]:
    return np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)[0]


@dataclass(frozen=True, slots=True)
class Point:
    """A mark with its label, empty if it has none; x in percent, y and label_y in pixels.

    Attributes:
        left: whether the label stands left of the mark.
    """

    label: str
    x: float
    y: float
    label_y: float
    left: bool


@dataclass(frozen=True, slots=True)
class Line:
    """From one mark to the next of its curve; x in percent, y in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Scatter:
    """Marks; those of a curve are joined, and its last one bears the label."""

    points: tuple[Point, ...]
    x_axis: Axis
    y_axis: Axis
    height: float
    lines: tuple[Line, ...] = ()


Curve = Sequence[tuple[float, float]]
"""Pairs of x and y."""


def scatter(points: Sequence[tuple[str, float, float]], *, height: float = 300) -> Scatter:
    """Labelled points (label, x, y), x above 0 on a logarithmic scale."""
    return curves([(label, [(x, y)]) for label, x, y in points], height=height)


def curves(named: Sequence[tuple[str, Curve]], *, height: float = 300) -> Scatter:
    """Curves with their labels, x above 0 on a logarithmic scale.

    Labels are moved so far that none covers another, nor a mark if there is room, on a narrow screen.
    """
    x_axis = log_axis([x for _, curve in named for x, _ in curve])
    y_axis = linear_axis([y for _, curve in named for _, y in curve])
    drawn = [
        (label, [(x_axis.position(x), height * (1 - y_axis.position(y) / 100)) for x, y in curve])
        for label, curve in named
    ]
    every = [mark for _, marks in drawn for mark in marks]
    placed: list[Point] = []
    for label, marks in sorted(drawn, key=lambda curve: curve[1][-1][1]):
        placed.append(_labelled(label, *marks[-1], placed, every, height))
    placed += [Point("", x, y, y, False) for _, marks in drawn for x, y in marks[:-1]]
    lines = tuple(Line(*a, *b) for _, marks in drawn for a, b in itertools.pairwise(marks))
    return Scatter(tuple(placed), x_axis, y_axis, height, lines)


def _labelled(
    label: str,
    x: float,
    y: float,
    placed: Sequence[Point],
    marks: Sequence[tuple[float, float]],
    height: float,
) -> Point:
    """The point with its label at the nearest place that is free of labels and marks, or at least of labels."""
    shifts = sorted((i * _LINE / 3 for i in range(-60, 61)), key=abs)
    places = [Point(label, x, y, y + shift, x > 50) for shift in shifts if 0 <= y + shift <= height]
    free = [point for point in places if not any(_overlap(point, other) for other in placed)]
    clear = (point for point in free if not any(_covers(point, mark) for mark in marks))
    return next(clear, free[0] if free else places[0])


def _covers(point: Point, mark: tuple[float, float]) -> bool:
    at = mark[0] * _NARROW / 100
    edge = _start(point) if point.left else _end(point)
    low, high = sorted((edge, point.x * _NARROW / 100 + (-8 if point.left else 8)))
    return abs(mark[1] - point.label_y) < _LINE / 2 + 2 and low < at < high


def _overlap(a: Point, b: Point) -> bool:
    return abs(a.label_y - b.label_y) < _LINE and _start(a) < _end(b) and _start(b) < _end(a)


def _start(point: Point) -> float:
    at = point.x * _NARROW / 100
    return at - 10 - _LETTER * len(point.label) if point.left else at - 6


def _end(point: Point) -> float:
    at = point.x * _NARROW / 100
    return at + 6 if point.left else at + 10 + _LETTER * len(point.label)


def _round_step(span: float, ticks: int) -> float:
    """The step of 1, 2 or 5 times a power of ten that cuts `span` into about `ticks`."""
    raw = max(span / ticks, sys.float_info.min)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
