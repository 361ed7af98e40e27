"""Choosing among candidates: lists fixed by seed, the same for every system (EVALUATION: tier C, judged lists)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2r.dialogue import Context, Example
from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.evaluation.metrics import GOOD, Floats, any_good, first_choice_good, ranks, spearman
from g2r.evaluation.scorers import Scorer
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines
from g2r.reading.rated import rated_candidates


@dataclass(frozen=True, slots=True)
class SelectionList:
    """A held-out context with its original response first and responses of other dialogues after it."""

    context_id: str
    context: Context
    candidates: tuple[str, ...]


def selection_lists(
    examples: Sequence[Example], *, candidates: int = 20, contexts: int | None = None, seed: int = 0
) -> list[SelectionList]:
    """Return a list of `candidates` responses for each context that has an original response.

    The others are original responses of other dialogues, drawn anew for each context by `seed` and the
    context alone. None is a candidate of this context, stands in its dialogue, or has the normal form of
    one of those or of another in the list. A list of 20 is the beginning of the list of 100. A context that
    comes twice is taken once, with the first of its original responses.

    Args:
        contexts: at most so many, drawn by `seed`.

    Raises:
        InputError: no context has an original response, or too few responses are left to draw from.
    """
    golds = {e.context_id: e for e in reversed(examples) if e.originals}
    if not golds:
        raise InputError(f"none of {len(examples)} examples has an original response to select")
    pool = {normal_form(c.text): c.text for e in reversed(examples) for c in e.originals}
    forms = sorted(pool)
    excluded = _related_forms(examples)
    lists = []
    for context_id in _drawn(sorted(golds), contexts, seed):
        example = golds[context_id]
        generator = np.random.default_rng([seed, int(context_id, 16)])
        order = (forms[i] for i in generator.permutation(len(forms)))
        allowed = (form for form in order if form not in excluded[context_id])
        others = list(islice(allowed, candidates - 1))
        if len(others) < candidates - 1:
            raise InputError(
                f"only {len(others)} responses of other dialogues for context {context_id}, "
                f"expected {candidates - 1}; take fewer candidates or more test dialogues"
            )
        texts = (example.originals[0].text, *(pool[form] for form in others))
        lists.append(SelectionList(context_id, example.context, texts))
    return lists


def _drawn(ids: Sequence[str], count: int | None, seed: int) -> Sequence[str]:
    if count is None or count >= len(ids):
        return ids
    chosen = np.random.default_rng(seed).choice(len(ids), size=count, replace=False)
    return [ids[i] for i in sorted(chosen)]


def _related_forms(examples: Sequence[Example]) -> dict[str, set[str]]:
    """For each context the normal forms that may not be its negatives: its own candidates', its dialogues'."""
    of_dialogue: dict[str, set[str]] = {}
    of_context: dict[str, set[str]] = {}
    for e in examples:
        own = {normal_form(c.text) for c in e.candidates}
        of_context.setdefault(e.context_id, set()).update(own)
        if e.dialogue_id:
            of_dialogue.setdefault(e.dialogue_id, set()).update(own)
    for e in examples:
        of_context[e.context_id] |= of_dialogue.get(e.dialogue_id, set())
    return of_context


@dataclass(frozen=True, slots=True)
class Selection:
    """Ranks of the gold, context by context.

    Attributes:
        context_ids: the contexts, in the order of the ranks.
        ranks: int (contexts,) for each list length evaluated.
    """

    context_ids: tuple[str, ...]
    ranks: Mapping[int, NDArray[np.int64]]

    def restricted_to(self, context_ids: Collection[str]) -> "Selection":
        """The same for these contexts alone."""
        kept = np.array([own in context_ids for own in self.context_ids], dtype=np.bool_)
        return Selection(
            tuple(own for own in self.context_ids if own in context_ids),
            {size: ranks[kept] for size, ranks in self.ranks.items()},
        )


def evaluate_selection(
    scorer: Scorer, lists: Sequence[SelectionList], *, sizes: Sequence[int] = (20, 100)
) -> Selection:
    """Rank the gold of each list among its first 20 and 100 candidates, as far as the lists go.

    Raises:
        InputError: no lists, lists of unequal length or shorter than every size, or scores that are NaN.
    """
    lengths = {len(item.candidates) for item in lists}
    if len(lengths) != 1:
        raise InputError(f"lists have {sorted(lengths)} candidates, expected one length for all")
    width = lengths.pop()
    fitting = [size for size in sizes if size <= width] or [width]
    scores = np.stack(scorer([item.context for item in lists], [item.candidates for item in lists]))
    return Selection(
        tuple(item.context_id for item in lists), {size: ranks(scores[:, :size]) for size in fitting}
    )


@dataclass(frozen=True, slots=True)
class JudgedList:
    """Candidates of one context with a judge's score of each, 0 to 10."""

    context: Context
    candidates: tuple[str, ...]
    scores: tuple[float, ...]
    list_id: str = ""


