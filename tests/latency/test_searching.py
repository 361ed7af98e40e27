"""Search speed: what is found against brute force, and what is told of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from g2r.errors import ConfigError
from g2r.evaluation.significance import Estimate
from g2r.latency.searching import exact_best, measure_search, recall_at


def unit(count: int, *, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


VECTORS, QUERIES = unit(2000, seed=0), unit(20, seed=1)


def test_exact_best_is_brute_force() -> None:
    expected = np.argsort(-(QUERIES @ VECTORS.T), axis=1)[:, :10]
    np.testing.assert_array_equal(exact_best(VECTORS, QUERIES, 10), expected)


def test_recall_by_a_plain_loop() -> None:
    draw = np.random.default_rng(3)
    exact = np.stack([draw.permutation(30)[:10] for _ in range(8)])
    found = np.stack([draw.permutation(30)[:15] for _ in range(8)])
    for k in (1, 10):
        plain = [len(set(e[:k]) & set(f[:k])) / k for e, f in zip(exact, found, strict=True)]
        assert recall_at(found, exact, k) == pytest.approx(np.mean(plain))
    assert recall_at(exact, exact, 10) == 1


def test_structures_are_searched_in_turns_and_their_recall_is_told() -> None:
    records: list[Mapping[str, Any]] = []
    speeds = measure_search(
        VECTORS,
        QUERIES,
        structures=["flat", "hnsw", "IVF20;SQ8"],
        efforts=[1, 64],
        depth=12,
        rounds=3,
        record=records.append,
    )
    assert [(s.structure, s.description, s.effort) for s in speeds] == [
        ("flat", "SQfp16", 0),
        ("hnsw 4", "HNSW32_SQ8", 4),
        ("hnsw 256", "HNSW32_SQ8", 256),
        ("IVF20;SQ8 1", "IVF20,SQ8", 1),
        ("IVF20;SQ8 64", "IVF20,SQ8", 64),
    ]
    flat, _, graph, one_cell, all_cells = speeds
    assert flat.recall_at_10 > 0.98
    assert one_cell.recall_at_10 < 0.7 < all_cells.recall_at_10
    assert graph.recall_at_10 > 0.9
    assert flat.bytes_per_key == pytest.approx(32, abs=1)
    assert all(isinstance(s.p50, Estimate) and s.responses == 2000 for s in speeds)
    assert len(records) == 5 * 3
    assert all(len(r["ms"]) == 20 for r in records)
    order = [[r["structure"], r["effort"]] for r in records]
    assert order[:5] != order[5:10]


def test_what_faiss_cannot_build_is_refused() -> None:
    with pytest.raises(ConfigError, match="FAISS builds no 'Nonsense7'"):
        measure_search(
            VECTORS, QUERIES, structures=["Nonsense7"], efforts=[1], depth=10, rounds=1, record=lambda _: None
        )
