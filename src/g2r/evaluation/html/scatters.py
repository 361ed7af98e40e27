"""Quality and recall against speed, of what was timed; otherwise the reason why there is no plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from g2r.evaluation.html import plots
from g2r.evaluation.html.files import SPEED, Item, Report, Search, Speed
from g2r.evaluation.html.findings import estimates
from g2r.evaluation.html.sections import Cell, cells
from g2r.evaluation.tables import Table, number, table

LATENCY = "median latency, ms"
TIME = "median ms of a reply in this evaluation, no benchmark"


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


def quality_plots(report: Report) -> list[ScatterView]:
    """The quality of the timed systems against their latency, one plot a section that measures two of them."""
    speeds, how = (report.speeds, LATENCY) if report.speeds else (timed(report.items), TIME)
    if not speeds:
        return [_absent("Quality against latency", "not measured; no reply was timed")]
    by_system = {speed.system: speed.p50 for speed in reversed(speeds) if speed.p50}
    shown = []
    for section in report.sections:
        values = {name: v for name, v in estimates(section.values).items() if name in by_system}
        if len(values) > 1:
            points = [(name, by_system[name], value) for name, value in values.items()]
            shown.append(_view(f"{section.title}, against speed", points, how, plots.scatter(points)))
    return shown or [
        _absent("Quality against latency", "not computed; no section measures two timed systems")
    ]


def recall_plots(searches: Sequence[Search]) -> list[ScatterView]:
    """recall@10 against the median time of a search: a plot for each size of bank, a curve for each structure."""
    measured = [s for s in searches if s.p50 and s.recall_at_10 is not None]
    sizes = sorted({s.responses for s in measured})
    return [_recall_plot(size, [s for s in measured if s.responses == size]) for size in sizes] or [
        _absent("Recall against speed", f"not measured; no {SPEED} with searches stands beside this report")
    ]


def _recall_plot(size: int, searches: Sequence[Search]) -> ScatterView:
    points = [(s.structure, s.p50 or 0.0, s.recall_at_10 or 0.0) for s in searches]
    named = {
        kind: sorted((s.p50 or 0.0, s.recall_at_10 or 0.0) for s in searches if s.kind == kind)
        for kind in dict.fromkeys(s.kind for s in searches)
    }
    title = f"recall@10 among {size:,} responses"
    return _view(title, points, "median ms of a search", plots.curves(list(named.items())))


def timed(items: Sequence[Item]) -> tuple[Speed, ...]:
    """The median time of each system's replies during the evaluation: no benchmark, but of the same contexts."""
    totals = {
        name: [spent["total"] for item in items if "total" in (spent := item.timings_ms.get(name, {}))]
        for name in items[0].replies
    }
    return tuple(
        Speed(system=name, p50=median(own)) for name, own in totals.items() if own and median(own) > 0
    )


def _absent(title: str, reason: str) -> ScatterView:
    return ScatterView(title, f"{title}: {reason}.")


def _view(
    title: str, points: Sequence[tuple[str, float, float]], x_title: str, marks: plots.Scatter
) -> ScatterView:
    shown = table(("system", x_title, "value"), points)
    described = "; ".join(f"{name}: {number(y)} at {number(x)} ms" for name, x, y in points)
    return ScatterView(
        title,
        description=f"{title}. {described}.",
        x_title=x_title,
        marks=marks,
        table=shown,
        rows=cells(shown),
    )
