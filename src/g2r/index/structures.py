"""The search structures of FAISS: what each kind of index is made of, and how hard it is searched.

| kind | FAISS's description at 384 dimensions | bytes a key, links aside |
|---|---|---|
| flat | SQfp16, exact | 768 |
| hnsw | HNSW32_SQ8 | 656 |
| ivf | IVF4n,SQ8, n the root of the number of keys | 392 |
| refined | IVFn,PQ192x4fs,Refine(SQ8): 4-bit codes choose, 8-bit codes decide | 496 |
"""

from typing import Any

import faiss

from g2r.encoder import Vectors

FLAT, HNSW, IVF, REFINED = "flat", "hnsw", "ivf", "refined"
FLAT_KEYS = 5_000
"""Up to so many keys of a kind the automatic choice is exact search: under half a millisecond at 384 dimensions."""

_TRAINED_PER_CELL = 128
_POINTS_PER_CELL = 39
"""FAISS's own least number of points to place a cell by."""
_DIMENSIONS_PER_CODE = 2
_LEAST_NODES = 128
_CELLS_VISITED = 64
"""Cells of a refined index that a search visits: recall@10 .96 among 100,000, 200,000 and 1,000,000 keys alike (docs/log.md)."""
_LEAST_REFINED = 128


def automatic_kind(keys: int) -> str:
    """The kind for so many keys."""
    return FLAT if keys <= FLAT_KEYS else REFINED


def description(kind: str, *, keys: int, dimensions: int) -> str:
    """FAISS's description (`index_factory`) of a kind of index for so many keys."""
    if kind == FLAT:
        return "SQfp16"
    if kind == HNSW:
        return "HNSW32_SQ8"
    if kind == IVF:
        return f"IVF{_cells(keys, per_root=4)},SQ8"
    codes = max(1, dimensions // _DIMENSIONS_PER_CODE)
    while dimensions % codes:
        codes -= 1
    return f"IVF{_cells(keys, per_root=1)},PQ{codes}x4fs,Refine(SQ8)"


def _cells(keys: int, *, per_root: int) -> int:
    return max(1, min(int(per_root * keys**0.5), keys // _POINTS_PER_CELL))


def build_structure(described: str, vectors: Vectors) -> Any:
    """The FAISS index of that description over unit vectors (keys, dimensions), by inner product.

    The same vectors give the same bytes where FAISS runs on one thread.
    """
    index = faiss.index_factory(vectors.shape[1], described, faiss.METRIC_INNER_PRODUCT)
    cells = inner(index)
    if isinstance(cells, faiss.IndexHNSW):
        cells.hnsw.efConstruction = 80
    if isinstance(cells, faiss.IndexIVF):
        cells.cp.niter = 10
        cells.cp.max_points_per_centroid = _TRAINED_PER_CELL
    index.train(vectors)
    index.add(vectors)
    make_ready(index)
    return index


def inner(index: Any) -> Any:
    """The structure that is searched first: inside a refined index, else the index itself."""
    return faiss.downcast_index(index.base_index) if isinstance(index, faiss.IndexRefine) else index


def make_ready(index: Any) -> None:
    """Let vectors be read back by their number; needed after an index was built or read."""
    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()


def search_parameters(index: Any, *, depth: int, effort: int = 0, selector: Any = None) -> Any:
    """How hard `index` is searched for the best `depth` keys.

    Args:
        index: made by `build_structure`.
        depth: keys wanted.
        effort: nodes of a graph or cells of an inverted file that are visited; 0 for what suits the kind:
            128 nodes or twice the depth; an eighth of the cells or 16, of a refined index 64. To find all
            keys, all are visited.
        selector: FAISS's selector of the keys that may be found; all if None.
    """
    first = inner(index)
    options = {} if selector is None else {"sel": selector}
    if isinstance(first, faiss.IndexHNSW):
        nodes = max(effort, depth) if effort else max(_LEAST_NODES, 2 * depth)
        return faiss.SearchParametersHNSW(efSearch=nodes, **options)
    if not isinstance(first, faiss.IndexIVF):
        return faiss.SearchParameters(**options)
    everything = depth == index.ntotal
    plain = first is index
    usual = max(16, first.nlist // 8) if plain else _CELLS_VISITED
    cells = first.nlist if everything else min(first.nlist, effort or usual)
    if plain:
        return faiss.SearchParametersIVF(nprobe=cells, **options)
    kind = faiss.IVFRaBitQSearchParameters if "RaBitQ" in type(first).__name__ else faiss.SearchParametersIVF
    refined = depth if everything else max(_LEAST_REFINED, 2 * depth)
    return faiss.IndexRefineSearchParameters(
        k_factor=refined / depth, base_index_params=kind(nprobe=cells, **options)
    )


def has_effort(index: Any) -> bool:
    """Whether a search can be made to visit more or less of `index`."""
    return isinstance(inner(index), (faiss.IndexHNSW, faiss.IndexIVF))
