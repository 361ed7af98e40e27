"""The keys of a bank: what the rows of its index are, and the exact score that search must agree with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from g2r.bank import BankResponse, ResponseBank
from g2r.config import IndexConfig
from g2r.dialogue import Context
from g2r.encoder import Encoder, Vectors, encode_context_keys
from g2r.errors import ConfigError, InputError
from g2r.index.base import view_of
from g2r.progress import Progress, silent

RESPONSE_KEY = "response"
_TEXTS_AT_ONCE = 512
ItemT = TypeVar("ItemT")


class Links:
    """Which key belongs to which response: a response has any number of keys, a key one response or more.

    Attributes:
        pairs: (row of the bank, key), in order of the rows: (links, 2).
        row_offsets: the links of row r are row_offsets[r] to row_offsets[r + 1]: (responses + 1,).
        row_keys: the key of each link: (links,).
        key_offsets, key_rows: the same seen from the keys: (keys + 1,), (links,).
    """

    def __init__(self, pairs: NDArray[np.int64], *, rows: int, keys: int) -> None:
        self.pairs = pairs
        self.row_keys = pairs[:, 1]
        self.row_offsets = np.searchsorted(pairs[:, 0], np.arange(rows + 1))
        order = np.argsort(self.row_keys, kind="stable")
        self.key_rows = pairs[order, 0]
        self.key_offsets = np.searchsorted(self.row_keys[order], np.arange(keys + 1))


def links_of(
    members: NDArray[np.int64], offsets: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the members of the wanted ranges of `members`, one range after another, and their new offsets."""
    lengths = offsets[wanted + 1] - offsets[wanted]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    places = np.repeat(offsets[wanted] - starts[:-1], lengths) + np.arange(starts[-1])
    return members[places], starts


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one kind: the rows of one search index.

    Attributes:
        name: "response", or the view of the contexts that these are.
        vectors: unit length, each text once, (keys, dimensions).
        links: whose keys they are.
    """

    name: str
    vectors: Vectors
    links: Links

    @property
    def view(self) -> str:
        """The view of a context that is compared with these keys."""
        return "all" if self.name == RESPONSE_KEY else self.name


def key_names(config: IndexConfig) -> tuple[str, ...]:
    """The kinds of keys that have weight.

    Raises:
        ConfigError: none has.
    """
    names = ((RESPONSE_KEY,) if config.response_key else ()) + (
        tuple(dict.fromkeys(config.context_views)) if config.context_key else ()
    )
    if not names:
        raise ConfigError(
            f"index: response_key is {config.response_key} and context_key {config.context_key} over the views "
            f"{config.context_views}; expected at least one weight over 0, with a view for context_key"
        )
    return names


def encode_keys(
    bank: ResponseBank, encoder: Encoder, config: IndexConfig, *, progress: Progress = silent
) -> list[Keys]:
    """Encode the keys of a bank's built rows, kind by kind. A context that is a key several times is encoded once.

    Raises:
        ConfigError: no kind of key has weight.
        InputError: context keys alone were asked for, and no response has a context.
    """
    names, built = key_names(config), bank.built
    seen = {name: _contexts_seen(built, name) for name in names if name != RESPONSE_KEY}
    contexts = list(dict.fromkeys(turns for seen_by in seen.values() for turns, _ in seen_by))
    texts = built.texts if RESPONSE_KEY in names else []
    if not contexts and not texts:
        raise InputError("no response of the bank has a context; build the index with response_key over 0")
    total, keys = len(texts) + len(contexts), []
    if texts:
        vectors = _encode(encoder.encode_responses, texts, done=0, total=total, progress=progress)
        own = np.repeat(np.arange(len(built)), 2).reshape(-1, 2)
        keys.append(Keys(RESPONSE_KEY, vectors, Links(own, rows=len(built), keys=len(built))))
    if contexts:
        encode = partial(encode_context_keys, encoder)
        vectors = _encode(encode, contexts, done=len(texts), total=total, progress=progress)
        place = {turns: i for i, turns in enumerate(contexts)}
        for name, seen_by in seen.items():
            used = {turns: key for key, turns in enumerate(dict.fromkeys(turns for turns, _ in seen_by))}
            pairs = np.array([(row, used[turns]) for turns, row in seen_by], dtype=np.int64)
            links = Links(pairs, rows=len(built), keys=len(used))
            keys.append(Keys(name, vectors[[place[turns] for turns in used]], links))
    return keys


def _contexts_seen(bank: Sequence[BankResponse], view: str) -> list[tuple[Context, int]]:
    """What a view sees of the contexts of each response, with the response's row; in order of the rows."""
    return [
        (turns, row)
        for row, response in enumerate(bank)
        for turns in dict.fromkeys(view_of(context.turns, view) for context in response.contexts)
        if turns
    ]


def _encode(
    encode: Callable[[Sequence[ItemT]], Vectors],
    items: Sequence[ItemT],
    *,
    done: int,
    total: int,
    progress: Progress,
) -> Vectors:
    """Encode part by part, telling how far it is of `total`, `done` of which stand before `items`."""
    parts = []
    for start in range(0, len(items), _TEXTS_AT_ONCE):
        parts.append(encode(items[start : start + _TEXTS_AT_ONCE]))
        progress(done + min(start + _TEXTS_AT_ONCE, len(items)), total, note="keys")
    return np.concatenate(parts)


def best_of_each(scores: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the largest of the last axis in each range offsets[i] to offsets[i + 1]; -inf for an empty one.

    (..., keys) -> (..., ranges).
    """
    best = np.full((*scores.shape[:-1], len(offsets) - 1), -np.inf, dtype=np.float32)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        best[..., filled] = np.maximum.reduceat(scores, offsets[filled], axis=-1)
    return best


def combine(
    response_scores: NDArray[np.float32] | None,
    context_scores: NDArray[np.float32] | None,
    config: IndexConfig,
) -> NDArray[np.float32]:
    """Return s(r) of its two parts, rounded to 1e-6 so that equal keys tie wherever they were computed."""
    parts = [
        weight * scores
        for weight, scores in (
            (config.response_key, response_scores),
            (config.context_key, context_scores),
        )
        if scores is not None
    ]
    return np.asarray(np.round(sum(parts[1:], parts[0]), 6), dtype=np.float32)


def exact_scores(keys: Sequence[Keys], query: Vectors, config: IndexConfig) -> NDArray[np.float32]:
    """Return s(r) for every response of the bank: (responses,). `query` holds a row for each kind of key."""
    parts = {
        kind.name: best_of_each((kind.vectors @ vector)[kind.links.row_keys], kind.links.row_offsets)
        for kind, vector in zip(keys, query, strict=True)
    }
    response_scores = parts.pop(RESPONSE_KEY, None)
    return combine(response_scores, best_context(list(parts.values())), config)


def best_context(scores: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """The best over the views of a context; 0 for a response without contexts, None without views."""
    if not scores:
        return None
    best = np.maximum.reduce(list(scores))
    return np.where(np.isneginf(best), np.float32(0), best)
