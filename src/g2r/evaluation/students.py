"""Students compared on the same lists, with intervals, tests and the spread of their seeds (EVALUATION: tier C)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2r.dialogue import Example
from g2r.encoder import Encoder
from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.paired import compare_values, p_text
from g2r.evaluation.scorers import encoder_scorer
from g2r.evaluation.selection import Selection, SelectionList, evaluate_selection, selection_lists
from g2r.evaluation.significance import (
    Difference,
    Estimate,
    SeedSpread,
    bootstrap_mean,
)
from g2r.evaluation.tables import Table, table

LONG = 100
"""Candidates of the longer lists, where there are responses enough."""


@dataclass(frozen=True, slots=True)
class StudentRow:
    """How one student chooses, its seeds averaged context by context.

    Attributes:
        hits: hits@1 by number of candidates.
        hits_at_5: hits@5 in the lists of `Comparison.candidates`.
        mrr: mean reciprocal rank there.
        mrr_long: mean reciprocal rank in the longer lists.
        difference: of hits@1 to the reference, with the p-value of the permutation test; None for the
            reference itself.
        p_adjusted: that p-value after Holm's adjustment over the students.
        seeds: spread of hits@1 over training seeds; None for a single seed.
    """

    name: str
    hits: Mapping[int, Estimate | NotComputed]
    hits_at_5: Estimate | NotComputed
    mrr: Estimate | NotComputed
    mrr_long: Estimate | NotComputed
    difference: Difference | NotComputed | None
    p_adjusted: float | NotComputed | None
    seeds: SeedSpread | NotComputed | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Students on the same lists; the unit of intervals and tests is the context.

    Attributes:
        reference: name of the student that the others are compared with.
        candidates: length of the lists that tests are made on.
        contexts: number of lists.
    """

    rows: tuple[StudentRow, ...]
    reference: str
    candidates: int
    contexts: int

    def table(self) -> Table:
        """One row a student, with 0.95 intervals."""
        sizes = list(dict.fromkeys(size for row in self.rows for size in row.hits))
        several = any(row.seeds for row in self.rows)
        return table(
            (
                "student",
                *(f"hits@1/{size}" for size in sizes),
                f"hits@5/{self.candidates}",
                f"MRR/{self.candidates}",
                f"MRR/{LONG}",
                f"against {self.reference}",
                "p (Holm)",
                *(["over seeds"] if several else []),
            ),
            [
                (
                    row.name,
                    *(row.hits.get(size) for size in sizes),
                    row.hits_at_5,
                    row.mrr,
                    row.mrr_long,
                    row.difference,
                    p_text(row.p_adjusted),
                    *([row.seeds] if several else []),
                )
                for row in self.rows
            ],
        )

    def markdown(self) -> str:
        """The table as markdown."""
        return self.table().markdown()


def compare_students(
    students: Mapping[str, Encoder | Sequence[Encoder]],
    examples: Sequence[Example],
    *,
    reference: str | None = None,
    candidates: int = 20,
    contexts: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare students on held-out contexts by whether they choose the original response (tier C).

    Args:
        students: by name; several encoders under one name are its training seeds.
        examples: the test split.
        reference: the student that the others are tested against; the first if None.
        candidates: length of the lists; hits@1 among 100 is added where there are responses enough.
        contexts: at most so many, drawn by `seed`.

    Raises:
        InputError: `reference` is no student, or the examples give no lists.
    """
    lists = longest_lists(examples, candidates=candidates, contexts=contexts, seed=seed)
    selections = {
        name: [
            evaluate_selection(encoder_scorer(encoder), lists, sizes=(candidates, LONG))
            for encoder in ([given] if isinstance(given, Encoder) else given)
        ]
        for name, given in students.items()
    }
    return compare_selections(selections, reference=reference, candidates=candidates, seed=seed)


def longest_lists(
    examples: Sequence[Example], *, candidates: int, contexts: int | None, seed: int
) -> list[SelectionList]:
    """Lists of 100 candidates where the responses suffice, else of `candidates`: the same ones, shorter."""
    if candidates < LONG:
        try:
            return selection_lists(examples, candidates=LONG, contexts=contexts, seed=seed)
        except InputError:
            pass
    return selection_lists(examples, candidates=candidates, contexts=contexts, seed=seed)


def compare_selections(
    selections: Mapping[str, Sequence[Selection]],
    *,
    reference: str | None = None,
    candidates: int = 20,
    seed: int = 0,
) -> Comparison:
    """Put what each student chose, one `Selection` a training seed, into one comparison.

    Raises:
        InputError: `reference` is no student, a student has no selection, or they saw other contexts.
    """
    if not selections or not all(selections.values()):
        raise InputError(
            f"no results of {[name for name, own in selections.items() if not own] or 'any student'}"
        )
    reference = next(iter(selections)) if reference is None else reference
    if reference not in selections:
        raise InputError(f"no student {reference!r} to compare with; expected one of {sorted(selections)}")
    orders = {own.context_ids for each in selections.values() for own in each}
    if len(orders) != 1:
        raise InputError("the students were evaluated on different contexts; evaluate all on the same lists")
    chosen = {
        name: [(own.ranks[candidates] == 1).astype(np.float64) for own in each]
        for name, each in selections.items()
    }
    standings = {s.name: s for s in compare_values(chosen, reference=reference, seed=seed)}
    return Comparison(
        rows=tuple(
            StudentRow(
                name=name,
                hits={
                    size: _mean(own, size, lambda ranks: ranks == 1, seed)
                    for size in dict.fromkeys((candidates, LONG))
                },
                hits_at_5=_mean(own, candidates, lambda ranks: ranks <= 5, seed),
                mrr=_mean(own, candidates, lambda ranks: 1 / ranks, seed),
                mrr_long=_mean(own, LONG, lambda ranks: 1 / ranks, seed),
                difference=standings[name].difference,
                p_adjusted=standings[name].p_adjusted,
                seeds=standings[name].seeds,
            )
            for name, own in selections.items()
        ),
        reference=reference,
        candidates=candidates,
        contexts=len(orders.pop()),
    )


def _mean(
    seeds: Sequence[Selection],
    size: int,
    value: Callable[[NDArray[np.int64]], NDArray[Any]],
    seed: int,
) -> Estimate | NotComputed:
    """Mean over the contexts of a value of the rank in lists of `size`, the training seeds averaged first."""
    if any(size not in own.ranks for own in seeds):
        return NotComputed(f"no lists of {size}: too few responses of other dialogues, or too slow a scorer")
    return bootstrap_mean(np.mean([value(own.ranks[size]) for own in seeds], axis=0), seed=seed)
