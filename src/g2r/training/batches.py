"""Training batches by id: which responses are encoded, and what each is to each context.

Everything drawn here (the order of the contexts, their candidates, random negatives) depends on the seed
and the place in the schedule alone, so that a resumed or a distributed training sees the same batches.
"""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2r.config import TrainConfig
from g2r.dialogue import RETRIEVED, Candidate, Example
from g2r.duplicates import near_duplicate_groups, normal_form
from g2r.errors import ConfigError, InputError

Mask = NDArray[np.bool_]
Ids = NDArray[np.int64]

NEAR_DUPLICATE = 0.85
"""Jaccard likeness from which two responses are one when false negatives are masked."""


@dataclass(frozen=True, slots=True)
class CandidateList:
    """The candidates of one training context.

    Attributes:
        example: the context and all its candidates.
        responses: numbers of the responses that train it, each once.
        scores: teacher score of each, NaN where there is none.
        answers: which of them somebody wrote as an answer: P_i; the others were retrieved for the context and
            have a place in the distillation term alone.
        forbidden: sorted groups of responses that are no negatives of it.
    """

    example: Example
    responses: Ids
    scores: NDArray[np.float64]
    answers: Mask
    forbidden: Ids

    @property
    def positives(self) -> Ids:
        """Numbers of the answers."""
        return self.responses[self.answers]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Contexts, and the responses they share, by number.

    Attributes:
        lists: one for each training context.
        responses: text of each response.
        groups: group of each response; near duplicates share one.
        bank: numbers of the responses that may be drawn as negatives.
        counts: what was kept and dropped.
    """

    lists: tuple[CandidateList, ...]
    responses: tuple[str, ...]
    groups: Ids
    bank: Ids
    counts: Mapping[str, int]

    def negatives(self, context: int, responses: Ids) -> Mask:
        """Which of `responses` (numbers) are negatives of a context: not one of the masked groups."""
        return ~np.isin(self.groups[responses], self.lists[context].forbidden)


def training_data(examples: Sequence[Example], config: TrainConfig) -> TrainingData:
    """Number the responses of `examples` and collect the candidates of each context.

    A response that stands twice among the candidates of a context counts once, with its best score
    (METHOD, 3). The responses that are no negatives of a context (METHOD, 2) are its candidates anywhere
    in the data, whether or not they train it, those of contexts of the same normal form, and near
    duplicates of all these.

    Raises:
        ConfigError: there is nothing to train on, or no candidate has the score asked for.
        InputError: a score is NaN or infinite.
    """
    if not examples:
        raise ConfigError("no training examples; expected some of split 'train'")
    if not config.score:
        examples = [replace(e, candidates=e.written) for e in examples]  # what was retrieved has no say
    numbers: dict[str, int] = {}
    texts: list[str] = []
    for example in examples:
        for candidate in example.candidates:
            if numbers.setdefault(candidate.response_id, len(texts)) == len(texts):
                texts.append(candidate.text)
    groups = np.array(near_duplicate_groups(texts, NEAR_DUPLICATE), dtype=np.int64)
    forbidden: dict[str, set[int]] = defaultdict(set)
    for example in examples:
        forbidden[_context_form(example)].update(
            int(groups[numbers[c.response_id]]) for c in example.candidates
        )
    lists = []
    for example in examples:
        best = _best_scores(example, config)
        answers = {c.response_id for c in _answers(example, config)}
        if answers:
            lists.append(
                CandidateList(
                    example,
                    np.array([numbers[response] for response in best], dtype=np.int64),
                    np.array(list(best.values()), dtype=np.float64),
                    np.array([response in answers for response in best]),
                    np.array(sorted(forbidden[_context_form(example)]), dtype=np.int64),
                )
            )
    data = TrainingData(
        lists=tuple(lists),
        responses=tuple(texts),
        groups=groups,
        bank=np.unique(np.concatenate([c.responses for c in lists])) if lists else np.zeros(0, np.int64),
        counts=_counts(examples, lists),
    )
    _check(examples, data, config)
    return data


def _context_form(example: Example) -> str:
    return "\n".join(normal_form(turn) for turn in example.context)


def _best_scores(example: Example, config: TrainConfig) -> dict[str, float]:
    """Best score by response id of the candidates that train a context, NaN where there is none."""
    best: dict[str, float] = {}
    retrieved = [c for c in example.candidates if c.source == RETRIEVED]
    for candidate in (*_answers(example, config), *retrieved):
        score = _score(example, candidate, config.score)
        best[candidate.response_id] = float(np.fmax(best.get(candidate.response_id, math.nan), score))
    return best


def _answers(example: Example, config: TrainConfig) -> tuple[Candidate, ...]:
    return example.originals if config.responses == "original" else example.written


def _score(example: Example, candidate: Candidate, name: str | None) -> float:
    score = getattr(candidate.scores, name) if name else None
    if score is None:
        return math.nan
    if not math.isfinite(score):
        raise InputError(
            f"context {example.context_id}, response {candidate.response_id}: {name} is {score}, "
            "expected a finite number; score the examples again"
        )
    return float(score)


def _counts(examples: Sequence[Example], lists: Sequence[CandidateList]) -> dict[str, int]:
    scored = [int(np.isfinite(c.scores).sum()) for c in lists]
    return {
        "contexts": len(lists),
        "contexts_without_candidates": len(examples) - len(lists),
        "candidates": sum(len(c.positives) for c in lists),
        "retrieved": sum(int((~c.answers).sum()) for c in lists),
        "scored_candidates": sum(scored),
        "contexts_without_target": sum(n < 2 for n in scored),
    }


def _check(examples: Sequence[Example], data: TrainingData, config: TrainConfig) -> None:
    if not data.lists:
        raise ConfigError(
            "no context has an original response, expected some for responses: original; use responses: all"
            if config.responses == "original"
            else "no training example has a candidate; generate responses first"
        )
    if len(data.lists) < 2:
        raise ConfigError("one training context only; expected at least 2, each other's negatives")
    if config.score and not any((np.isfinite(c.scores).sum() >= 2) for c in data.lists):
        there = sorted(
            name
            for name in ("ll", "ll_sum", "mi", "judge")
            if any(getattr(c.scores, name) is not None for e in examples for c in e.candidates)
        )
        raise ConfigError(
            f"score is {config.score!r}, but no context has two candidates with it; "
            f"scores in the data: {', '.join(there) or 'none'}; run the score stage, or choose another score"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row of the schedule stands: row `row` of step `step`, a context in its epoch-th pass."""

    step: int
    row: int
    epoch: int
    context: int


