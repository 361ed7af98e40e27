"""What can order candidates: a student, context keys, BM25. All answer the same call."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from g2r.dialogue import Context
from g2r.encoder import Encoder, Vectors
from g2r.evaluation.bm25 import Bm25
from g2r.evaluation.metrics import Floats
from g2r.index.base import view_of

Scorer = Callable[[Sequence[Context], Sequence[Sequence[str]]], list[Floats]]
"""Scores each context's candidates, higher is better: one float (candidates,) a context."""

TextT = TypeVar("TextT", str, Context)


class MemoEncoder:
    """An encoder that encodes each text once, however often it is asked: for many lists and banks in a row."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._contexts: dict[Context, Vectors] = {}
        self._responses: dict[str, Vectors] = {}

    @property
    def fingerprint(self) -> str:
        return self._encoder.fingerprint

    def encode_contexts(self, contexts: Sequence[Sequence[str]]) -> Vectors:
        """f(c) for each context: float32 (contexts, dimensions)."""
        return _recalled(self._contexts, [tuple(c) for c in contexts], self._encoder.encode_contexts)

    def encode_responses(self, responses: Sequence[str]) -> Vectors:
        """g(r) for each response: float32 (responses, dimensions)."""
        return _recalled(self._responses, responses, self._encoder.encode_responses)


def _recalled(
    known: dict[TextT, Vectors], texts: Sequence[TextT], encode: Callable[[Sequence[TextT]], Vectors]
) -> Vectors:
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new or not texts:
        vectors = encode(new)
        known.update(zip(new, vectors, strict=True))
    return np.stack([known[text] for text in texts]) if texts else vectors


def encoder_scorer(encoder: Encoder) -> Scorer:
    """s(c, r) = f(c).g(r); each distinct text is encoded once."""

    def score(contexts: Sequence[Context], candidates: Sequence[Sequence[str]]) -> list[Floats]:
        queries, rows = _encoded(encoder.encode_contexts, contexts)
        keys, places = _encoded(encoder.encode_responses, [text for texts in candidates for text in texts])
        own = np.split(places, np.cumsum([len(texts) for texts in candidates])[:-1])
        return [(keys[texts] @ queries[row]).astype(np.float64) for row, texts in zip(rows, own, strict=True)]

    return score


def context_key_scorer(
    encoder: Encoder,
    written_for: Mapping[str, Sequence[Context]],
    *,
    views: Sequence[str] = ("last1", "last2"),
    response_key: float = 0.0,
    context_key: float = 1.0,
) -> Scorer:
    """What an index with context keys gives (see `g2r.index.base`), for candidates that stand in no bank.

    Args:
        written_for: the contexts each response was written for; one without any has 0 for its context key.
        views: what of a context is its key: last1, last2, all; the best view counts.
    """
    by_response = encoder_scorer(encoder)

    def score(contexts: Sequence[Context], candidates: Sequence[Sequence[str]]) -> list[Floats]:
        best = [np.full(len(texts), -np.inf) for texts in candidates]
        for view in views:
            owners = [(r, view_of(c, view)) for r, written in written_for.items() for c in written]
            vectors, places = _encoded(encoder.encode_contexts, [key for _, key in owners])
            keys = defaultdict(list)
            for (response, _), place in zip(owners, places, strict=True):
                keys[response].append(place)
            queries, rows = _encoded(encoder.encode_contexts, [view_of(c, view) for c in contexts])
            for scores, row, texts in zip(best, rows, candidates, strict=True):
                likeness = vectors @ queries[row]
                for j, text in enumerate(texts):
                    scores[j] = max([scores[j], *likeness[keys[text]]])
        best = [np.where(np.isneginf(scores), 0.0, scores) for scores in best]
        if not response_key:
            return [context_key * scores for scores in best]
        own = by_response(contexts, candidates)
        return [response_key * r + context_key * k for r, k in zip(own, best, strict=True)]

    return score


def bm25_scorer(responses: Sequence[str] = ()) -> Scorer:
    """BM25 of a context's words against each candidate; `responses` add to the word statistics."""

    def score(contexts: Sequence[Context], candidates: Sequence[Sequence[str]]) -> list[Floats]:
        texts = list(dict.fromkeys([*responses, *(text for texts in candidates for text in texts)]))
        places = {text: i for i, text in enumerate(texts)}
        ranker = Bm25(texts)
        return [
            ranker.scores(" ".join(context))[[places[text] for text in own]]
            for context, own in zip(contexts, candidates, strict=True)
        ]

    return score


def _encoded(
    encode: Callable[[Sequence[TextT]], Vectors], texts: Sequence[TextT]
) -> tuple[Vectors, NDArray[np.intp]]:
    """Vectors of the distinct texts, and the row of each text in them."""
    rows: dict[TextT, int] = {}
    places = np.array([rows.setdefault(text, len(rows)) for text in texts], dtype=np.intp)
    return encode(list(rows)), places
