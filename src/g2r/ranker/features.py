"""What the ranker sees of a context and a candidate: their vectors, and how these lie to each other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2r.encoder import Vectors
from g2r.index.keys import RESPONSE_KEY
from g2r.second_stage import Asked

VIEWS = ("all", "last1", "last2", "previous", "sentence")
"""Views of the context whose likeness to the response and to its keys counts."""
READ = ("last1", "previous", "sentence")
"""Views whose vectors the ranker reads themselves."""
KINDS = ("last1", "last2")
"""Kinds of context keys."""
NEEDED = frozenset((RESPONSE_KEY, *KINDS))
"""Kinds of key that an index must have."""
_BEST = 3
_WORD = re.compile(r"\S+")

LIKENESSES = (
    *(f"response~{view}" for view in VIEWS),
    *(f"{kind}~{view}" for kind in KINDS for view in VIEWS),
    *(f"{kind}~{kind} best {_BEST}" for kind in KINDS),
    *(f"{kind}~{kind} mean" for kind in KINDS),
)
PLAIN = (
    "sentence~last1",
    "previous~last1",
    "log keys",
    "log words",
    "log words of last turn",
    "log words of turn before",
    "asks",
    "ends asking",
    "last turn asks",
    "last turn ends asking",
    "turn before asks",
    "turns",
)
NAMES = (
    *LIKENESSES,
    *PLAIN,
    *(f"{name} over the mean" for name in LIKENESSES),
    *(f"{name} under the best" for name in LIKENESSES),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ranker sees of one context and its candidates.

    Attributes:
        features: `NAMES`, (candidates, features).
        responses: g(r), (candidates, dimensions).
        views: f(v(c)) of the views `READ`, (views, dimensions).
    """

    features: NDArray[np.float32]
    responses: Vectors
    views: Vectors


def see(asked: Asked) -> Seen:
    """Return the features of each candidate; `asked` has the views `VIEWS` and keys of the kinds `NEEDED`."""
    keys = asked.keys()
    responses = np.stack([vectors[0] for vectors in keys[RESPONSE_KEY]])
    views = np.stack([asked.views[view] for view in VIEWS])
    likeness = [responses @ views.T]
    best, means = [], []
    for kind in KINDS:
        here = VIEWS.index(kind)
        each = [_likeness(vectors, views) for vectors in keys[kind]]
        likeness.append(np.array([a.max(axis=0) for a in each], dtype=np.float32))
        best.append([np.sort(a[:, here])[-_BEST:].mean() for a in each])
        means.append([a[:, here].mean() for a in each])
    lies = np.concatenate([*likeness, np.array([*best, *means], dtype=np.float32).T], axis=1)
    plain = [_plain(asked, place, len(keys["last1"][place])) for place in range(len(responses))]
    columns = [lies, np.array(plain, np.float32), lies - lies.mean(axis=0), lies.max(axis=0) - lies]
    return Seen(
        np.concatenate(columns, axis=1, dtype=np.float32),
        responses,
        np.stack([asked.views[view] for view in READ]),
    )


def _likeness(keys: Vectors, views: Vectors) -> NDArray[np.float32]:
    """Likeness of each key to each view, (keys, views); one row of zeros where there is no key."""
    return keys @ views.T if len(keys) else np.zeros((1, len(views)), dtype=np.float32)


def _plain(asked: Asked, place: int, keys: int) -> Sequence[float]:
    response, last = asked.responses[place], asked.context[-1]
    before = asked.context[-2] if len(asked.context) > 1 else ""
    return (
        float(asked.views["sentence"] @ asked.views["last1"]),
        float(asked.views["previous"] @ asked.views["last1"]),
        np.log1p(keys),
        _log_words(response),
        _log_words(last),
        _log_words(before),
        "?" in response,
        response.rstrip().endswith("?"),
        "?" in last,
        last.rstrip().endswith("?"),
        "?" in before,
        len(asked.context),
    )


def _log_words(text: str) -> float:
    return float(np.log1p(len(_WORD.findall(text))))
