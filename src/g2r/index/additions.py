"""Responses added since an index was built: a few keys, searched exactly beside it by the same score."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, Thread
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from g2r.bank import BankResponse, ResponseBank
from g2r.encoder import Encoder, Vectors, encode_context_keys
from g2r.index.base import Hits, ResponseIndex
from g2r.index.keys import RESPONSE_KEY, Keys, best_context, best_of_each, combine, encode_keys

_ENCODED_AT_ONCE = 8
_REBUILT_AT_ONCE = 1000
TextT = TypeVar("TextT", bound=Hashable)


@dataclass(slots=True)
class RememberingEncoder:
    """An encoder of keys that encodes each text once: additions come one by one, and each is joined to those before."""

    encoder: Encoder
    _contexts: dict[tuple[str, ...], Vectors] = field(default_factory=dict)
    _responses: dict[str, Vectors] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    def encode_contexts(self, contexts: Sequence[Sequence[str]]) -> Vectors:
        encode = partial(encode_context_keys, self.encoder)
        return _remembered(self._contexts, [tuple(turns) for turns in contexts], encode)

    def encode_responses(self, responses: Sequence[str]) -> Vectors:
        return _remembered(self._responses, responses, self.encoder.encode_responses)


def _remembered(
    known: dict[TextT, Vectors], texts: Sequence[TextT], encode: Callable[[Sequence[TextT]], Vectors]
) -> Vectors:
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        known.update(zip(new, encode(new), strict=True))
    return np.stack([known[text] for text in texts])


class Additions:
    """The keys of a bank's fresh rows, beside an index of its built ones.

    Attributes:
        fresh: the rows that these keys belong to.
        views: the views of a context that a query holds for the index and for these.
    """

    def __init__(self, index: ResponseIndex, fresh: Mapping[int, BankResponse], encoder: Encoder) -> None:
        """Encode what is fresh, to be searched beside `index` with its weights."""
        self.fresh = fresh
        self._index = index
        self._rows, self._keys = _encoded(index, fresh, encoder)
        added = [kind.view for kind in self._keys if kind.view not in index.views]
        self.views = (*index.views, *added)
        self._places = [self.views.index(kind.view) for kind in self._keys]

    def search(self, query: Vectors, k: int, allowed: NDArray[np.bool_]) -> Hits:
        """The best `k` responses of the index and of these, as `ResponseIndex.search` returns them.

        Args:
            query: one context, (views, dimensions).
            k: how many.
            allowed: rows that may be returned, at least as many as there are rows here.
        """
        index_query = query[: len(self._index.views)]
        built = allowed[: len(self._index)]
        if not len(self._rows):
            return self._index.search(index_query, k, allowed=built)
        superseded = self._rows[self._rows < len(built)]
        if len(superseded):
            built = built.copy()
            built[superseded] = False
        return _best([self._index.search(index_query, k, allowed=built), self._scored(query, allowed)], k)

    def keys_of(self, rows: NDArray[np.int64]) -> dict[str, list[Vectors]]:
        """The keys of these rows, by kind: for each row (keys, dimensions)."""
        fresh = {int(row): place for place, row in enumerate(self._rows)}
        stored = self._index.keys_of(np.array([row for row in rows if row not in fresh], dtype=np.int64))
        if not fresh:
            return {name: list(keys) for name, keys in stored.items()}
        added = {kind.name: kind for kind in self._keys}
        nothing = np.zeros((0, self._keys[0].vectors.shape[1]), dtype=np.float32)
        found: dict[str, list[Vectors]] = {}
        for name in dict.fromkeys([*stored, *added]):
            others = iter(stored.get(name, ()))
            found[name] = [
                (_keys_at(added[name], fresh[row]) if name in added else nothing)
                if row in fresh
                else next(others, nothing)
                for row in rows.tolist()
            ]
        return found

    def _scored(self, query: Vectors, allowed: NDArray[np.bool_]) -> Hits:
        """All of these that are allowed, scored as `keys.exact_scores` does."""
        parts = {
            kind.name: best_of_each(
                (kind.vectors @ query[place])[kind.links.row_keys], kind.links.row_offsets
            )
            for kind, place in zip(self._keys, self._places, strict=True)
        }
        response_scores = parts.pop(RESPONSE_KEY, None)
        context_scores = best_context(list(parts.values()))
        scores = combine(response_scores, context_scores, self._index.config)
        kept = np.flatnonzero(allowed[self._rows])
        return Hits(
            rows=self._rows[kept],
            scores=scores[kept],
            response_scores=None if response_scores is None else response_scores[kept],
            context_scores=None if context_scores is None else context_scores[kept],
        )


class LiveAdditions:
    """The additions to a bank that is served, encoded as they come. Safe to use from several threads.

    Attributes:
        current: what a search uses now.
    """

    def __init__(self, bank: ResponseBank, index: ResponseIndex, encoder: Encoder) -> None:
        self.current = Additions(index, {}, encoder)
        self._bank = bank
        self._index = index
        self._encoder = RememberingEncoder(encoder)
        self._encoding = Lock()
        self._begun = False

    def follow(self, *, wait: bool = False) -> None:
        """Take over the fresh rows of the bank.

        The first rows ever, and few ones later, are encoded before this returns. Many are encoded by a
        thread of their own, so that no reply waits for an import; until it ends, searches go on without.

        Args:
            wait: return only when all of them are encoded, by whichever thread.
        """
        if self.current.fresh is self._bank.fresh or not self._encoding.acquire(blocking=wait):
            return
        fresh, known = self._bank.fresh, self.current.fresh
        new = sum(known.get(row) is not response for row, response in fresh.items())
        if wait or not self._begun or (new <= _ENCODED_AT_ONCE and len(fresh) <= _REBUILT_AT_ONCE):
            self._encode(fresh)
        else:
            Thread(target=self._encode, args=(fresh,), name="g2r-additions", daemon=True).start()

    def prepare(self, fresh: Mapping[int, BankResponse]) -> None:
        """Encode rows that are going to be fresh; searches find them once they are."""
        with self._encoding:
            Additions(self._index, fresh, self._encoder)

    def _encode(self, fresh: Mapping[int, BankResponse]) -> None:
        """Encode by the thread that holds the lock, or was handed it; give the lock back."""
        try:
            if self.current.fresh is not fresh:
                self.current = Additions(self._index, fresh, self._encoder)
            self._begun = True
        finally:
            self._encoding.release()


def _encoded(
    index: ResponseIndex, fresh: Mapping[int, BankResponse], encoder: Encoder
) -> tuple[NDArray[np.int64], list[Keys]]:
    """The rows that have keys by the weights of the index, ascending by response id, and their keys."""
    keyed = {row: r for row, r in fresh.items() if index.config.response_key or r.contexts}
    if not keyed:
        return np.zeros(0, dtype=np.int64), []
    bank = ResponseBank.from_responses(keyed.values())
    rows = {response.response_id: row for row, response in keyed.items()}
    return np.array([rows[response.response_id] for response in bank]), encode_keys(
        bank, encoder, index.config
    )


def _keys_at(kind: Keys, place: int) -> Vectors:
    """The keys of the response at `place` among those of `kind`: (keys, dimensions)."""
    start, end = kind.links.row_offsets[place : place + 2]
    return kind.vectors[kind.links.row_keys[start:end]]


def _best(found: Sequence[Hits], k: int) -> Hits:
    """The best `k` of several searches of different rows."""
    rows = np.concatenate([hits.rows for hits in found])
    scores = np.concatenate([hits.scores for hits in found])
    response_scores = _joined([hits.response_scores for hits in found], found)
    context_scores = _joined([hits.context_scores for hits in found], found)
    best = np.lexsort((rows, -scores))[:k]
    return Hits(
        rows=rows[best],
        scores=scores[best],
        response_scores=None if response_scores is None else response_scores[best],
        context_scores=None if context_scores is None else context_scores[best],
    )


def _joined(parts: Sequence[NDArray[np.float32] | None], found: Sequence[Hits]) -> NDArray[np.float32] | None:
    """A part of the scores of several searches; 0 where one has no such part and another has."""
    if all(scores is None for scores in parts):
        return None
    filled = [
        np.zeros(len(hits), np.float32) if scores is None else scores
        for hits, scores in zip(found, parts, strict=True)
    ]
    return np.concatenate(filled)
