"""Exams against scipy and against counting by hand."""

import numpy as np
import pytest
from scipy.special import rel_entr, softmax
from scipy.stats import kendalltau, spearmanr

from g2r.dialogue import Candidate, Example, Scores
from g2r.evaluation.exams import adversarial_exams, fidelity_exams, judged_exam
from g2r.evaluation.selection import AdversarialItem, JudgedList

GENERATOR = np.random.default_rng(1)


def length_scorer(contexts, candidates):
    return [np.array([float(len(text)) for text in texts]) for texts in candidates]


def cosine_scorer(contexts, candidates):
    return [np.array([len(text) / 100 for text in texts]) for texts in candidates]


LISTS = [
    JudgedList(("hi",), ("a", "bb", "ccc"), (1, 2, 9)),
    JudgedList(("ho",), ("a", "bb", "ccc"), (8, 2, 1)),
    JudgedList(("hu",), ("a", "b", "cc"), (6, 7, 8)),
]


def test_judged_lists_with_their_bounds():
    exam = judged_exam(LISTS)
    assert exam.take(length_scorer).tolist() == [1, 0, 1]
    assert exam.bounds["random choice"].tolist() == pytest.approx([1 / 3, 1 / 3, 1])
    assert exam.bounds["best possible"].tolist() == [1, 1, 1]
    assert exam.contexts == (("hi",), ("ho",), ("hu",))
    assert not exam.written_for
    assert "not computed" in exam.text


def test_candidates_remember_the_training_contexts_they_were_written_for():
    training = [
        Example(("x",), (Candidate("bb", "t"), Candidate("other", "t"))),
        Example(("y",), (Candidate("bb", "t"),)),
    ]
    exam = judged_exam(LISTS, training=training)
    assert exam.written_for == {"bb": [("x",), ("y",)]}
    assert "20% of the candidates" in exam.text


def test_adversarial_pairs():
    items = [
        AdversarialItem(("c",), ("1234", "12"), ("123",), ("1",)),
        AdversarialItem(("d",), ("1234",), (), ("12345",)),
    ]
    adversarial, random = adversarial_exams(items)
    assert adversarial.take(length_scorer).tolist() == [0.5]
    assert random.take(length_scorer).tolist() == [1.0, 0.0]
    assert random.contexts == (("c",), ("d",))
    assert not adversarial_exams([AdversarialItem(("c",), ("a",), ())])


def example(i):
    texts = ["x" * int(n) for n in GENERATOR.permutation(np.arange(1, 40))[:5]]
    scores = GENERATOR.integers(0, 10, size=5)
    return Example(
        (f"context {i}",),
        tuple(
            Candidate(t, "teacher", scores=Scores(judge=float(s))) for t, s in zip(texts, scores, strict=True)
        ),
        split="test",
    )


def test_fidelity_is_what_scipy_says():
    examples = [example(i) for i in range(12)]
    rho, tau, divergence = fidelity_exams(examples)
    assert [e.name for e in (rho, tau, divergence)] == [
        "Fidelity to judge: Spearman",
        "Fidelity to judge: Kendall",
        "Fidelity to judge: KL",
    ]
    for place, e in enumerate(examples):
        ours = np.array([len(c.text) / 100 for c in e.candidates])
        teacher = np.array([c.scores.judge for c in e.candidates])
        assert rho.take(cosine_scorer)[place] == pytest.approx(spearmanr(ours, teacher)[0])
        assert tau.take(cosine_scorer)[place] == pytest.approx(kendalltau(ours, teacher)[0])
        target = softmax((teacher - teacher.mean()) / teacher.std())
        expected = rel_entr(target, softmax(ours / 0.05)).sum()
        assert divergence.take(cosine_scorer)[place] == pytest.approx(expected)
    assert divergence.cosines_only


def test_fidelity_passes_over_what_has_no_order():
    alike = Example(("a",), tuple(Candidate(t, "t", scores=Scores(judge=5.0)) for t in ("x", "yy")))
    alone = Example(("b",), (Candidate("x", "t", scores=Scores(judge=5.0)), Candidate("yy", "t")))
    assert fidelity_exams([alike, alone]) == []
    assert len(fidelity_exams([alike, example(1)])[0].contexts) == 1
