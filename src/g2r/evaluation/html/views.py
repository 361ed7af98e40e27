"""What the template of the page shows: the values of a report as texts and positions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from g2r.evaluation.html import plots
from g2r.evaluation.html.files import Item, Report, Speed
from g2r.evaluation.html.findings import Finding, Verdict, estimates, findings, reference
from g2r.evaluation.report import Section
from g2r.evaluation.tables import Table, number, table

LEAKS, BANKS = "Leaks", "Banks"
"""Titles of sections that the page shows in its own way, or draws facts from."""
_TEXTS = "context"
"""First header of a table of texts: the examples show them better."""
_RANK = "rank"
_BANK = ", "
"""Stands in the name of a student that replies from another bank than the served one."""


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
    """Differences to one system; `zero` is where there is none."""

    title: str
    reference: str
    rows: tuple[ForestRow, ...]
    axis: plots.Axis
    zero: float


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


@dataclass(frozen=True, slots=True)
class ScatterView:
    """A scatter plot with its values as a table, or why there is none."""

    title: str
    absent: str = ""
    description: str = ""
    x_title: str = ""
    marks: plots.Scatter | None = None
    table: Table | None = None
    rows: tuple[tuple[Cell, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class HistogramBar:
    left: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Histogram:
    label: str
    summary: str
    description: str
    bars: tuple[HistogramBar, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class HistogramGroup:
    """Histograms of one quantity on the same scales; `folded` are those of further banks."""

    title: str
    text: str
    shown: tuple[Histogram, ...]
    folded: tuple[Histogram, ...]


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
    banks = next((s.values for s in report.sections if s.title == BANKS), {})
    return found + [
        Fact(f"responses in {name}" if name == "bank" else f"in the {name} bank", _bank_size(size))
        for name, size in (banks or {}).items()
    ]


def _bank_size(size: Mapping[str, int]) -> str:
    whole, searched = size["responses"], size["searched"]
    return f"{whole:,}" if searched == whole else f"{searched:,} of {whole:,}"


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
        _cells(section.table, by_metric) if section.table else (),
        tuple(
            _forest(f"Differences to {against}" + (f": {metric}" if len(by_metric) > 1 else ""), against, own)
            for metric, own in by_metric.items()
        ),
        tuple(_verdicts(anchor, names[metric], against, own) for metric, own in by_metric.items()),
    )


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("\n\n") if part.strip())


def _cells(shown: Table, by_metric: Mapping[str, Sequence[Finding]]) -> tuple[tuple[Cell, ...], ...]:
    """The table's cells; a difference is marked with what it shows, a missing value has its reason."""
    against = [i for i, header in enumerate(shown.headers) if header.startswith("against ")]
    verdicts = {
        (f.system, column): f.verdict
        for column, own in zip(against, by_metric.values(), strict=False)
        for f in own
    }
    reasons = dict(note.split(" ", 1) for note in shown.notes if " " in note)
    return tuple(
        tuple(
            Cell(text, verdicts.get((row[0], column)), reasons.get(text.removeprefix("– "), ""))
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


def _forest(title: str, against: str, own: Sequence[Finding]) -> Forest:
    axis = plots.linear_axis([0.0, *(f.low for f in own), *(f.high for f in own)])
    rows = tuple(
        ForestRow(
            f.system,
            axis.position(f.low),
            axis.position(f.value),
            axis.position(f.high),
            _signed(f.value),
            f"[{_signed(f.low)}, {_signed(f.high)}]",
            f"{_p_text(f.p)}{'' if f.adjusted else ' (not adjusted)'}",
            f.verdict,
        )
        for f in own
    )
    return Forest(title, against, rows, axis, axis.position(0.0))


def _p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{plots.signed(number(value))}"


def quality_plot(sections: Sequence[Section], speeds: Sequence[Speed]) -> ScatterView:
    """Quality against the median latency, of the first section that measures two timed systems."""
    title = "Quality against latency"
    if not speeds:
        return ScatterView(title, f"{title}: not measured. No latency.json stands beside this report.")
    by_system = {speed.system: speed for speed in reversed(speeds)}
    for section in sections:
        values = {name: e for name, e in estimates(section.values).items() if name in by_system}
        if len(values) > 1:
            points = [(name, by_system[name].p50, value) for name, value in values.items()]
            return _scatter_view(f"{section.title}, against median latency", points, "median latency, ms")
    return ScatterView(
        title, f"{title}: not computed. No section measures two of the systems that were timed."
    )


def recall_plot(speeds: Sequence[Speed]) -> ScatterView:
    """recall@10 of the search against its median latency."""
    title = "Recall against speed"
    points = [
        (s.system if s.responses is None else f"{s.system}, {s.responses:,}", s.p50, s.recall_at_10)
        for s in speeds
        if s.recall_at_10 is not None
    ]
    if not points:
        return ScatterView(
            title, f"{title}: not measured. No latency.json with recall stands beside this report."
        )
    return _scatter_view("recall@10 against median latency", points, "median latency, ms")


def _scatter_view(title: str, points: Sequence[tuple[str, float, float]], x_title: str) -> ScatterView:
    shown = table(("system", x_title, "value"), points)
    described = "; ".join(f"{name}: {number(y)} at {number(x)} ms" for name, x, y in points)
    return ScatterView(
        title,
        description=f"{title}. {described}.",
        x_title=f"{x_title}, logarithmic",
        marks=plots.scatter(points),
        table=shown,
        rows=_cells(shown, {}),
    )


def histogram_groups(items: Sequence[Item]) -> tuple[list[HistogramGroup], list[str]]:
    """Histograms of reply lengths, of ranks and of scores, and why one of them is absent."""
    lengths = {
        name: [len(reply.split()) for item in items if (reply := item.replies[name]) is not None]
        for name in items[0].replies
    }
    ranks = {
        name: [rank for item in items for rank in item.ranks[name][min(item.ranks[name])]]
        for name, by_size in items[0].ranks.items()
        if by_size
    }
    groups = [
        _group(
            "Reply lengths", "Words of the first replies, all systems on the same scales.", lengths, "words"
        ),
        _group(
            "Ranks of the original response",
            "1 is the best; all training seeds of a student together.",
            ranks,
            _RANK,
        ),
    ]
    scorers = _unique(name for item in items for own in item.scores.values() for name in own)
    for scorer in scorers:
        scores = {name: _scores_of(items, name, scorer) for name in items[0].replies}
        groups.append(
            _group(f"Scores: {scorer}", "All systems on the same scales.", scores, scorer, whole=False)
        )
    absent = [] if scorers else ["Scores: not computed. No scorer rated the replies of this report."]
    return [group for group in groups if group], absent


def _scores_of(items: Sequence[Item], system: str, scorer: str) -> list[float]:
    values = (item.scores.get(system, {}).get(scorer) for item in items)
    return [value for value in values if value is not None]


def _group(
    title: str, text: str, values: Mapping[str, Sequence[float]], unit: str, *, whole: bool = True
) -> HistogramGroup | None:
    """Histograms of several systems on common scales; None if there is no value at all.

    One value in a hundred, the largest, shares the last bar, so that a single long reply flattens nothing.
    """
    values = {name: own for name, own in values.items() if own}
    if not values:
        return None
    every = sorted(value for own in values.values() for value in own)
    cap = every[int(0.99 * (len(every) - 1))]
    edges = plots.bin_edges([*every[:1], cap], whole=whole)
    capped = {name: [min(value, cap) for value in own] for name, own in values.items()}
    top = plots.largest_share(list(capped.values()), edges)
    more = "+" if every[-1] > cap else ""
    drawn = {
        name: _histogram(name, values[name], plots.histogram(own, edges, top=top), unit, edges, more, whole)
        for name, own in capped.items()
    }
    return HistogramGroup(
        title,
        text,
        tuple(plot for name, plot in drawn.items() if _BANK not in name),
        tuple(plot for name, plot in drawn.items() if _BANK in name),
    )


def _histogram(
    name: str,
    values: Sequence[float],
    bars: Sequence[plots.Bar],
    unit: str,
    edges: Sequence[float],
    more: str,
    whole: bool,
) -> Histogram:
    middle = f"median {median(values):g}" if whole else f"median {number(float(median(values)))}"
    if unit == _RANK:
        middle = f"first in {sum(value == 1 for value in values) / len(values):.0%}"
    first, last = (f"{edges[0]:g}", f"{edges[-1] - whole:g}{more}")
    return Histogram(
        name,
        middle,
        f"Histogram of {name}: {len(values)} values, {unit} from {first} to {last}, {middle}",
        tuple(
            HistogramBar(
                b.left,
                b.width,
                b.height,
                f"{_range(b, whole)} {unit}: {b.count} ({b.count / len(values):.0%})",
            )
            for b in bars
        ),
        first,
        last,
    )


def _range(bar: plots.Bar, whole: bool) -> str:
    if not whole:
        return f"{bar.low:.3g} to {bar.high:.3g}"
    last = bar.high - 1
    return f"{bar.low:g}" if last == bar.low else f"{bar.low:g} to {last:g}"


def leak_text(sections: Sequence[Section]) -> tuple[str, ...]:
    """What the report says of leaks; empty if it did not look."""
    return next((_paragraphs(s.text) for s in sections if s.title == LEAKS), ())
