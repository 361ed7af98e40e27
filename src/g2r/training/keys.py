"""Context keys in training: contexts that share a response, seen as the index sees them (METHOD: context keys).

At run time a response is found by the likeness of the new context to those it was written for. The pairs of
contexts that share a response are what that likeness can be learned from.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np

from g2r.config import ContextView
from g2r.dialogue import Context
from g2r.index.base import view_of
from g2r.training.batches import CandidateList, Ids, Mask, TrainingData

VIEWS: tuple[str, ...] = get_args(ContextView)


@dataclass(frozen=True, slots=True)
class KeyBatch:
    """The contexts of a batch as queries, and a key for each of them.

    Attributes:
        queries: a view of each of the B contexts.
        keys: a view of another context that shares a response with it, or of itself where none does.
        positives: which of the keys of all processes fit a query: bool (B, K).
        negatives: which do not; a key that is the query's own context is neither: bool (B, K).
    """

    queries: list[Context]
    keys: list[Context]
    positives: Mask
    negatives: Mask


@dataclass(frozen=True)
class KeyMaker:
    """Draws views and keys by seed, step and context, so that every process and every resume draws the same."""

    data: TrainingData
    seed: int

    def batch(self, step: int, contexts: Sequence[int], mine: Sequence[int]) -> KeyBatch:
        """The keys of a step.

        Args:
            step: of the training.
            contexts: numbers of the step's contexts, in the order in which the processes encode them.
            mine: those that this process encodes.
        """
        drawn = {context: self._draw(step, context) for context in contexts}
        keys = np.array([drawn[context][2] for context in contexts])
        positives, negatives = np.zeros((2, len(mine), len(keys)), dtype=bool)
        for row, context in enumerate(mine):
            akin = np.array([self._akin(context, key) for key in keys.tolist()])
            positives[row] = akin & (keys != context)
            negatives[row] = ~akin
        turns = [item.example.context for item in self.data.lists]
        return KeyBatch(
            queries=[view_of(turns[context], drawn[context][0]) for context in mine],
            keys=[view_of(turns[drawn[context][2]], drawn[context][1]) for context in mine],
            positives=positives,
            negatives=negatives,
        )

    def _draw(self, step: int, context: int) -> tuple[str, str, int]:
        """The view of a context as query, the view of its key, and the context that is its key."""
        generator = np.random.default_rng([self.seed, 3, step, context])
        siblings = self._siblings(context)
        key = int(generator.choice(siblings)) if len(siblings) else context
        query_view, key_view = generator.choice(len(VIEWS), 2)
        return VIEWS[query_view], VIEWS[key_view], key

    def _akin(self, context: int, other: int) -> bool:
        """Whether two contexts share a response or a near duplicate of one."""
        return not self._groups[context].isdisjoint(self._groups[other])

    def _siblings(self, context: int) -> Ids:
        """The other contexts that share a response with one, in order."""
        found = {other for group in self._groups[context] for other in self._contexts_of[group]}
        return np.array(sorted(found - {context}), dtype=np.int64)

    @cached_property
    def _groups(self) -> list[frozenset[int]]:
        """Groups of the responses of each context; near duplicates share one."""
        return [frozenset(item.forbidden.tolist()) - self._retrieved(item) for item in self.data.lists]

    def _retrieved(self, item: CandidateList) -> set[int]:
        """Groups that a context has for what was retrieved for it alone: no answers that contexts could share."""
        answers, others = (self.data.groups[item.responses[kind]] for kind in (item.answers, ~item.answers))
        return set(others.tolist()) - set(answers.tolist())

    @cached_property
    def _contexts_of(self) -> dict[int, list[int]]:
        """Contexts by the groups of their responses."""
        contexts = defaultdict(list)
        for number, groups in enumerate(self._groups):
            for group in groups:
                contexts[group].append(number)
        return contexts
