"""The index on FAISS: one search structure for each kind of key, and one exact score over all of them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import Manifest, library_versions, read_manifest, replacing, write_manifest
from g2r.bank import ResponseBank
from g2r.config import IndexConfig, parse_config
from g2r.dialogue import Context
from g2r.encoder import Encoder, Vectors
from g2r.errors import ArtifactError
from g2r.index.base import Hits, encode_views
from g2r.index.keys import (
    RESPONSE_KEY,
    Keys,
    Links,
    best_of_each,
    combine,
    encode_keys,
    exact_scores,
    links_of,
)
from g2r.progress import Progress, silent

_FLAT_KEYS = 100_000
_DEPTH = 2
_PROBES = 200
_MOST = 0.5


class FaissIndex:
    """The keys of a bank, searched kind by kind; what any search finds is scored over all kinds of key.

    Attributes:
        config: as it was built.
        manifest: what it was built from, its sizes and its recall against exact search.
        views: the view of a context compared with each kind of key, the rows of a query.
    """

    def __init__(self, parts: Sequence["_Part"], config: IndexConfig, manifest: Manifest) -> None:
        self._parts = tuple(parts)
        self.config = config
        self.manifest = manifest
        self.views = tuple("all" if part.name == RESPONSE_KEY else part.name for part in parts)
        self._reachable = np.logical_or.reduce([np.diff(part.links.row_offsets) > 0 for part in parts])

    def __len__(self) -> int:
        """Number of responses."""
        return len(self._reachable)

    @classmethod
    def build(
        cls,
        bank: ResponseBank,
        encoder: Encoder,
        config: IndexConfig | None = None,
        *,
        queries: Sequence[Context] | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Encode the keys of `bank`, index them, and compare search with exact search on `queries`.

        Without `queries`, contexts of the bank with a word left out of each turn are asked. The index
        depends on bank, encoder and config alone (one thread builds it).

        Raises:
            ConfigError: no kind of key has weight.
            InputError: only context keys have weight, and the bank has no context.
            ArtifactError: recall is under `min_recall_at_1` or `min_recall_at_10`.
        """
        start = time.perf_counter()
        config = config or IndexConfig()
        keys = encode_keys(bank, encoder, config, progress=progress)
        with _one_thread():
            parts = [_Part(kind.name, _new_faiss_index(kind.vectors, config), kind.links) for kind in keys]
        index = cls(parts, config, Manifest("index", {}, {}))
        probes = list(queries) if queries else _probes(bank)
        recall = index._recall(keys, encode_views(encoder, probes, index.views))
        _refuse_low(recall, config, len(probes))
        counts = {
            "responses": len(bank),
            "keys": {kind.name: len(kind.vectors) for kind in keys},
            "queries": len(probes),
            **recall,
        }
        index.manifest = Manifest(
            stage="index",
            config=config.model_dump(mode="json"),
            inputs={"bank": bank.version, "encoder": encoder.fingerprint},
            counts=counts,
            seconds=round(time.perf_counter() - start, 3),
            versions=library_versions("faiss-cpu", "numpy"),
        )
        return index

    def search(self, query: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None) -> Hits:
        """Return the best `k` responses for a context, fewer only if fewer are allowed and have keys.

        Each kind of key is searched to twice `k`, deeper until `k` responses are found. A response that
        one kind of search found and another did not is scored from its stored keys; that costs about
        1 ms for every 1,000 such keys at 384 dimensions.

        Args:
            query: one context, a row for each of `views`: (views, dimensions).
            k: how many.
            allowed: rows that may be returned, (responses,); all if None.
        """
        if allowed is not None and allowed.all():
            allowed = None
        reachable = self._reachable if allowed is None else self._reachable & allowed
        k = min(k, int(np.count_nonzero(reachable)))
        depth = max(1, k * _DEPTH)
        while True:
            found = [
                part.search(vector, depth, allowed) for part, vector in zip(self._parts, query, strict=True)
            ]
            rows = np.unique(np.concatenate([each.rows for each in found]))
            if len(rows) >= k or all(each.complete for each in found):
                break
            depth *= 4
        response_scores, context_scores = self._score(query, found, rows)
        scores = combine(response_scores, context_scores, self.config)
        best = np.lexsort((rows, -scores))[:k]
        return Hits(
            rows=rows[best],
            scores=scores[best],
            response_scores=None if response_scores is None else response_scores[best],
            context_scores=None if context_scores is None else context_scores[best],
        )

    def _score(
        self, query: Vectors, found: Sequence["_Found"], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """The two parts of s(r) for `rows`, over all their keys."""
        by_kind: dict[bool, list[tuple[_Part, Vectors, _Found]]] = {True: [], False: []}
        for part, vector, each in zip(self._parts, query, found, strict=True):
            by_kind[part.name == RESPONSE_KEY].append((part, vector, each))
        response_scores, context_scores = (_best_key(by_kind[kind], rows) for kind in (True, False))
        if context_scores is not None:
            context_scores = np.where(np.isneginf(context_scores), np.float32(0), context_scores)
        return response_scores, context_scores

    def _recall(self, keys: Sequence[Keys], queries: Vectors) -> dict[str, float]:
        """Share of the truly best 1 and 10 responses that search finds; responses that tie count alike."""
        shares: dict[int, list[float]] = {1: [], 10: []}
        for query in queries:
            exact = np.where(self._reachable, exact_scores(keys, query, self.config), -np.inf)
            found = exact[self.search(query, 10).rows]
            for k, collected in shares.items():
                k = min(k, len(exact))
                worst = np.partition(exact, -k)[-k]
                collected.append(float(np.mean(found[:k] >= worst - 1e-6)) if len(found) else 1.0)
        return {f"recall@{k}": round(float(np.mean(each)), 4) for k, each in shares.items()}

    def save(self, folder: Path | str) -> None:
        """Write for each kind of key `KIND.faiss` (vectors) and `KIND.npy` (links), and manifest.json; whole or not.

        Raises:
            ArtifactError: the place cannot be written; what was there before is untouched.
        """
        with replacing(Path(folder)) as new:
            new.mkdir()
            for part in self._parts:
                faiss.write_index(part.index, str(new / f"{part.name}.faiss"))
                np.save(new / f"{part.name}.npy", part.links.pairs, allow_pickle=False)
            write_manifest(new, self.manifest)

    @classmethod
    def load(cls, folder: Path | str, *, bank: ResponseBank, encoder: Encoder) -> Self:
        """Open what `save` wrote; the vectors stay on disk, mapped into memory.

        Raises:
            ArtifactError: there is no index, it is damaged, or it was built for another bank or encoder.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest is None or manifest.stage != "index":
            raise ArtifactError(f"no index in {folder}; run g2r index")
        here = {"bank": bank.version, "encoder": encoder.fingerprint}
        for name, version in here.items():
            if manifest.inputs.get(name) != version:
                raise ArtifactError(
                    f"stale index: {folder} was built for {name} {manifest.inputs.get(name)}, "
                    f"this {name} is {version}; run g2r index again"
                )
        try:
            parts = [_Part.load(folder, name, len(bank)) for name in manifest.counts["keys"]]
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise ArtifactError(f"damaged index in {folder} ({error}); run g2r index again") from error
        return cls(parts, parse_config(IndexConfig, manifest.config, where=str(folder)), manifest)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search of one kind of key found.

    Attributes:
        rows: rows of the bank, ascending, each once.
        scores: of each row's best key.
        floor: no key that was not found scores more.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    floor: float

    @property
    def complete(self) -> bool:
        """True if all keys were found."""
        return self.floor == -np.inf


class _Part:
    """The keys of one kind in FAISS, with their links to the rows of the bank."""

    def __init__(self, name: str, index: Any, links: Links) -> None:
        self.name = name
        self.index = index
        self.links = links

    @classmethod
    def load(cls, folder: Path, name: str, rows: int) -> Self:
        index = faiss.read_index(str(folder / f"{name}.faiss"), faiss.IO_FLAG_MMAP_IFC)
        if isinstance(index, faiss.IndexIVF):
            index.make_direct_map()
        pairs = np.load(folder / f"{name}.npy", allow_pickle=False)
        if pairs[:, 1].max() + 1 != index.ntotal:
            raise ValueError(f"{name}: {index.ntotal} keys, links to {pairs[:, 1].max() + 1}")
        return cls(name, index, Links(pairs, rows=rows, keys=index.ntotal))

    def search(self, vector: Vectors, depth: int, allowed: NDArray[np.bool_] | None) -> _Found:
        """Find the responses of the best `depth` keys, among the allowed ones."""
        depth = min(depth, self.index.ntotal)
        scores, keys = self.index.search(vector[None], depth, params=self._parameters(depth, allowed))
        filled = keys[0] >= 0
        scores, keys = scores[0][filled], keys[0][filled]
        floor = -np.inf if depth == self.index.ntotal or not len(scores) else float(scores[-1])
        owners, offsets = links_of(self.links.key_rows, self.links.key_offsets, keys)
        scores = np.repeat(scores, np.diff(offsets))
        if allowed is not None:
            scores, owners = scores[allowed[owners]], owners[allowed[owners]]
        rows, best = np.unique(owners, return_index=True)
        return _Found(rows, scores[best], floor)

    def _parameters(self, depth: int, allowed: NDArray[np.bool_] | None) -> Any:
        """How hard to search. Keys are filtered in FAISS where most are not allowed, else afterwards."""
        options: dict[str, Any] = {}
        if allowed is not None and np.count_nonzero(allowed) < _MOST * len(allowed):
            of_some = np.logical_or.reduceat(allowed[self.links.key_rows], self.links.key_offsets[:-1])
            options["sel"] = faiss.IDSelectorBitmap(np.packbits(of_some, bitorder="little"))
        if isinstance(self.index, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(efSearch=max(128, 2 * depth), **options)
        if isinstance(self.index, faiss.IndexIVF):
            share = 1 if depth == self.index.ntotal else 1 / 8
            return faiss.SearchParametersIVF(nprobe=max(16, int(share * self.index.nlist)), **options)
        return faiss.SearchParameters(**options)

    def key_scores(self, vector: Vectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The score of the best key of each row, from the stored vectors; -inf for a row without keys."""
        keys, offsets = links_of(self.links.row_keys, self.links.row_offsets, rows)
        if not len(keys):
            return np.full(len(rows), -np.inf, dtype=np.float32)
        distinct, places = np.unique(keys, return_inverse=True)
        scores = self.index.reconstruct_batch(distinct) @ vector
        return best_of_each(scores[places], offsets)


def _best_key(
    searches: Sequence[tuple[_Part, Vectors, _Found]], rows: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """The score of the best key of each row over some kinds of key; -inf where it has none, None of no kind."""
    if not searches:
        return None
    best = np.full(len(rows), -np.inf, dtype=np.float32)
    for _, _, found in searches:
        places = np.searchsorted(rows, found.rows)
        best[places] = np.maximum(best[places], found.scores)
    for part, vector, found in searches:
        open_rows = np.flatnonzero((best < found.floor) & ~np.isin(rows, found.rows))
        best[open_rows] = np.maximum(best[open_rows], part.key_scores(vector, rows[open_rows]))
    return best


def _new_faiss_index(vectors: Vectors, config: IndexConfig) -> Any:
    """Index unit vectors by inner product: fp16 for exact search, 8-bit codes for the others."""
    count, dimensions = vectors.shape
    kind = config.kind if config.kind != "auto" else ("flat" if count <= _FLAT_KEYS else "hnsw")
    cells = max(1, min(int(4 * count**0.5), count // 39))
    description = {"flat": "SQfp16", "hnsw": "HNSW32_SQ8", "ivf": f"IVF{cells},SQ8"}[kind]
    index = faiss.index_factory(dimensions, description, faiss.METRIC_INNER_PRODUCT)
    if kind == "hnsw":
        index.hnsw.efConstruction = 80
    index.train(vectors)
    index.add(vectors)
    if kind == "ivf":
        index.make_direct_map()
    return index


@contextmanager
def _one_thread() -> Iterator[None]:
    """Build with one thread: with more, FAISS links an HNSW graph in the order in which threads finish."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _probes(bank: ResponseBank) -> list[Context]:
    """Up to 200 contexts of the bank, evenly taken, the middle word left out of each turn of four or more."""
    stride = max(1, len(bank) // _PROBES)
    contexts = ((r.contexts[0].turns if r.contexts else ()) or (r.text,) for r in bank[::stride][:_PROBES])
    return [tuple(_drop_word(turn) for turn in context) for context in contexts]


def _drop_word(turn: str) -> str:
    words = turn.split()
    middle = len(words) // 2
    return " ".join(words[:middle] + words[middle + 1 :]) if len(words) >= 4 else turn


def _refuse_low(recall: dict[str, float], config: IndexConfig, queries: int) -> None:
    for name, bar in (("recall@1", config.min_recall_at_1), ("recall@10", config.min_recall_at_10)):
        if recall[name] < bar:
            raise ArtifactError(
                f"index {name} is {recall[name]:.3f} on {queries} queries, expected at least {bar}; "
                f"choose kind 'flat' or lower min_{name.replace('@', '_at_')}"
            )