@dataclass(frozen=True, slots=True)
class JudgedSelection:
    """How a scorer orders judged lists, list by list.

    Attributes:
        first_good: 1 where its first choice is good, else 0; the share of good ones among ties (lists,).
        rho: Spearman's rho with the judge, NaN where either gives all candidates the same (lists,).
        chance: first_good of a scorer that knows nothing, the share of good candidates (lists,).
        best: first_good of the judge itself (lists,).
    """

    first_good: Floats
    rho: Floats
    chance: Floats
    best: Floats


def read_judged_lists(path: Path, *, ids: Collection[str] = ()) -> list[JudgedList]:
    """Read JSON Lines of {"id", "turns", "candidates", "scores"}, gzipped or not.

    Args:
        ids: read these lists alone; all if empty.

    Raises:
        InputError: the file cannot be read, a field is missing or malformed, there is not one score a
            candidate, or a list of `ids` is not there.
    """
    lists = []
    for row in json_rows(numbered_lines(path), str(path)):
        candidates, scores = rated_candidates(row)
        list_id = row.text("id") if "id" in row else ""
        lists.append(JudgedList(row.texts("turns"), candidates, scores, list_id))
    missing = set(ids) - {item.list_id for item in lists}
    if missing:
        raise InputError(
            f"{path} has no list {min(missing)!r} ({len(missing)} of {len(set(ids))} ids are missing); "
            "expected the file that the ids were drawn from"
        )
    return [item for item in lists if not ids or item.list_id in ids]


def evaluate_judged(scorer: Scorer, lists: Sequence[JudgedList], *, good: float = GOOD) -> JudgedSelection:
    """Let `scorer` order judged lists.

    Raises:
        InputError: no lists, or scores that are not finite.
    """
    if not lists:
        raise InputError("no judged lists; expected one at least")
    ours = scorer([item.context for item in lists], [item.candidates for item in lists])
    judged = [item.scores for item in lists]
    return JudgedSelection(
        first_good=first_choice_good(ours, judged, good=good),
        rho=spearman(ours, judged),
        chance=np.array([np.mean(np.asarray(scores) >= good) for scores in judged]),
        best=any_good(judged, good=good),
    )


@dataclass(frozen=True, slots=True)
class AdversarialItem:
    """A context with responses that fit, and some that share its words but do not (DailyDialog++)."""

    context: Context
    positives: tuple[str, ...]
    adversarial: tuple[str, ...]
    random: tuple[str, ...] = ()


def read_adversarial(path: Path) -> list[AdversarialItem]:
    """Read JSON Lines of {"turns", "positives", "adversarial_negatives", "random_negatives"}.

    Raises:
        InputError: the file cannot be read, a field is missing or malformed, or there is no pair to order.
    """
    items = [
        AdversarialItem(
            row.texts("turns"),
            row.texts("positives"),
            row.texts("adversarial_negatives"),
            row.texts("random_negatives") if "random_negatives" in row else (),
        )
        for row in json_rows(numbered_lines(path), str(path))
    ]
    if not any(item.positives and (item.adversarial or item.random) for item in items):
        raise InputError(f"{path} holds no pairs: expected contexts with positives and negatives, one a line")
    return items


def adversarial_accuracy(
    scorer: Scorer,
    items: Sequence[AdversarialItem],
    *,
    against: Literal["adversarial", "random"] = "adversarial",
) -> Floats:
    """Share of (positive, negative) pairs in their right order, ties half, per context that has both (contexts,).

    Chance is 0.5.

    Raises:
        InputError: no context has both.
    """
    negatives = {"adversarial": [i.adversarial for i in items], "random": [i.random for i in items]}[against]
    both = [(i, others) for i, others in zip(items, negatives, strict=True) if i.positives and others]
    if not both:
        raise InputError(f"none of {len(items)} contexts has positives and {against} negatives")
    scores = scorer([i.context for i, _ in both], [(*i.positives, *others) for i, others in both])
    values = []
    for (item, _), row in zip(both, scores, strict=True):
        gaps = row[: len(item.positives), None] - row[None, len(item.positives) :]
        values.append(float(((gaps > 0) + 0.5 * (gaps == 0)).mean()))
    return np.array(values)
