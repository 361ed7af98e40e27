"""How far a small tower finds what the full one finds in the bank that is served."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2r.config import IndexConfig
from g2r.encoder import Vectors
from g2r.index.keys import Keys, exact_scores

BEST = 10


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a small tower with the full one, means over contexts.

    Attributes:
        first: share of contexts whose best response is the same.
        recall_at_10: share of the full tower's ten best that are among the small one's.
        cosine: between their vectors of what each kind of key is compared with.
    """

    first: float
    recall_at_10: float
    cosine: float


def measure_agreement(
    keys: Sequence[Keys],
    config: IndexConfig,
    full: Vectors,
    small: Vectors,
    *,
    small_keys: Sequence[Keys] | None = None,
) -> Agreement:
    """Compare the rankings of the bank, exactly, before any rule.

    Args:
        keys: of the bank, kind by kind, by the full student.
        config: the weights of the score.
        full: its vectors of the contexts' views, (contexts, kinds, dimensions).
        small: the small tower's, of the same.
        small_keys: the keys that the small tower is compared with; `keys` if None.
    """
    small_keys = keys if small_keys is None else small_keys
    wanted = np.stack([best_rows(keys, query, config) for query in full])
    found = np.stack([best_rows(small_keys, query, config) for query in small])
    shared = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(wanted, found, strict=True)]
    return Agreement(
        first=float(np.mean(wanted[:, 0] == found[:, 0])),
        recall_at_10=float(np.mean(shared)),
        cosine=float(np.mean(np.sum(full * small, axis=-1))),
    )


def best_rows(keys: Sequence[Keys], query: Vectors, config: IndexConfig) -> NDArray[np.int64]:
    """The rows of the bank that score best for one context, best first; of equals the first: (10,) or all."""
    return np.argsort(-exact_scores(keys, query, config), kind="stable")[:BEST]
