"""What searches of several kinds of key found, ranked by one score (METHOD: context keys)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2r.config import IndexConfig
from g2r.encoder import Vectors
from g2r.index.base import Hits
from g2r.index.keys import RESPONSE_KEY, best_context, combine
from g2r.index.search import Found, KeySearch

Floats = NDArray[np.float32]


def rank(
    parts: Sequence[KeySearch], query: Vectors, found: Sequence[Found], k: int, config: IndexConfig
) -> tuple[Hits, bool]:
    """The best `k` of what was found, and whether nothing that was not found can belong there.

    A response that one search found and another did not has at most the other's floor there. Its stored keys
    are read only where that bound could bring it among the best.

    Args:
        parts: the kinds of key.
        query: one context, a row for each kind: (kinds, dimensions).
        found: by each kind.
        k: how many.
        config: the weights of s(r).
    """
    candidates = _Candidates(parts, query, found, config)
    bounds = candidates.scores()
    candidates.settle(np.argsort(-bounds, kind="stable")[: 2 * k])
    scores = np.where(candidates.settled, candidates.scores(), -np.inf)
    worst = np.partition(scores, -k)[-k] if 0 < k <= len(scores) else -np.inf
    candidates.settle(np.flatnonzero(~candidates.settled & (bounds >= worst)))
    scores = np.where(candidates.settled, candidates.scores(), -np.inf)
    best = np.lexsort((candidates.rows, -scores))[:k]
    floors = np.array([[each.floor] for each in found], dtype=np.float32)
    response, context = candidates.by_part(floors)
    unseen = combine(response, None if context is None else np.maximum(context, 0), config)[0]
    return candidates.hits(best), bool(len(best) < 1 or scores[best[-1]] >= unseen)


class _Candidates:
    """Responses with their best score by each kind of key, or the most that it can be."""

    def __init__(
        self, parts: Sequence[KeySearch], query: Vectors, found: Sequence[Found], config: IndexConfig
    ) -> None:
        self._parts, self._query, self._config = parts, query, config
        self._of_response = np.array([part.name == RESPONSE_KEY for part in parts])
        self._floors = [each.floor for each in found]
        self.rows = np.unique(np.concatenate([each.rows for each in found]))
        self._scores = np.repeat(np.array(self._floors, dtype=np.float32)[:, None], len(self.rows), axis=1)
        self._known: NDArray[np.bool_] = np.isneginf(self._scores)
        for kind, each in enumerate(found):
            places = np.searchsorted(self.rows, each.rows)
            self._scores[kind, places] = each.scores
            self._known[kind, places] = True
        self.settled: NDArray[np.bool_] = np.all(self._known, axis=0)

    def settle(self, places: NDArray[np.int64]) -> None:
        """Make the scores at `places` exact: a view of the context counts only above the best one known."""
        for kind, part in enumerate(self._parts):
            missing = ~self._known[kind, places]
            if not self._of_response[kind]:
                missing &= self._floors[kind] > self._best_known_context(places)
            wanted = places[missing]
            if len(wanted):
                self._scores[kind, wanted] = part.scores(self._query[kind], self.rows[wanted])
                self._known[kind, wanted] = True
        self.settled[places] = True

    def _best_known_context(self, places: NDArray[np.int64]) -> Floats:
        known = np.where(self._known[:, places], self._scores[:, places], -np.inf)
        return np.asarray(known[~self._of_response].max(axis=0))

    def scores(self) -> Floats:
        """s(r) of every candidate, exact where it is settled, else an upper bound: without contexts the part is 0."""
        response, context = self.by_part(self._scores)
        if context is not None:
            context = np.where(self.settled, context, np.maximum(context, 0))
        return combine(response, context, self._config)

    def by_part(self, scores: Floats) -> tuple[Floats | None, Floats | None]:
        """Scores by kind of key, (kinds, n), to the two parts of s(r)."""
        response = scores[self._of_response]
        return (response[0] if len(response) else None), best_context(list(scores[~self._of_response]))

    def hits(self, places: NDArray[np.int64]) -> Hits:
        """The candidates at `places`."""
        response_scores, context_scores = self.by_part(self._scores[:, places])
        return Hits(self.rows[places], self.scores()[places], response_scores, context_scores)
