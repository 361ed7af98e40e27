"""The sections of a report as the page shows them: tables with marks, forest plots, verdicts at a glance."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from g2r.evaluation.html import plots
from g2r.evaluation.html.files import Report
from g2r.evaluation.html.findings import Finding, Verdict, findings, reference
from g2r.evaluation.html.reliability import ReliabilityPlot, reliability_plot
from g2r.evaluation.paired import p_text
from g2r.evaluation.report import Section
from g2r.evaluation.tables import Table, number

LEAKS, BANKS = "Leaks", "Banks"
"""Titles of sections that the page shows in its own way, or draws facts from."""
_TEXTS = "context"
"""First header of a table of texts: the examples show them better."""

_MINUS = re.compile(r"(?<!\w)-(?=\d)")


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table; `missing` is the reason why it holds no value."""

    text: str
    verdict: Verdict | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class ForestRow:
    """An interval in percent of the plot's width."""

    label: str
    low: float
    at: float
    high: float
    value: str
    interval: str
    p: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Forest:
    """Differences to one system, or win rates against it; `even` is where neither is better."""

    title: str
    reference: str
    rows: tuple[ForestRow, ...]
    axis: plots.Axis
    even: float


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """Systems by whether they differ from the reference in one measure."""

    id: str
    measure: str
    reference: str
    higher: tuple[str, ...]
    lower: tuple[str, ...]
    open: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SectionView:
    id: str
    title: str
    paragraphs: tuple[str, ...]
    table: Table | None
    rows: tuple[tuple[Cell, ...], ...]
    forests: tuple[Forest, ...]
    verdicts: tuple[VerdictRow, ...]
    reliability: ReliabilityPlot | None


def facts(report: Report) -> list[Fact]:
    """What was measured, in few numbers."""
    first = report.items[0]
    seeds = max((len(own) for sizes in first.ranks.values() for own in sizes.values()), default=0)
    sizes = sorted({size for by_size in first.ranks.values() for size in by_size})
    counts = {
        "contexts": len(report.items),
        "systems that reply": len(first.replies),
        "students and rankers": len(first.ranks),
        "training seeds": seeds,
    }
    found = [Fact(name, f"{count:,}") for name, count in counts.items() if count]
    if sizes:
        found.append(Fact("candidates a list", " and ".join(map(str, sizes))))
    return found + [
        Fact(f"responses in {name}" if name == "bank" else f"in the {name} bank", size)
        for name, size in _bank_sizes(report.sections).items()
    ]


def _bank_sizes(sections: Sequence[Section]) -> dict[str, str]:
    """By bank how many responses were searched, and of how many."""
    values = next((s.values for s in sections if s.title == BANKS), None)
    sizes = values.items() if isinstance(values, Mapping) else ()
    counts = {name: (s.get("searched"), s.get("responses")) for name, s in sizes if isinstance(s, Mapping)}
    return {
        name: f"{searched:,}" if searched == whole else f"{searched:,} of {whole:,}"
        for name, (searched, whole) in counts.items()
        if isinstance(searched, int) and isinstance(whole, int)
    }


def section_views(sections: Sequence[Section]) -> list[SectionView]:
    """The sections in their order, without what the page shows in another way."""
    return [
        _section_view(section)
        for section in sections
        if section.title != LEAKS and not (section.table and section.table.headers[0] == _TEXTS)
    ]


def _section_view(section: Section) -> SectionView:
    found = findings(section.values)
    by_metric = {
        metric: [f for f in found if f.metric == metric] for metric in _unique(f.metric for f in found)
    }
    against = reference(section.values) or "the reference"
    anchor = "part-" + re.sub(r"\W+", "-", section.title.casefold()).strip("-")
    names = {metric: metric if len(by_metric) > 1 else section.title for metric in by_metric}
    return SectionView(
        anchor,
        section.title,
        _paragraphs(section.text),
        section.table,
        cells(section.table, by_metric) if section.table else (),
        tuple(
            _forest(metric if len(by_metric) > 1 else "", against, own) for metric, own in by_metric.items()
        ),
        tuple(_verdicts(anchor, names[metric], against, own) for metric, own in by_metric.items()),
        reliability_plot(section),
    )


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("\n\n") if part.strip())


def cells(
    shown: Table, by_metric: Mapping[str, Sequence[Finding]] | None = None
) -> tuple[tuple[Cell, ...], ...]:
    """The table's cells; a difference is marked with what it shows, a missing value has its reason."""
    against = [i for i, header in enumerate(shown.headers) if header.startswith("against ")]
    verdicts = {
        (f.system, column): f.verdict
        for column, own in zip(against, (by_metric or {}).values(), strict=False)
        for f in own
    }
    reasons = dict(note.split(" ", 1) for note in shown.notes if " " in note)
    return tuple(
        tuple(
            Cell(
                _MINUS.sub("−", text) if column else text,
                verdicts.get((row[0], column)),
                reasons.get(text.removeprefix("– "), ""),
            )
            for column, text in enumerate(row)
        )
        for row in shown.rows
    )


def _verdicts(anchor: str, measure: str, against: str, own: Sequence[Finding]) -> VerdictRow:
    sides: dict[Verdict, list[str]] = {"higher": [], "lower": [], "open": []}
    for finding in own:
        sides[finding.verdict].append(finding.system)
    return VerdictRow(
        anchor, measure, against, tuple(sides["higher"]), tuple(sides["lower"]), tuple(sides["open"])
    )


def _forest(metric: str, against: str, own: Sequence[Finding]) -> Forest:
    even = own[0].even
    axis = plots.linear_axis([even, *(f.low for f in own), *(f.high for f in own)])
    what = "Win rates against" if even else "Differences to"
    rows = tuple(
        ForestRow(
            f.system,
            axis.position(f.low),
            axis.position(f.value),
            axis.position(f.high),
            _signed(f.value, even),
            f"[{_signed(f.low, even)}, {_signed(f.high, even)}]",
            f"{p_text(f.p)}{'' if f.adjusted else ' (not adjusted)'}",
            f.verdict,
        )
        for f in own
    )
    return Forest(
        f"{what} {against}" + (f": {metric}" if metric else ""), against, rows, axis, axis.position(even)
    )


def _signed(value: float, even: float) -> str:
    """A difference with its sign; a rate has none."""
    return f"{'+' if value > 0 and not even else ''}{plots.signed(number(value))}"


def leak_text(sections: Sequence[Section]) -> tuple[str, ...]:
    """What the report says of leaks; empty if it did not look."""
    return next((_paragraphs(s.text) for s in sections if s.title == LEAKS), ())
