"""Mined negatives: near, but no false negatives."""

import numpy as np
import pytest

from g2r.config import TrainConfig
from g2r.dialogue import Candidate, Example
from g2r.training.batches import training_data
from g2r.training.mining import mine_negatives

CONTEXTS, REPLIES = 30, 3


def examples():
    return [
        Example((f"context {i}",), tuple(Candidate(f"reply {i} number {j}", "x") for j in range(REPLIES)))
        for i in range(CONTEXTS)
    ] + [Example(("Context 7!",), (Candidate("shared by a twin", "x"),))]


class Drawn:
    """Vectors drawn by text; contexts lean towards their own candidates."""

    fingerprint = "drawn"

    def _vector(self, text):
        return np.random.default_rng(list(text.encode())).normal(size=16)

    def _unit(self, vectors):
        vectors = np.array(vectors)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def encode_responses(self, responses):
        return self._unit([self._vector(text) for text in responses])

    def encode_contexts(self, contexts):
        return self._unit(
            [
                self._vector(c[-1]) + 0.5 * self._vector(c[-1].replace("context", "reply") + " number 0")
                for c in contexts
            ]
        )


@pytest.fixture(scope="module")
def data():
    return training_data(examples(), TrainConfig())


def by_hand(data):
    """The definition, slowly: nearest first, under the best candidate, no false negative."""
    encoder = Drawn()
    vectors = encoder.encode_responses(data.responses)
    mined = []
    for i, chosen in enumerate(data.lists):
        scores = vectors @ encoder.encode_contexts([chosen.example.context])[0]
        best = scores[chosen.responses].max()
        allowed = data.negatives(i, np.arange(len(data.responses)))
        mined.append([j for j in np.argsort(-scores, kind="stable") if allowed[j] and scores[j] < best])
    return mined


@pytest.mark.parametrize("at_once", [7, 512])
def test_mined_are_the_nearest_under_the_best_candidate(data, at_once, monkeypatch):
    monkeypatch.setattr("g2r.training.mining._AT_ONCE", at_once)
    monkeypatch.setattr("g2r.training.mining._TRIED", 1000)
    mined = mine_negatives(Drawn(), data, TrainConfig(hard_negatives=4))
    assert [m.tolist() for m in mined] == [hand[:4] for hand in by_hand(data)]


def test_no_false_negative_is_mined(data):
    mined = mine_negatives(Drawn(), data, TrainConfig(hard_negatives=50))
    for i, numbers in enumerate(mined):
        texts = {data.responses[n] for n in numbers}
        twins = {"context 7": "shared by a twin"}
        assert twins.get(data.lists[i].example.context[0]) not in texts
        assert data.negatives(i, numbers).all()


def test_a_judge_keeps_only_what_it_scores_under_every_candidate(data):
    def judge(contexts, responses):
        return [[float(sum(text.encode()) % 10) for text in texts] for texts in responses]

    mined = mine_negatives(Drawn(), data, TrainConfig(hard_negatives=3), judge=judge)
    assert any(len(numbers) for numbers in mined)
    for chosen, numbers in zip(data.lists, mined, strict=True):
        [own] = judge([()], [[data.responses[i] for i in chosen.responses]])
        [found] = judge([()], [[data.responses[i] for i in numbers]])
        assert all(score < min(own) for score in found)
