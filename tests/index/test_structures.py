"""The search structures against brute force."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from g2r.index.structures import (
    FLAT_KEYS,
    automatic_kind,
    build_structure,
    description,
    has_effort,
    make_ready,
    search_parameters,
)

KINDS = ["flat", "hnsw", "ivf", "refined"]
KEYS, DIMENSIONS = 3000, 32


def unit(count: int, *, seed: int) -> np.ndarray:
    """Unit vectors about forty centres."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((40, DIMENSIONS))
    vectors = centres[draw.integers(40, size=count)] + 0.7 * draw.standard_normal((count, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUERIES = unit(KEYS, seed=0), unit(30, seed=1)
EXACT = np.argsort(-(QUERIES @ VECTORS.T), axis=1)[:, :10]


def built(kind: str) -> object:
    return build_structure(description(kind, keys=KEYS, dimensions=DIMENSIONS), VECTORS)


def recall(index: faiss.Index, *, effort: int) -> float:
    parameters = search_parameters(index, depth=10, effort=effort)
    found = index.search(QUERIES, 10, params=parameters)[1]
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, EXACT, strict=True)]))


@pytest.mark.parametrize("kind", KINDS)
def test_finds_what_brute_force_finds(kind: str) -> None:
    index = built(kind)
    assert recall(index, effort=0) > 0.9
    if kind in ("ivf", "refined"):
        assert recall(index, effort=1) < recall(index, effort=0) <= recall(index, effort=10_000)


@pytest.mark.parametrize("kind", KINDS)
def test_only_selected_keys_are_found(kind: str) -> None:
    index = built(kind)
    allowed = np.random.default_rng(2).random(KEYS) < 0.05
    selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    parameters = search_parameters(index, depth=10, effort=10_000, selector=selector)
    found = index.search(QUERIES[:5], 10, params=parameters)[1]
    assert allowed[found[found >= 0]].all()
    everything = search_parameters(index, depth=KEYS, selector=selector)
    found = index.search(QUERIES[:1], KEYS, params=everything)[1][0]
    assert sorted(found[found >= 0].tolist()) == np.flatnonzero(allowed).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapped_index_gives_its_vectors_back(kind: str, tmp_path: Path) -> None:
    index = built(kind)
    faiss.write_index(index, str(tmp_path / "index"))
    loaded = faiss.read_index(str(tmp_path / "index"), faiss.IO_FLAG_MMAP_IFC)
    make_ready(loaded)
    rows = np.array([5, 0, 2999])
    back = loaded.reconstruct_batch(rows)
    assert np.sum(back * VECTORS[rows], axis=1).min() > 0.99
    here, there = (i.search(QUERIES, 5, params=search_parameters(i, depth=5)) for i in (index, loaded))
    np.testing.assert_array_equal(here[1], there[1])


def test_descriptions_fit_keys_and_dimensions() -> None:
    assert description("hnsw", keys=10, dimensions=384) == "HNSW32_SQ8"
    assert description("ivf", keys=1_000_000, dimensions=384) == "IVF4000,SQ8"
    assert description("refined", keys=1_000_000, dimensions=384) == "IVF1000,PQ192x4fs,Refine(SQ8)"
    assert description("refined", keys=5, dimensions=7) == "IVF1,PQ1x4fs,Refine(SQ8)"
    assert (automatic_kind(FLAT_KEYS), automatic_kind(FLAT_KEYS + 1)) == ("flat", "refined")
    assert [has_effort(built(kind)) for kind in KINDS] == [False, True, True, True]
