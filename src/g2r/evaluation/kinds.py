"""Where a student fails: how it chooses in contexts of one kind and another (EVALUATION: tier C)."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from g2r.dialogue import Context
from g2r.evaluation.metrics import Floats
from g2r.evaluation.report import Section
from g2r.evaluation.selection import Selection
from g2r.evaluation.significance import Estimate, bootstrap_mean
from g2r.evaluation.tables import number, table

ALL = "all contexts"
_SHORT, _LONG = 4, 12


def _words(context: Context) -> int:
    return len(context[-1].split())


KINDS: Mapping[str, Callable[[Context], bool]] = {
    ALL: lambda context: True,
    "the last turn asks": lambda context: "?" in context[-1],
    "the last turn asks nothing": lambda context: "?" not in context[-1],
    f"the last turn has 1 to {_SHORT} words": lambda context: _words(context) <= _SHORT,
    f"the last turn has {_SHORT + 1} to {_LONG} words": lambda context: _SHORT < _words(context) <= _LONG,
    f"the last turn has {_LONG + 1} words or more": lambda context: _words(context) > _LONG,
    "the first turn of a conversation": lambda context: len(context) == 1,
    "a later turn": lambda context: len(context) > 1,
}


def kind_section(
    student: str,
    seeds: Sequence[Selection],
    contexts: Sequence[Context],
    *,
    candidates: int,
    seed: int,
) -> Section:
    """hits@1 of one student by kind of context, and the kinds that are clearly harder than the rest.

    Args:
        seeds: its choices, one a training seed; averaged context by context.
        contexts: those of the choices, in their order.
    """
    hits: Floats = np.mean([own.ranks[candidates] == 1 for own in seeds], axis=0, dtype=np.float64)
    found = {}
    for kind, belongs in KINDS.items():
        chosen = np.array([belongs(context) for context in contexts], dtype=np.bool_)
        if chosen.any():
            found[kind] = bootstrap_mean(hits[chosen], seed=seed), int(chosen.sum())
    overall = float(hits.mean())
    harder = [
        f"{kind} ({number(value.value)})"
        for kind, (value, _) in found.items()
        if isinstance(value, Estimate) and value.high < overall
    ]
    text = (
        f"How often {student} chooses the original among {candidates}, by kind of context, 0.95 intervals not adjusted "
        f"for their number; chance {1 / candidates:.3f}. "
        + (
            f"Clearly under the {number(overall)} of all: {', '.join(harder)}."
            if harder
            else "No kind is clearly harder than the rest."
        )
        + " Which replies fail there, the examples show."
    )
    rows = [(kind, count, value) for kind, (value, count) in found.items()]
    values = [{"kind": kind, "contexts": count, "hits": value} for kind, (value, count) in found.items()]
    return Section("Where it fails", text, table(("contexts", "number", "hits@1"), rows), values)
