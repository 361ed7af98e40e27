"""How long the systems' replies are, where they rank what was said, and how scorers rate what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from g2r.evaluation.html import plots
from g2r.evaluation.html.files import Item
from g2r.evaluation.tables import number

_OWN = "own"
"""Scorer whose scores are each system's own, on a scale of its own."""
_FURTHER_BANK = ", "
"""Stands in the name of a student that replies from another bank than the served one."""

Values = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Bar:
    """Positions in percent; the title tells the bin and what fell into it."""

    left: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Histogram:
    label: str
    summary: str
    description: str
    bars: tuple[Bar, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class HistogramGroup:
    """Histograms of one quantity; `folded` are those of further banks."""

    title: str
    text: str
    shown: tuple[Histogram, ...]
    folded: tuple[Histogram, ...]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Equal bins for several histograms.

    Attributes:
        top: share of the values that fills the whole height.
        more: what stands after the last number if larger values share the last bar.
        whole: the values are counts.
    """

    edges: tuple[float, ...]
    top: float
    more: str
    whole: bool


def histogram_groups(items: Sequence[Item]) -> tuple[list[HistogramGroup], list[str]]:
    """Histograms of reply lengths, ranks and scores; and, in words, what is absent."""
    groups = [
        _group(
            "Reply lengths", "Words of the first replies; the same scales for all.", _lengths(items), "words"
        ),
        _group(
            "Ranks of the original response",
            "1 is the best; all training seeds of a student together.",
            _ranks(items),
            "rank",
        ),
    ]
    scorers = list(dict.fromkeys(name for item in items for own in item.scores.values() for name in own))
    for scorer in scorers:
        text = (
            "Each system's score of what it says, on its own scale: not comparable between systems."
            if scorer == _OWN
            else "The same scales for all."
        )
        scores = {name: _scores(items, name, scorer) for name in items[0].replies}
        groups.append(_group(f"Scores: {scorer}", text, scores, "score", whole=False, common=scorer != _OWN))
    absent = [] if set(scorers) - {_OWN} else ["Scores: not computed; no learned scorer rated these replies."]
    return [group for group in groups if group], absent


def _lengths(items: Sequence[Item]) -> Values:
    return {
        name: [len(reply.split()) for item in items if (reply := item.replies[name]) is not None]
        for name in items[0].replies
    }


def _ranks(items: Sequence[Item]) -> Values:
    """In the shortest lists."""
    return {
        name: [rank for item in items for rank in item.ranks[name].get(min(by_size), ())]
        for name, by_size in items[0].ranks.items()
        if by_size
    }


def _scores(items: Sequence[Item], system: str, scorer: str) -> list[float]:
    values = (item.scores.get(system, {}).get(scorer) for item in items)
    return [value for value in values if value is not None]


def _group(
    title: str, text: str, values: Values, unit: str, *, whole: bool = True, common: bool = True
) -> HistogramGroup | None:
    """Histograms of several systems, on common scales or each on its own; None if there is no value at all."""
    values = {name: own for name, own in values.items() if own}
    if not values:
        return None
    shared = _scale(list(values.values()), whole)
    drawn = {
        name: _histogram(name, own, unit, shared if common else _scale([own], whole))
        for name, own in values.items()
    }
    return HistogramGroup(
        title,
        text,
        tuple(plot for name, plot in drawn.items() if _FURTHER_BANK not in name),
        tuple(plot for name, plot in drawn.items() if _FURTHER_BANK in name),
    )


def _scale(values: Sequence[Sequence[float]], whole: bool) -> _Scale:
    """Bins from the least value to the one that 99 in 100 do not exceed: a single long reply flattens nothing."""
    every = sorted(value for own in values for value in own)
    edges = plots.bin_edges(every[0], every[int(0.99 * (len(every) - 1))], whole=whole)
    more = "+" if every[-1] > edges[-1] - whole else ""
    return _Scale(edges, plots.largest_share(values, edges), more, whole)


def _histogram(name: str, values: Sequence[float], unit: str, scale: _Scale) -> Histogram:
    bars = plots.histogram(values, scale.edges, top=scale.top)
    summary = f"median {median(values):g}" if scale.whole else f"median {number(float(median(values)))}"
    if unit == "rank":
        summary = f"first in {sum(value == 1 for value in values) / len(values):.0%}"
    first, last = f"{scale.edges[0]:.3g}", f"{scale.edges[-1] - scale.whole:.3g}{scale.more}"
    return Histogram(
        name,
        summary,
        f"Histogram of {name}: {len(values)} values, {unit} from {first} to {last}, {summary}",
        tuple(
            Bar(
                b.left, b.width, b.height, f"{unit} {_bin(b, scale)}: {b.count} ({b.count / len(values):.0%})"
            )
            for b in bars
        ),
        first,
        last,
    )


def _bin(bar: plots.Bar, scale: _Scale) -> str:
    """The values of a bar, in words."""
    more = scale.more if bar.high == scale.edges[-1] else ""
    if not scale.whole:
        return f"{bar.low:.3g} to {bar.high:.3g}{more}"
    last = bar.high - 1
    return f"{bar.low:g}{more}" if last == bar.low else f"{bar.low:g} to {last:g}{more}"