@dataclass(frozen=True)
class Schedule:
    """In which order the contexts are visited: a new permutation each epoch, cut into full batches.

    The last contexts of an epoch that do not fill a batch sit it out (others do next epoch). With fewer
    contexts than `batch_size` a batch holds all of them, less a remainder that `processes` cannot share.
    """

    contexts: int
    batch_size: int
    seed: int
    processes: int = 1

    def __post_init__(self) -> None:
        if self.contexts < self.processes:
            raise ConfigError(
                f"{self.contexts} training contexts for {self.processes} processes; expected at least one each: "
                "start fewer processes"
            )

    @property
    def rows(self) -> int:
        """Contexts in one step, over all processes."""
        return min(self.batch_size, self.contexts) // self.processes * self.processes

    @property
    def steps_per_epoch(self) -> int:
        return self.contexts // self.rows

    def place(self, position: int) -> Place:
        """The place of row `position`, counted over the whole training."""
        step, row = divmod(position, self.rows)
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        order = _permutation(self.contexts, self.seed, epoch)
        return Place(step, row, epoch, int(order[step_of_epoch * self.rows + row]))

    def step(self, step: int) -> list[Place]:
        """All rows of a step."""
        return [self.place(position) for position in range(step * self.rows, (step + 1) * self.rows)]


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> Ids:
    return np.random.default_rng([seed, 1, epoch]).permutation(count)


def draw_candidates(
    count: int, most: int, *, seed: int, epoch: int, context: int, retrieved: bool = False
) -> Ids:
    """Which of `count` candidates train a context in this epoch: all, or `most` drawn evenly, in order.

    What is drawn of the retrieved ones does not hang together with what is drawn of the answers.
    """
    if count <= most:
        return np.arange(count)
    return np.sort(
        np.random.default_rng([seed, 4 if retrieved else 2, epoch, context]).choice(
            count, most, replace=False
        )
    )


def draw_negatives(bank_size: int, count: int, *, seed: int, step: int) -> list[int]:
    """Draw `count` different places of a bank in time and memory O(count), however large it is (METHOD, 6)."""
    return random.Random(f"{seed} {step}").sample(range(bank_size), min(count, bank_size))


