"""How fast and how well a bank is searched: recall beside speed for each structure and size."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from g2r.encoder import Vectors
from g2r.errors import ConfigError
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.significance import Estimate
from g2r.index.structures import (
    build_structure,
    description,
    has_effort,
    inner,
    make_ready,
    search_parameters,
)
from g2r.latency.percentiles import percentile
from g2r.latency.rounds import Record

KINDS = ("flat", "hnsw", "ivf", "refined")
_NODES_PER_CELL = 4


@dataclass(frozen=True, slots=True)
class SearchSpeed:
    """The search of one bank by one structure, at one effort.

    Attributes:
        structure: the kind of index, or FAISS's description as it was given; with the effort, if there is one.
        description: FAISS's description.
        responses: keys that are searched.
        effort: cells or nodes visited; 0 where there is nothing to choose.
        recall_at_1, recall_at_10: share of the truly best that are found, by inner product in fp32.
        p50, p95, p99: milliseconds of a search, one query at a time.
        build_seconds: training and adding.
        bytes_per_key: of the file, which is mapped into memory when it is served.
    """

    structure: str
    description: str
    responses: int
    effort: int
    recall_at_1: float
    recall_at_10: float
    p50: Estimate | NotComputed
    p95: Estimate | NotComputed
    p99: Estimate | NotComputed
    build_seconds: float
    bytes_per_key: float


@dataclass(frozen=True, slots=True)
class Searched:
    """A structure at one effort, and what was measured of it so far."""

    structure: str
    description: str
    index: Any
    effort: int
    build_seconds: float
    bytes_per_key: float
    rounds: list[list[float]] = field(default_factory=list)
    found: list[NDArray[np.int64]] = field(default_factory=list)


def measure_search(
    vectors: Vectors,
    queries: Vectors,
    *,
    structures: Sequence[str],
    efforts: Sequence[int],
    depth: int,
    rounds: int,
    seed: int = 0,
    record: Record,
) -> list[SearchSpeed]:
    """Build every structure over `vectors`, then search them in turns, in an order shuffled each round.

    Files are mapped as they are when a bot serves them.

    Args:
        vectors: keys, (keys, dimensions).
        queries: contexts, (contexts, dimensions).
        structures: kinds of index, or descriptions of FAISS's index_factory, with ; for a comma.
        efforts: cells visited; of a graph four times as many nodes.
        depth: keys searched for.
        rounds: times that each query is asked.
        seed: of the order.
        record: is given each search.

    Raises:
        ConfigError: FAISS knows no such structure.
    """
    exact = exact_best(vectors, queries, min(10, len(vectors)))
    with TemporaryDirectory() as scratch:
        cases = [
            case
            for place, structure in enumerate(structures)
            for case in _cases(structure, vectors, efforts, Path(scratch) / str(place))
        ]
        for turn in range(rounds):
            for at in np.random.default_rng([seed, turn]).permutation(len(cases)):
                _search_all(cases[at], queries, min(depth, len(vectors)), turn, record)
    return [_speed(case, exact, seed) for case in cases]


def exact_best(vectors: Vectors, queries: Vectors, k: int) -> NDArray[np.int64]:
    """The `k` keys with the greatest inner products, best first: (queries, k)."""
    return np.asarray(faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[1], dtype=np.int64)


def recall_at(found: NDArray[np.int64], exact: NDArray[np.int64], k: int) -> float:
    """Share of the `k` truly best that are among the first `k` found."""
    k = min(k, exact.shape[1])
    hits = [np.isin(best[:k], own[:k]).mean() for own, best in zip(found, exact, strict=True)]
    return float(np.mean(hits))


def _cases(structure: str, vectors: Vectors, efforts: Sequence[int], file: Path) -> Iterator[Searched]:
    """A structure, built, written and mapped, once for each effort."""
    described = (
        description(structure, keys=len(vectors), dimensions=vectors.shape[1])
        if structure in KINDS
        else structure.replace(";", ",")
    )
    start = time.perf_counter()
    try:
        with faiss_threads(1):  # as an index is built
            built = build_structure(described, vectors)
    except RuntimeError as error:
        raise ConfigError(
            f"structures: FAISS builds no {described!r} of {vectors.shape} vectors ({str(error).splitlines()[-1]})"
        ) from None
    seconds = time.perf_counter() - start
    faiss.write_index(built, str(file))
    index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
    make_ready(index)
    nodes = _NODES_PER_CELL if isinstance(inner(index), faiss.IndexHNSW) else 1
    for effort in [nodes * effort for effort in efforts] if has_effort(index) else [0]:
        yield Searched(structure, described, index, effort, seconds, file.stat().st_size / len(vectors))


def _search_all(case: Searched, queries: Vectors, depth: int, turn: int, record: Record) -> None:
    """Ask every query once, one after another, after one that is not timed."""
    parameters = search_parameters(case.index, depth=depth, effort=case.effort)
    case.index.search(queries[-1:], depth, params=parameters)
    times, found = [], []
    for query in queries:
        start = time.perf_counter()
        keys = case.index.search(query[None], depth, params=parameters)[1]
        times.append(1000 * (time.perf_counter() - start))
        found.append(keys[0])
    case.rounds.append(times)
    case.found[:] = found
    record(
        {
            "what": "search",
            "structure": case.description,
            "responses": case.index.ntotal,
            "effort": case.effort,
            "round": turn,
            "ms": times,
        }
    )


def _speed(case: Searched, exact: NDArray[np.int64], seed: int) -> SearchSpeed:
    ms: Floats = np.array(case.rounds).T
    found = np.stack(case.found)
    return SearchSpeed(
        structure=f"{case.structure} {case.effort}" if case.effort else case.structure,
        description=case.description,
        responses=case.index.ntotal,
        effort=case.effort,
        recall_at_1=recall_at(found, exact, 1),
        recall_at_10=recall_at(found, exact, 10),
        p50=percentile(ms, 50, seed=seed),
        p95=percentile(ms, 95, seed=seed),
        p99=percentile(ms, 99, seed=seed),
        build_seconds=case.build_seconds,
        bytes_per_key=case.bytes_per_key,
    )


@contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """Let FAISS have so many threads for a while."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
