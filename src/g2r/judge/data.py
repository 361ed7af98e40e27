"""What the judge learns from: lists of responses to one context, with the right one first, or with scores."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from g2r.artifacts import read_examples
from g2r.dialogue import Context, Example
from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.evaluation.metrics import GOOD
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines
from g2r.reading.rated import rated_candidates, read_ids

Nearest = Callable[[Sequence[Context]], Sequence[Sequence[str]]]
"""Responses that a retriever finds for each context, nearest first."""

NEGATIVE_SCORE = 1.0
"""What a drawn negative counts in a scored list, where nobody rated it."""


@dataclass(frozen=True, slots=True)
class JudgedResponses:
    """A context with responses to learn the order of.

    Attributes:
        context: turns, oldest first.
        responses: two or more.
        scores: one a response; 0 to 10 if `rated`, else 1 for the right response and 0 for the others.
        rated: whether the scores say how good a response is, not its place in the list alone.
    """

    context: Context
    responses: tuple[str, ...]
    scores: tuple[float, ...]
    rated: bool


@dataclass(frozen=True, slots=True)
class OnPolicyList:
    """What a student retrieved for one context, rated 0 to 10; `id` begins with its dialogue's."""

    id: str
    context: Context
    candidates: tuple[str, ...]
    scores: tuple[float, ...]

    @property
    def dialogue_id(self) -> str:
        return self.id.rpartition("-")[0]

    def judged(self) -> JudgedResponses:
        return JudgedResponses(self.context, self.candidates, self.scores, rated=True)


def read_on_policy(path: Path) -> list[OnPolicyList]:
    """Read JSON Lines of {"id", "turns", "candidates", "scores"}, gzipped or not.

    Raises:
        InputError: a field is missing or malformed, or there is not one score a candidate.
    """
    lists = []
    for row in json_rows(numbered_lines(path), str(path)):
        candidates, scores = rated_candidates(row)
        lists.append(OnPolicyList(row.text("id"), row.texts("turns"), candidates, scores))
    return lists


def read_rated_lists(path: Path) -> list[OnPolicyList]:
    """Read rated lists: JSON Lines as `read_on_policy` does, or examples with judge scores (*.parquet).

    Raises:
        InputError, ArtifactError: the file cannot be read, or is malformed.
    """
    if path.suffix != ".parquet":
        return read_on_policy(path)
    return [
        OnPolicyList(
            f"{e.dialogue_id}-{place}",
            e.context,
            tuple(c.text for c in e.candidates),
            tuple(c.scores.judge for c in e.candidates if c.scores.judge is not None),
        )
        for place, e in enumerate(scored_lists([e for e in read_examples(path) if e.split == "train"]))
    ]


def read_held_out(paths: Iterable[Path]) -> frozenset[str]:
    """Ids that nothing may be trained on: one a line, or JSON Lines with the field `id` (*.jsonl, *.jsonl.gz).

    Blank lines and those that begin with # are passed over.

    Raises:
        InputError: a file cannot be read, a row has no id, or a file holds none: it would hold nothing out.
    """
    return frozenset(found for path in paths for found in read_ids(path))


def is_held_out(row_id: str, held_out: Collection[str]) -> bool:
    """Whether `row_id` or a beginning of it that ends before a hyphen (its dialogue) is held out."""
    parts = row_id.split("-")
    return any("-".join(parts[:n]) in held_out for n in range(1, len(parts) + 1))


def without_held_out(
    examples: Sequence[Example], lists: Sequence[OnPolicyList], held_out: Collection[str]
) -> tuple[list[Example], list[OnPolicyList]]:
    """Leave out the dialogues and lists held out, and the contexts of such lists wherever they stand."""
    left = [e for e in examples if not is_held_out(e.dialogue_id, held_out)]
    taken = [item.context for item in lists if is_held_out(item.id, held_out)]
    kept = [item for item in lists if not is_held_out(item.id, held_out)]
    return without_contexts(left, taken), without_contexts(kept, taken)


ContextT = TypeVar("ContextT", Example, OnPolicyList)


def without_contexts(items: Sequence[ContextT], contexts: Iterable[Context]) -> list[ContextT]:
    """Leave out what has one of these contexts, by its last two turns."""
    taken = {_ending(context) for context in contexts}
    return [item for item in items if _ending(item.context) not in taken]


def _ending(context: Context) -> tuple[str, ...]:
    """The last two turns, by which contexts of other histories are known again."""
    return tuple(normal_form(turn) for turn in context[-2:])


def scored_lists(examples: Sequence[Example]) -> list[Example]:
    """The examples two candidates of which have a judge score, reduced to those candidates."""
    kept = []
    for e in examples:
        rated = tuple(c for c in e.candidates if c.scores.judge is not None)
        if len(rated) >= 2:
            kept.append(Example(e.context, rated, dialogue_id=e.dialogue_id, split=e.split))
    return kept


@dataclass(frozen=True, slots=True)
class NegativeCounts:
    """How many wrong responses of each kind a list gets; random ones stand in where a kind is lacking.

    Attributes:
        random: said in other dialogues.
        wrong_turn: said elsewhere in this dialogue.
        speaker: said by the partner, before or right after the response.
        said: said by the bot itself before.
        retrieved: found by the retriever for this context.
    """

    random: int = 2
    wrong_turn: int = 1
    speaker: int = 1
    said: int = 1
    retrieved: int = 2

    @property
    def total(self) -> int:
        return self.random + self.wrong_turn + self.speaker + self.said + self.retrieved