@dataclass(frozen=True, slots=True)
class Batch:
    """One step, seen from one process.

    Attributes:
        contexts: numbers of its B contexts (its share of the step's).
        encoded: numbers of the responses it encodes (its share of the step's U, which all processes gather).
        positives, negatives, scored: bool (B, U); a retrieved response is scored and neither of the others.
        teacher_scores: float (B, U), NaN where not scored.
    """

    contexts: list[int]
    encoded: Ids
    positives: Mask
    negatives: Mask
    scored: Mask
    teacher_scores: NDArray[np.float64]


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of a step from the schedule (METHOD: The loss, P_i and N_i).

    The U responses of a step are the drawn candidates of all its contexts, `random_negatives` of the bank,
    and the mined negatives of its contexts: each once, each a negative of every context it is not a false
    negative of. Processes share the encoding of the U responses; where U does not divide evenly, response
    columns that are nobody's candidate or negative fill up.

    Attributes:
        mined: numbers of the hard negatives of each context, empty for none.
    """

    data: TrainingData
    schedule: Schedule
    config: TrainConfig
    mined: Sequence[Ids] = ()
    process: int = 0

    def batch(self, step: int) -> Batch:
        """The share of this process in a step, texts of like length side by side."""
        places = self.schedule.step(step)
        drawn = [self._draw(place) for place in places]
        responses = self._responses(step, places, drawn)
        shared = self._shared(responses)
        columns = {int(number): column for column, number in reversed(list(enumerate(shared.ravel())))}
        mine = self._rows(places, self.process)
        rows = len(mine)
        real = np.zeros(shared.size, dtype=bool)
        real[list(columns.values())] = True
        positives, negatives = np.zeros((2, rows, shared.size), dtype=bool)
        teacher_scores = np.full((rows, shared.size), np.nan)
        for row, i in enumerate(mine):
            chosen = self.data.lists[places[i].context]
            at = [columns[int(number)] for number in chosen.responses[drawn[i]]]
            positives[row, at] = chosen.answers[drawn[i]]
            teacher_scores[row, at] = chosen.scores[drawn[i]]
            negatives[row] = real & self.data.negatives(places[i].context, shared.ravel())
        return Batch(
            contexts=[places[i].context for i in mine],
            encoded=shared[self.process],
            positives=positives,
            negatives=negatives,
            scored=np.isfinite(teacher_scores),
            teacher_scores=teacher_scores,
        )

    def contexts(self, step: int) -> list[int]:
        """Numbers of a step's contexts, in the order in which the processes encode them, one after the other."""
        places = self.schedule.step(step)
        return [
            places[row].context
            for process in range(self.schedule.processes)
            for row in self._rows(places, process)
        ]

    def _rows(self, places: Sequence[Place], process: int) -> list[int]:
        """The rows of a step that a process encodes, by the length of their contexts."""
        rows = len(places) // self.schedule.processes
        return sorted(
            range(process * rows, (process + 1) * rows),
            key=lambda i: sum(map(len, self.data.lists[places[i].context].example.context)),
        )

    def _shared(self, responses: Ids) -> Ids:
        """Deal the responses out by length, int (processes, U / processes), the first repeated to fill up."""
        by_length = sorted(responses.tolist(), key=lambda number: len(self.data.responses[number]))
        filling = -len(by_length) % self.schedule.processes
        dealt = np.array([by_length[0]] * filling + by_length, dtype=np.int64)
        return dealt.reshape(-1, self.schedule.processes).T

    def _draw(self, place: Place) -> Ids:
        """Places of the candidates that train a context in this epoch: answers, then retrieved ones."""
        answers = self.data.lists[place.context].answers
        parts = []
        for retrieved, most in ((False, self.config.max_candidates), (True, self.config.max_retrieved)):
            (places,) = np.nonzero(answers != retrieved)
            drawn = draw_candidates(
                len(places),
                most,
                seed=self.config.seed,
                epoch=place.epoch,
                context=place.context,
                retrieved=retrieved,
            )
            parts.append(places[drawn])
        return np.concatenate(parts)

    def _responses(self, step: int, places: Sequence[Place], drawn: Sequence[Ids]) -> Ids:
        """Numbers of the U responses of a step, each once."""
        parts = [
            self.data.lists[place.context].responses[chosen]
            for place, chosen in zip(places, drawn, strict=True)
        ]
        if self.mined:
            parts += [self.mined[place.context] for place in places]
        if self.config.random_negatives:
            at = draw_negatives(
                len(self.data.bank), self.config.random_negatives, seed=self.config.seed, step=step
            )
            parts.append(self.data.bank[at])
        return np.unique(np.concatenate(parts))
