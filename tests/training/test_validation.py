"""What the kept model is chosen by, with an encoder whose likings are written down."""

import numpy as np
import pytest

from g2r.dialogue import Candidate, Example, Scores
from g2r.training.validation import BankValidation, HitsValidation, thinned


class Liking:
    """An encoder that likes for each context (by its last turn) one response, then others as told."""

    fingerprint = "liking"

    def __init__(self, texts, likes):
        self.axes = {text: i for i, text in enumerate(texts)}
        self.likes = likes

    def encode_contexts(self, contexts):
        vectors = np.zeros((len(contexts), len(self.axes)), dtype=np.float32)
        for row, turns in enumerate(contexts):
            for rank, text in enumerate(self.likes[turns[-1]]):
                vectors[row, self.axes[text]] = 1 / (1 + rank)
        return vectors

    def encode_responses(self, responses):
        return np.eye(len(self.axes), dtype=np.float32)[[self.axes[text] for text in responses]]


def held_out(n, *, extra=0):
    """n contexts, each with an original and, for the first, the originals of the next `extra` as candidates."""
    return [
        Example(
            (f"c{i}",),
            (
                Candidate(f"r{i}", "human", original=True),
                *(Candidate(f"R{k}!", "teacher") for k in range(1, extra + 1) if i == 0),
            ),
            split="valid",
        )
        for i in range(n)
    ]


def test_hits_tells_a_knowing_encoder_from_an_ignorant_one():
    validation = HitsValidation.draw(held_out(40), seed=0)
    texts = [f"r{i}" for i in range(40)]
    knowing = Liking(texts, {f"c{i}": [f"r{i}"] for i in range(40)})
    assert validation.measure(knowing) == {"hits@1": 1, "mrr": 1}
    ignorant = Liking(texts, {f"c{i}": [] for i in range(40)})
    assert validation.measure(ignorant) == {"hits@1": 0, "mrr": pytest.approx(1 / 20)}
    half = Liking(
        texts, {f"c{i}": [f"r{i}"] if i % 2 else [t for t in texts if t != f"r{i}"] for i in range(40)}
    )
    assert validation.measure(half)["hits@1"] == 0.5


def test_lists_hold_the_gold_first_and_19_different_distractors():
    validation = HitsValidation.draw(held_out(40), seed=0)
    assert validation.candidates.shape == (40, 20)
    for context, row in zip(validation.contexts, validation.candidates, strict=True):
        assert validation.texts[row[0]] == "r" + context[0][1:]
        assert len(set(row.tolist())) == 20


def test_no_distractor_is_a_candidate_of_its_context():
    validation = HitsValidation.draw(held_out(30, extra=9), seed=0)
    first = {validation.texts[i] for i in validation.candidates[validation.contexts.index(("c0",))]}
    assert first.isdisjoint({f"r{k}" for k in range(1, 10)})
    assert validation.candidates.shape == (30, 20)


def test_few_held_out_contexts_give_shorter_lists_and_one_gives_none():
    assert HitsValidation.draw(held_out(6), seed=0).candidates.shape == (6, 6)
    assert HitsValidation.draw(held_out(1), seed=0) is None
    assert HitsValidation.draw([], seed=0) is None


def test_lists_depend_on_the_seed_alone():
    draws = [HitsValidation.draw(held_out(40), seed=seed).candidates for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_thinning_keeps_order_and_number(monkeypatch):
    monkeypatch.setattr("g2r.training.validation.MOST_CONTEXTS", 5)
    kept = thinned(held_out(30), seed=1)
    numbers = [int(e.context[0][1:]) for e in kept]
    assert len(numbers) == 5
    assert numbers == sorted(set(numbers))


def scored(context, **scores):
    return Example(
        (context,),
        tuple(Candidate(text, "teacher", scores=Scores(judge=score)) for text, score in scores.items()),
        split="valid",
    )


BANK = ("banked", "other")
EXAMPLES = (scored("a", good=9.0, fair=5.0, poor=1.0), scored("b", best=8.0, worst=2.0))
TEXTS = ("banked", "other", "good", "fair", "poor", "best", "worst")


def bank_score(likes, **options):
    return BankValidation(EXAMPLES, BANK, **options).measure(Liking(TEXTS, likes))["bank_score"]


def test_bank_score_rewards_what_the_teacher_scored_well():
    assert bank_score({"a": ["good"], "b": ["best"]}, score="judge") == 1
    assert bank_score({"a": ["fair"], "b": ["worst"]}, score="judge") == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert bank_score({"a": ["banked", "good"], "b": ["other"]}, score="judge") == 0
    assert bank_score({"a": ["poor"], "b": ["banked"]}) == 0.5


def test_bank_score_never_retrieves_the_candidates_of_other_contexts():
    likes = {"a": ["best", "good", "banked"], "b": ["good", "poor", "other", "best"]}
    assert BankValidation(EXAMPLES, BANK).retrieve(Liking(TEXTS, likes)) == ["good", "other"]


def test_bank_score_asks_the_judge_where_there_is_one():
    def judge(contexts, responses):
        assert (contexts, responses) == ([("a",), ("b",)], [["banked"], ["best"]])
        return [[3.0], [8.0]]

    assert bank_score({"a": ["banked"], "b": ["best"]}, score="judge", judge=judge) == 5.5
