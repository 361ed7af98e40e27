"""How well judges order what a student retrieved, beside scorers that cost nothing (EVALUATION: judged lists)."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from g2r.dialogue import Context, Example
from g2r.encoder import Encoder
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.scorers import Scorer, bm25_scorer, context_key_scorer, encoder_scorer
from g2r.evaluation.selection import JudgedList, evaluate_judged
from g2r.evaluation.significance import Estimate, bootstrap_mean
from g2r.judge.data import without_contexts

CHANCE, BEST = "random", "best possible"


@dataclass(frozen=True, slots=True)
class Ordering:
    """How a scorer orders rated lists.

    Attributes:
        first_good: share of lists whose first choice was rated 6 or more, with its interval over lists.
        rho: mean Spearman's rho with the ratings, over the lists where both tell candidates apart; None
            where nothing is ordered.
    """

    first_good: Estimate | NotComputed
    rho: float | None


def compare_orderings(scorers: Mapping[str, Scorer], lists: Sequence[JudgedList]) -> dict[str, Ordering]:
    """Every scorer on the same lists, after what chance gives and before what the ratings themselves give.

    Raises:
        InputError: there are no lists.
    """
    found = {name: evaluate_judged(scorer, lists) for name, scorer in scorers.items()}
    if not found:
        return {}
    some = next(iter(found.values()))
    rows = {CHANCE: Ordering(bootstrap_mean(some.chance), None)}
    rows |= {name: Ordering(bootstrap_mean(s.first_good), _mean(s.rho)) for name, s in found.items()}
    return {**rows, BEST: Ordering(bootstrap_mean(some.best), None)}


def plain_scorers(
    encoder: Encoder, examples: Sequence[Example], lists: Sequence[JudgedList]
) -> dict[str, Scorer]:
    """BM25, the encoder's response key, and its context keys where `examples` say what candidates answer.

    Keys are contexts of split "train", as in a bank, without those of the lists: these would find their own
    responses, which says nothing of other contexts.
    """
    bank = without_contexts([e for e in examples if e.split == "train"], [item.context for item in lists])
    answered = contexts_of(bank, {text for item in lists for text in item.candidates})
    scorers = {"BM25": bm25_scorer(), "response key": encoder_scorer(encoder)}
    return {**scorers, "context keys": context_key_scorer(encoder, answered)} if answered else scorers


def contexts_of(examples: Sequence[Example], candidates: Collection[str]) -> dict[str, list[Context]]:
    """The contexts that each of `candidates` was written for, those that have any."""
    wanted = set(candidates)
    answered: dict[str, list[Context]] = defaultdict(list)
    for e in examples:
        for text in {c.text for c in e.written} & wanted:
            answered[text].append(e.context)
    return dict(answered)


def _mean(values: Floats) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None
