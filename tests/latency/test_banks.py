"""Banks grown from a run's: the real part is what it was, the rest lies near it."""

import numpy as np
import pytest

from g2r.bank import BankContext, BankResponse, ResponseBank
from g2r.config import IndexConfig
from g2r.dialogue import content_id
from g2r.index import FaissIndex
from g2r.index.base import encode_views
from g2r.index.keys import exact_scores
from g2r.latency.banks import RunBank, bank_of, bytes_per_response, index_of
from word_encoder import WordEncoder

WORDS = ["tea", "rain", "dogs", "music", "bread", "night", "sea", "train"]
CONFIG = IndexConfig(context_key=1.0)
ENCODER = WordEncoder()


def response(number: int) -> BankResponse:
    text = f"{WORDS[number % 8]} and {WORDS[number // 8]} are {number}"
    contexts = tuple(BankContext((f"so {WORDS[(number + i) % 8]} {number} ?",)) for i in range(number % 3))
    return BankResponse(content_id(text), text, ("t",), contexts)


@pytest.fixture(scope="module")
def run_bank(tmp_path_factory: pytest.TempPathFactory) -> RunBank:
    folder = tmp_path_factory.mktemp("run") / "bank"
    bank = ResponseBank.from_responses(response(i) for i in range(60))
    FaissIndex.build(bank, ENCODER, CONFIG).save(folder / "index")
    bank.save(folder)
    return RunBank.read(folder)


def test_a_run_bank_has_the_texts_and_keys_of_its_index(run_bank: RunBank) -> None:
    assert [kind.name for kind in run_bank.keys] == ["response", "last1", "last2"]
    own = ENCODER.encode_responses(run_bank.texts)
    assert np.sum(own * run_bank.keys[0].vectors, axis=1).min() > 0.999


def test_a_grown_bank_begins_with_the_real_one(run_bank: RunBank) -> None:
    keys, texts = run_bank.grown_keys(500), run_bank.grown_texts(500)
    assert texts[:60] == list(run_bank.texts)
    assert len(texts) == 500
    for kind, real in zip(keys, run_bank.keys, strict=True):
        assert len(kind.links.row_offsets) == 501
        np.testing.assert_allclose(np.linalg.norm(kind.vectors, axis=1), 1, atol=1e-5)
        for row in range(60):
            here = kind.vectors[kind.links.row_keys[slice(*kind.links.row_offsets[row : row + 2])]]
            there = real.vectors[real.links.row_keys[slice(*real.links.row_offsets[row : row + 2])]]
            np.testing.assert_array_equal(here, there)


def test_what_is_added_is_new_and_lies_near_what_is_real(run_bank: RunBank) -> None:
    (kind,) = run_bank.grown_keys(2000, kinds=1)
    added, real = kind.vectors[60:], run_bank.keys[0].vectors
    assert len(np.unique(added.round(5), axis=0)) > 1900
    nearest = (added @ real.T).max(axis=1)
    drawn = np.random.default_rng(0).standard_normal((500, real.shape[1]))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert np.median(nearest) > np.median((drawn @ real.T).max(axis=1)) + 0.2
    assert np.median(nearest) < 0.98


def test_the_same_seed_grows_the_same_bank_and_a_small_one_is_drawn(run_bank: RunBank) -> None:
    for size in (30, 200):
        one, two, other = (run_bank.grown_keys(size, seed=seed) for seed in (1, 1, 2))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a.vectors, b.vectors)
            np.testing.assert_array_equal(a.links.pairs, b.links.pairs)
        assert not np.array_equal(one[0].vectors, other[0].vectors)
    few = run_bank.grown_texts(30, seed=1)
    assert len(set(few)) == 30
    assert set(few) < set(run_bank.texts)


def test_a_grown_bank_is_searched_like_any_other(run_bank: RunBank) -> None:
    keys = run_bank.grown_keys(300)
    index, bank = index_of(keys, CONFIG), bank_of(run_bank.grown_texts(300))
    assert (len(index), len(bank)) == (300, 300)
    (query,) = encode_views(ENCODER, [("so tea 9 ?",)], index.views)
    exact = exact_scores(keys, query, CONFIG)
    hits = index.search(query, 5)
    np.testing.assert_allclose(np.sort(exact)[::-1][:5], hits.scores, atol=2e-3)
    size = bytes_per_response(bank, keys)
    assert set(size) == {"rows", "ids", "links"}
    assert size["ids"] == 16
    assert size["rows"] > np.mean([len(bank.text(row)) for row in range(300)])