class NegativeSource:
    """Draws wrong responses to a context: none has the normal form of one of its candidates."""

    def __init__(
        self, examples: Sequence[Example], counts: NegativeCounts, *, nearest: Nearest | None = None
    ) -> None:
        """Index the dialogues of `examples`; without `nearest` random responses stand in for retrieved."""
        self.counts = counts
        self._nearest = nearest
        self._found: dict[Context, Sequence[str]] = {}
        self._pool = list(dict.fromkeys(c.text for e in examples for c in e.candidates))
        self._turns: dict[str, dict[str, None]] = defaultdict(dict)
        self._next: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for e in examples:
            said = [c.text for c in e.originals]
            self._turns[e.dialogue_id].update(dict.fromkeys([*e.context, *said]))
            if len(e.context) > 1:
                self._next[(e.dialogue_id, e.context[-2], e.context[-1])] += said

    def look_up(self, contexts: Sequence[Context]) -> None:
        """Retrieve for contexts about to be drawn for, all at once."""
        new = list(dict.fromkeys(c for c in contexts if c not in self._found))
        if new and self._nearest is not None and self.counts.retrieved:
            self._found.update(zip(new, self._nearest(new), strict=True))

    def draw(
        self, example: Example, count: int, generator: np.random.Generator, *, easy: bool = False
    ) -> list[str]:
        """Draw `count` different wrong responses, hard ones in the proportions of `counts`.

        Args:
            easy: random ones alone.

        Raises:
            InputError: there are not so many different responses.
        """
        taken = {normal_form(c.text) for c in example.candidates}
        drawn: list[str] = []

        def take(texts: Sequence[str], most: int) -> None:
            for i in generator.permutation(len(texts)):
                if most <= 0 or len(drawn) == count:
                    return
                form = normal_form(texts[i])
                if form and form not in taken:
                    taken.add(form)
                    drawn.append(texts[i])
                    most -= 1

        kinds = {} if easy else self._kinds(example)
        for name in generator.permutation(sorted(kinds)):
            most = getattr(self.counts, str(name))
            take(
                kinds[str(name)],
                most if count >= self.counts.total else -(-most * count // self.counts.total),
            )
        tries = 0
        while len(drawn) < count:
            take([self._pool[int(generator.integers(len(self._pool)))]], 1)
            tries += 1
            if tries > 100 * count:
                raise InputError(f"too few different responses to draw {count} negatives; read more examples")
        return drawn

    def _kinds(self, example: Example) -> dict[str, list[str]]:
        """What each hard kind may be drawn from."""
        context = example.context
        following = [
            text
            for c in example.originals
            for text in self._next.get((example.dialogue_id, context[-1], c.text), ())
        ]
        said, partner = list(context[-2::-2]), [*context[-1::-2], *following]
        elsewhere = [t for t in self._turns[example.dialogue_id] if t not in {*context, *following}]
        self.look_up([context])
        found = list(self._found.get(context, ()))
        return {"wrong_turn": elsewhere, "speaker": partner, "said": said, "retrieved": found}


def next_utterance_list(
    example: Example, negatives: NegativeSource, generator: np.random.Generator, *, easy: bool = False
) -> JudgedResponses:
    """A fitting response first, wrong ones after it; a candidate that was rated badly does not count as fitting.

    Args:
        easy: random wrong responses alone.
    """
    fitting = fitting_responses(example)
    right = fitting[int(generator.integers(len(fitting)))]
    wrong = negatives.draw(example, negatives.counts.total, generator, easy=easy)
    return JudgedResponses(example.context, (right, *wrong), (1.0, *(0.0 for _ in wrong)), rated=False)


def fitting_responses(example: Example) -> list[str]:
    """The candidates that are right answers: all that were written for the context but those rated under 6."""
    return [c.text for c in example.written if c.scores.judge is None or c.scores.judge >= GOOD]


def contrasted_list(
    example: Example, negatives: NegativeSource, count: int, generator: np.random.Generator
) -> JudgedResponses:
    """The rated candidates of an example and `count` drawn negatives, which nobody rated, as NEGATIVE_SCORE."""
    wrong = negatives.draw(example, count, generator) if count else []
    rated = [c for c in example.candidates if c.scores.judge is not None]
    return JudgedResponses(
        example.context,
        (*(c.text for c in rated), *wrong),
        (*(float(c.scores.judge or 0.0) for c in rated), *(NEGATIVE_SCORE for _ in wrong)),
        rated=True,
    )


def split_by_dialogue(dialogue_ids: Sequence[str], share: float, *, seed: int) -> frozenset[str]:
    """About `share` of the dialogues, drawn by seed: those that choose the judge that is kept."""
    dialogues = sorted(set(dialogue_ids))
    count = round(share * len(dialogues))
    drawn = np.random.default_rng([seed, 7]).permutation(len(dialogues))[:count]
    return frozenset(dialogues[i] for i in drawn)


def counts_of(sources: Mapping[str, Sequence[object]]) -> dict[str, int]:
    """How many lists each source has, for the record of a training."""
    return {name: len(lists) for name, lists in sources.items()}
