"""Students compared: a good one beats a poor one, and what cannot be told is not told."""

import numpy as np
import pytest

from g2r.dialogue import Candidate, Example
from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.selection import Selection
from g2r.evaluation.significance import paired_difference
from g2r.evaluation.students import compare_selections, compare_students


class NumberEncoder:
    """Knows which numbered reply answers which numbered context, but for noise."""

    def __init__(self, noise, seed=0):
        self.fingerprint = f"{noise} {seed}"
        self._axes = np.linalg.qr(np.random.default_rng(9).normal(size=(150, 150)))[0].astype(np.float32)
        self._noise = np.random.default_rng(seed).normal(size=(150, 150)).astype(np.float32) * noise

    def _vectors(self, texts, noise):
        numbers = [int(text.split()[-1]) for text in texts]
        vectors = self._axes[numbers] + noise[numbers]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_contexts(self, contexts):
        return self._vectors([c[-1] for c in contexts], np.zeros_like(self._noise))

    def encode_responses(self, responses):
        return self._vectors(responses, self._noise)


def examples(n):
    return [
        Example((f"context {i}",), (Candidate(f"reply {i}", "human", original=True),), f"d{i}", "test")
        for i in range(n)
    ]


def test_a_perfect_student_beats_a_noisy_one():
    found = compare_students({"noisy": NumberEncoder(0.5), "perfect": NumberEncoder(0)}, examples(150))
    noisy, perfect = found.rows
    assert (found.reference, found.candidates, found.contexts) == ("noisy", 20, 150)
    assert perfect.hits[20].value == perfect.hits[100].value == perfect.mrr.value == 1
    assert perfect.hits_at_5.value == perfect.mrr_long.value == 1
    assert noisy.hits[100].value < noisy.hits[20].value < 1
    assert noisy.difference is None
    assert noisy.p_adjusted is None
    assert perfect.difference.value == pytest.approx(1 - noisy.hits[20].value)
    assert perfect.difference.p == perfect.p_adjusted < 0.01
    assert perfect.seeds is None


def test_too_few_responses_for_lists_of_a_hundred():
    found = compare_students({"a": NumberEncoder(0.3)}, examples(40), contexts=30)
    assert found.contexts == 30
    assert isinstance(found.rows[0].hits[100], NotComputed)
    assert "– [1]" in found.markdown()


def test_seeds_are_averaged_per_context_and_their_spread_shown_apart():
    encoders = [NumberEncoder(0.4, seed) for seed in range(3)]
    singles = [compare_students({"x": e}, examples(150)).rows[0].hits[20].value for e in encoders]
    found = compare_students({"x": encoders, "y": NumberEncoder(0)}, examples(150))
    row = found.rows[0]
    assert row.hits[20].value == pytest.approx(np.mean(singles))
    assert (row.seeds.low, row.seeds.high, row.seeds.seeds) == (min(singles), max(singles), 3)
    assert "over seeds" in found.table().headers


def selection(ranks, ids=None):
    ids = ids or tuple(f"c{i}" for i in range(len(ranks)))
    return Selection(ids, {20: np.array(ranks)})


def test_holm_over_students():
    generator = np.random.default_rng(0)
    base = [int(r) for r in generator.integers(1, 4, 120)]
    a = [1 if generator.random() < 0.15 else r for r in base]
    b = [1 if generator.random() < 0.6 else r for r in base]
    found = compare_selections({"base": [selection(base)], "a": [selection(a)], "b": [selection(b)]})
    raw = [paired_difference(np.equal(x, 1), np.equal(base, 1)).p for x in (a, b)]
    assert [row.p_adjusted for row in found.rows[1:]] == [raw[0], min(1, 2 * raw[1])]
    other = compare_selections({"base": [selection(base)], "a": [selection(a)]}, reference="a")
    assert [row.difference is None for row in other.rows] == [False, True]


def test_one_context_gives_no_test():
    found = compare_selections({"a": [selection([1])], "b": [selection([2])]})
    assert isinstance(found.rows[1].difference, NotComputed)
    assert isinstance(found.rows[1].p_adjusted, NotComputed)
    assert isinstance(found.rows[0].hits[20], NotComputed)
    assert "needs two contexts, got 1" in found.markdown()


def test_wrong_comparisons_are_refused():
    with pytest.raises(InputError, match="different contexts"):
        compare_selections({"a": [selection([1, 2])], "b": [selection([1, 2], ("x", "y"))]})
    with pytest.raises(InputError, match="no student 'c'"):
        compare_selections({"a": [selection([1, 2])]}, reference="c")
    with pytest.raises(InputError, match=r"no results of \['a'\]"):
        compare_selections({"a": []})
    with pytest.raises(InputError, match="no results of any student"):
        compare_selections({})
