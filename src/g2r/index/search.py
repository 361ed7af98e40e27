"""Search over the keys of one kind in FAISS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from g2r.config import IndexConfig
from g2r.encoder import Vectors
from g2r.index.keys import Keys, Links, best_of_each, links_of
from g2r.index.structures import (
    automatic_kind,
    build_structure,
    description,
    has_effort,
    make_ready,
    search_parameters,
)

_MOST = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """What a search of one kind of key found.

    Attributes:
        rows: rows of the bank, ascending, each once.
        scores: of each row's best key.
        floor: no key that was not found scores more.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    floor: float


class KeySearch:
    """The keys of one kind in FAISS, with their links to the rows of the bank.

    Attributes:
        name: of the kind of key.
        index: FAISS's, see `g2r.index.structures`.
        links: whose keys they are.
        effort: how hard it is searched; 0 for what suits the structure.
    """

    def __init__(self, name: str, index: Any, links: Links, *, effort: int = 0) -> None:
        self.name = name
        self.index = index
        self.links = links
        self.effort = effort

    @classmethod
    def build(cls, keys: Keys, config: IndexConfig) -> Self:
        """Index keys, by one thread so that the same keys give the same bytes."""
        count, dimensions = keys.vectors.shape
        kind = automatic_kind(count) if config.kind == "auto" else config.kind
        described = description(kind, keys=count, dimensions=dimensions)
        with _one_thread():
            return cls(
                keys.name, build_structure(described, keys.vectors), keys.links, effort=config.search_effort
            )

    def save(self, folder: Path) -> None:
        """Write `KIND.faiss`, the vectors, and `KIND.npy`, the links."""
        faiss.write_index(self.index, str(folder / f"{self.name}.faiss"))
        np.save(folder / f"{self.name}.npy", self.links.pairs, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str, *, rows: int, effort: int = 0) -> Self:
        """Open what `save` wrote, for a bank of `rows` responses; the vectors are mapped, not read.

        Raises:
            OSError, RuntimeError, ValueError: the files are missing or damaged.
        """
        index = faiss.read_index(str(folder / f"{name}.faiss"), faiss.IO_FLAG_MMAP_IFC)
        make_ready(index)
        pairs = np.load(folder / f"{name}.npy", allow_pickle=False)
        if pairs[:, 1].max() + 1 != index.ntotal:
            raise ValueError(f"{name}: {index.ntotal} keys, links to {pairs[:, 1].max() + 1}")
        return cls(name, index, Links(pairs, rows=rows, keys=index.ntotal), effort=effort)

    def search(self, vector: Vectors, depth: int, allowed: NDArray[np.bool_] | None) -> Found:
        """Find the best `depth` responses by these keys, fewer where responses have several among the best."""
        most = min(depth, self.index.ntotal)
        scores, keys = self._nearest(vector, most, allowed)
        floor = -np.inf if most == self.index.ntotal or len(scores) < most else float(scores[-1])
        owners, offsets = links_of(self.links.key_rows, self.links.key_offsets, keys)
        scores = np.repeat(scores, np.diff(offsets))
        if allowed is not None:
            scores, owners = scores[allowed[owners]], owners[allowed[owners]]
        rows, best = np.unique(owners, return_index=True)
        if len(rows) > depth:
            kept = np.sort(np.argsort(best, kind="stable")[:depth])
            rows, best = rows[kept], best[kept]
            floor = max(floor, float(scores[best].min()))
        return Found(rows, scores[best], floor)

    def _nearest(
        self, vector: Vectors, depth: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and numbers of the best `depth` keys, fewer only if fewer may be found.

        What is visited may hold too few of those that are allowed, even none: then everything is.
        """
        selector = self._selector(allowed)
        for effort in (self.effort, self.index.ntotal):
            parameters = search_parameters(self.index, depth=depth, effort=effort, selector=selector)
            with _one_thread():  # one query is too little to share, and FAISS's threads spin while they wait
                scores, keys = self.index.search(vector[None], depth, params=parameters)
            if keys[0, -1] >= 0 or not has_effort(self.index):
                break
        filled = keys[0] >= 0
        return scores[0][filled], keys[0][filled]

    def _selector(self, allowed: NDArray[np.bool_] | None) -> Any:
        """FAISS's selector of the allowed keys where most are not; None where they are filtered afterwards."""
        if allowed is None or np.count_nonzero(allowed) >= _MOST * len(allowed):
            return None
        of_some = np.logical_or.reduceat(allowed[self.links.key_rows], self.links.key_offsets[:-1])
        return faiss.IDSelectorBitmap(np.packbits(of_some, bitorder="little"))

    def scores(self, vector: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The score of the best key of each row, read from its stored keys; -inf for a row without keys."""
        keys, offsets = links_of(self.links.row_keys, self.links.row_offsets, rows)
        if not len(keys):
            return np.full(len(rows), -np.inf, dtype=np.float32)
        distinct, places = np.unique(keys, return_inverse=True)
        of_keys = self.index.reconstruct_batch(distinct) @ vector
        return best_of_each(of_keys[places], offsets)

    def keys_of(self, rows: NDArray[np.int64]) -> list[Vectors]:
        """The stored keys of each row: (keys, dimensions) each."""
        keys, offsets = links_of(self.links.row_keys, self.links.row_offsets, rows)
        if not len(keys):
            return [np.zeros((0, self.index.d), dtype=np.float32) for _ in rows]
        distinct, places = np.unique(keys, return_inverse=True)
        return np.split(self.index.reconstruct_batch(distinct)[places], offsets[1:-1])


@contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS on one thread; with more it also links an HNSW graph in the order in which threads finish."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
