"""What an index of a bank is: its rows are keys, of which a response may have several.

The score of a response r for a context c (METHOD: at run time, context keys) is

    s(r) = response_key * f(c) . g(r)  +  context_key * max over k, v of f(v(c)) . f(v(c_k))

over the contexts c_k that r was written for and the views v of a context. A response without contexts
has 0 for the second part.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from g2r.bank import ResponseBank
from g2r.config import IndexConfig
from g2r.dialogue import Context
from g2r.encoder import Encoder, Vectors

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_TURNS = {"last1": 1, "last2": 2, "all": 0}


@dataclass(frozen=True, slots=True)
class Hits:
    """Responses found for one context, best first; equal scores in the order of the rows.

    Attributes:
        rows: rows of the bank, (found,).
        scores: s(r), (found,).
        response_scores: f(c) . g(r), (found,); None if the index has no response keys.
        context_scores: max f(v(c)) . f(v(c_k)), (found,); None if it has no context keys.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    response_scores: NDArray[np.float32] | None = None
    context_scores: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rows)


@runtime_checkable
class ResponseIndex(Protocol):
    """Finds the best of a bank's built responses for contexts encoded by one encoder."""

    @property
    def config(self) -> IndexConfig:
        """As it was built: the weights of the score."""
        ...

    def __len__(self) -> int:
        """Number of responses, the first rows of the bank."""
        ...

    @property
    def views(self) -> tuple[str, ...]:
        """The views of a context that a query holds: `encode_views` makes one."""
        ...

    def search(self, query: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None) -> Hits:
        """Return the best `k` responses, fewer only if fewer are allowed.

        Args:
            query: one context, (views, dimensions).
            k: how many.
            allowed: rows that may be returned, (responses,); all if None.
        """
        ...

    def keys_of(self, rows: NDArray[np.int64]) -> Mapping[str, Sequence[Vectors]]:
        """The stored keys of these rows, by kind: for each row (keys, dimensions)."""
        ...

    def save(self, folder: Path | str) -> None:
        """Write the index into `folder`, whole or not at all."""
        ...

    @classmethod
    def load(cls, folder: Path | str, *, bank: ResponseBank, encoder: Encoder) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: there is none, it is damaged, or it was built for another bank or encoder.
        """
        ...


def view_of(context: Sequence[str], view: str) -> Context:
    """What a view sees of a context.

    last1 sees its last turn, last2 its last two, all of it everything; previous the turn before the last,
    nothing where there is none; sentence the last sentence of the last turn.
    """
    if view == "previous":
        return tuple(context[-2:-1])
    if view == "sentence":
        return (_SENTENCE_END.split(context[-1].strip())[-1],)
    return tuple(context[-_TURNS[view] :])


def encode_views(encoder: Encoder, contexts: Sequence[Sequence[str]], views: Sequence[str]) -> Vectors:
    """Return f(v(c)) for each context and view: (contexts, views, dimensions), zeros where a view sees nothing.

    Equal texts are encoded once.
    """
    seen = [view_of(context, view) for context in contexts for view in views]
    distinct = list(dict.fromkeys(turns for turns in seen if turns))
    place = {turns: i for i, turns in enumerate(distinct)} | {(): len(distinct)}
    vectors = encoder.encode_contexts(distinct)
    vectors = np.concatenate([vectors, np.zeros_like(vectors[:1])])
    return vectors[[place[turns] for turns in seen]].reshape(len(contexts), len(views), -1)
