"""Scorers against plain loops; the encoder is a tiny fake with counted calls."""

import math
import zlib
from collections import Counter

import numpy as np
import pytest

from g2r.evaluation.bm25 import Bm25
from g2r.evaluation.scorers import MemoEncoder, bm25_scorer, context_key_scorer, encoder_scorer


class CountingEncoder:
    """Random unit vectors that depend on the text alone; remembers what it encoded."""

    fingerprint = "fake"

    def __init__(self):
        self.seen = Counter()

    def vector(self, text):
        self.seen[text] += 1
        vector = np.random.default_rng(zlib.crc32(text.encode())).normal(size=8)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def encode_contexts(self, contexts):
        return np.stack([self.vector("c:" + "|".join(turns)) for turns in contexts])

    def encode_responses(self, responses):
        return np.stack([self.vector("r:" + text) for text in responses])


CONTEXTS = [("hi", "how are you"), ("bye",), ("hi", "how are you")]
CANDIDATES = [["fine", "bad"], ["fine", "see you", "bye"], ["bad"]]


def test_encoder_scores_are_dot_products_and_each_text_is_encoded_once():
    encoder = CountingEncoder()
    scores = encoder_scorer(encoder)(CONTEXTS, CANDIDATES)
    assert encoder.seen == Counter(["c:hi|how are you", "c:bye", "r:fine", "r:bad", "r:see you", "r:bye"])
    for context, texts, row in zip(CONTEXTS, CANDIDATES, scores, strict=True):
        f = encoder.encode_contexts([context])[0]
        assert row == pytest.approx([f @ encoder.encode_responses([t])[0] for t in texts], abs=1e-6)


def test_memo_encodes_each_text_once_over_calls():
    encoder, plain = CountingEncoder(), CountingEncoder()
    memo = MemoEncoder(encoder)
    assert memo.fingerprint == encoder.fingerprint
    for texts in (["fine", "bad"], ["bad", "bye", "bye"], ["fine"]):
        np.testing.assert_array_equal(memo.encode_responses(texts), plain.encode_responses(texts))
    for contexts in ([("hi",), ["hi"]], [("hi",), ("bye",)]):
        np.testing.assert_array_equal(memo.encode_contexts(contexts), plain.encode_contexts(contexts))
    assert set(encoder.seen.values()) == {1}


@pytest.mark.parametrize("response_key", [0.0, 0.7])
def test_context_keys_equal_a_loop(response_key):
    encoder = CountingEncoder()
    written_for = {"fine": [("a", "b", "c"), ("d",)], "bad": [("e", "f")], "unused": [("g",)]}
    scorer = context_key_scorer(encoder, written_for, response_key=response_key, context_key=2.0)
    for context, texts, row in zip(CONTEXTS, CANDIDATES, scorer(CONTEXTS, CANDIDATES), strict=True):
        for text, score in zip(texts, row, strict=True):
            keys = [
                encoder.encode_contexts([context[-view:]])[0] @ encoder.encode_contexts([c[-view:]])[0]
                for view in (1, 2)
                for c in written_for.get(text, ())
            ]
            own = encoder.encode_contexts([context])[0] @ encoder.encode_responses([text])[0]
            assert score == pytest.approx(response_key * own + 2.0 * max(keys, default=0.0), abs=1e-5)


def test_bm25_equals_the_formula():
    texts = ["the cat sat on the mat", "a dog", "The dog and the cat!", "rain"]
    documents = [
        ["the", "cat", "sat", "on", "the", "mat"],
        ["a", "dog"],
        ["the", "dog", "and", "the", "cat"],
        ["rain"],
    ]
    mean_length = sum(map(len, documents)) / len(documents)

    def expected(query, document):
        total = 0.0
        for word in query:
            having = sum(word in d for d in documents)
            tf = document.count(word)
            idf = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5)) if having else 0.0
            total += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean_length))
        return total

    found = Bm25(texts).scores("The dog, the zebra")
    assert found == pytest.approx([expected(["the", "dog", "the", "zebra"], d) for d in documents], rel=1e-5)


def test_bm25_without_words_in_common_or_at_all():
    ranker = Bm25(["hello there", "!!!"])
    assert ranker.scores("zebra").tolist() == [0, 0]
    assert ranker.scores("").tolist() == [0, 0]


def test_bm25_scorer_ranks_the_shared_words_first():
    (scores,) = bm25_scorer(["more text"])([("do you like dogs",)], [["no idea", "dogs are great"]])
    assert scores[1] > scores[0] == 0
