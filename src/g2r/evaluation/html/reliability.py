"""The reliability plot: how sure the bot was against how often it was right, bin by bin."""

from dataclasses import dataclass

from pydantic import ValidationError

from g2r.confidence import Measured
from g2r.evaluation.html import plots
from g2r.evaluation.reliability import CONFIDENCE
from g2r.evaluation.report import Section


@dataclass(frozen=True, slots=True)
class ReliabilityMark:
    """A bin: positions in percent, from the left and from the top; `low` and `high` are ends of its interval."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True, slots=True)
class ReliabilityPlot:
    """Marks on a square from 0 to 1; on the diagonal a confidence is what it says."""

    description: str
    axis: plots.Axis
    marks: tuple[ReliabilityMark, ...]


def reliability_plot(section: Section) -> ReliabilityPlot | None:
    """The plot of a section of confidences, None for any other."""
    if section.title != CONFIDENCE:
        return None
    try:
        measured = Measured.model_validate(section.values)
    except ValidationError:
        return None
    axis = plots.linear_axis([0.0, 1.0])
    told = [f"{own.confidence:.2f}: {own.good:.2f} of {own.n} good" for own in measured.bins]
    marks = tuple(
        ReliabilityMark(
            axis.position(own.confidence),
            100 - axis.position(own.good),
            100 - axis.position(own.good_low),
            100 - axis.position(own.good_high),
            text,
        )
        for own, text in zip(measured.bins, told, strict=True)
    )
    return ReliabilityPlot("Confidence and share of good replies. " + "; ".join(told), axis, marks)
