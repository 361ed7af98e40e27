"""Where the marks of a reliability plot stand, and that the page draws them."""

from pathlib import Path

import pytest

from calibrations import MADE
from g2r.evaluation.html.reliability import reliability_plot
from g2r.evaluation.reliability import reliability_section
from g2r.evaluation.report import Section, write_report


def test_a_mark_stands_at_its_confidence_and_share():
    plot = reliability_plot(reliability_section(MADE))
    assert plot is not None
    first, second = plot.marks
    assert (first.x, first.y, first.low, first.high) == pytest.approx((45, 50, 73, 27))
    assert (second.x, second.y) == pytest.approx((82, 20))
    assert "0.45: 0.50 of 20 good; 0.82: 0.80 of 10 good" in plot.description
    assert [tick.label for tick in plot.axis.ticks][:: len(plot.axis.ticks) - 1] == ["0.0", "1.0"]


def test_other_sections_have_none():
    assert reliability_plot(Section("Replies", "Read them.", values=MADE.measured.model_dump())) is None
    assert reliability_plot(Section("Confidence", "Not measured.")) is None


def test_the_page_draws_a_mark_a_bin(tmp_path: Path):
    items = [{"context_id": "a", "turns": ["hi"], "replies": {"d": "hello there"}}]
    write_report(tmp_path / "report", [reliability_section(MADE)], items, title="Comparison")
    page = (tmp_path / "report" / "report.html").read_text()
    figure = page[page.index('<figure class="scatter reliability">') :].split("</figure>")[0]
    assert figure.count("<circle") == 2
    assert '<circle cx="45.0%" cy="50.0%"' in figure
    assert "0.80 of 10 good" in figure
