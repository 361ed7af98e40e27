"""Selection lists keep their promises, and their evaluation equals plain loops."""

import gzip
import json

import numpy as np
import pytest

from g2r.dialogue import Candidate, Example
from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.evaluation.selection import (
    AdversarialItem,
    JudgedList,
    SelectionList,
    adversarial_accuracy,
    evaluate_judged,
    evaluate_selection,
    read_adversarial,
    read_judged_lists,
    selection_lists,
)


def example(dialogue, turn, *, response=None, teacher=(), context=None):
    text = response or f"reply {turn} of dialogue {dialogue}"
    candidates = [Candidate(t, "teacher") for t in teacher] + [Candidate(text, "human", original=True)]
    return Example(context or (f"said {turn} in {dialogue}",), tuple(candidates), f"d{dialogue}", "test")


@pytest.fixture
def examples():
    return [
        example(d, t, teacher=(f"reply {t} of dialogue {(d + 1) % 30}",)) for d in range(30) for t in range(3)
    ]


def test_gold_first_and_no_false_negatives(examples):
    lists = selection_lists(examples, seed=3)
    assert len(lists) == 90
    by_id = {e.context_id: e for e in examples}
    for item in lists:
        own = by_id[item.context_id]
        same_dialogue = {c.text for e in examples if e.dialogue_id == own.dialogue_id for c in e.candidates}
        assert len(item.candidates) == 20
        assert item.candidates[0] == own.originals[0].text
        assert not set(item.candidates[1:]) & same_dialogue
        assert len({normal_form(text) for text in item.candidates}) == 20


def test_same_text_in_another_dialogue_is_no_negative():
    examples = [example(0, 0, response="Oh, nice!"), example(1, 0, response="oh nice")]
    examples += [example(d, 0) for d in range(2, 23)]
    lists = {item.context_id: item for item in selection_lists(examples)}
    for e in examples[:2]:
        assert [normal_form(t) for t in lists[e.context_id].candidates].count("oh nice") == 1
    a_context_twice = [example(0, 0), example(1, 0, context=("said 0 in 0",)), *examples[2:]]
    lists = [i for i in selection_lists(a_context_twice) if i.context == ("said 0 in 0",)]
    assert len(lists) == 1
    assert not {"reply 0 of dialogue 0", "reply 0 of dialogue 1"} & set(lists[0].candidates[1:])


def test_lists_depend_on_seed_and_context_alone(examples):
    lists = selection_lists(examples, seed=1)
    assert selection_lists(examples[::-1], seed=1) == lists
    assert selection_lists(examples, seed=2) != lists
    few = selection_lists(examples, seed=1, contexts=10)
    assert len(few) == 10
    assert set(few) < set(lists)


def test_twenty_is_the_beginning_of_fifty(examples):
    longer = selection_lists(examples, candidates=50)
    for short, long in zip(selection_lists(examples), longer, strict=True):
        assert short.candidates == long.candidates[:20]


def test_negatives_are_spread_evenly(examples):
    counts = np.zeros(90)
    for seed in range(20):
        for item in selection_lists(examples, seed=seed):
            for text in item.candidates[1:]:
                turn, dialogue = int(text.split()[1]), int(text.split()[-1])
                counts[dialogue * 3 + turn] += 1
    assert counts.min() > 0.75 * counts.mean()
    assert counts.max() < 1.25 * counts.mean()


def test_too_few_responses_or_no_original_is_an_error(examples):
    with pytest.raises(InputError, match="only 2 responses of other dialogues"):
        selection_lists([example(d, 0) for d in range(3)])
    without = [Example(("hi",), (Candidate("hello", "teacher"),))]
    with pytest.raises(InputError, match="none of 1 examples"):
        selection_lists(without)
    assert len(selection_lists([*examples, *without])) == len(examples)


def length_scorer(contexts, candidates):
    return [np.array([float(len(text)) for text in texts]) for texts in candidates]


def test_ranks_at_each_size():
    lists = [
        SelectionList("a", ("hi",), ("four", "xx", "y", "longest")),
        SelectionList("b", ("hi",), ("lengthy", "xx", "y", "longest")),
    ]
    found = evaluate_selection(length_scorer, lists, sizes=(2, 4))
    assert {size: ranks.tolist() for size, ranks in found.ranks.items()} == {2: [1, 1], 4: [2, 2]}
    assert found.context_ids == ("a", "b")
    assert list(evaluate_selection(length_scorer, lists).ranks) == [4]


def test_unequal_lists_are_refused():
    with pytest.raises(InputError, match=r"\[2, 3\] candidates"):
        evaluate_selection(
            length_scorer,
            [SelectionList("a", ("x",), ("a", "b")), SelectionList("b", ("x",), ("a", "b", "c"))],
        )
    with pytest.raises(InputError, match=r"\[\] candidates"):
        evaluate_selection(length_scorer, [])


def test_nan_scores_are_refused():
    with pytest.raises(InputError, match="NaN"):
        evaluate_selection(
            lambda contexts, texts: [np.array([np.nan, 1.0])], [SelectionList("a", ("x",), ("a", "b"))]
        )


def test_judged_lists():
    lists = [
        JudgedList(("hi",), ("a", "bb", "ccc"), (1, 2, 9)),
        JudgedList(("hi",), ("a", "bb", "ccc"), (8, 2, 1)),
        JudgedList(("hi",), ("a", "b", "cc"), (5, 5, 5)),
    ]
    found = evaluate_judged(length_scorer, lists)
    assert found.first_good.tolist() == [1, 0, 0]
    assert found.best.tolist() == [1, 1, 0]
    assert found.chance == pytest.approx([1 / 3, 1 / 3, 0])
    assert found.rho[:2] == pytest.approx([1, -1])
    assert np.isnan(found.rho[2])
    with pytest.raises(InputError, match="no judged lists"):
        evaluate_judged(length_scorer, [])


def test_judged_and_adversarial_files(tmp_path):
    rows = [{"turns": ["hi"], "candidates": ["a", "b"], "scores": [1, 7.5]}]
    path = tmp_path / "lists.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert read_judged_lists(path) == [JudgedList(("hi",), ("a", "b"), (1, 7.5))]
    path.write_text(json.dumps({**rows[0], "scores": [1]}))
    with pytest.raises(InputError, match="line 1, field scores: got 1 scores for 2 candidates"):
        read_judged_lists(path)
    path.write_text(json.dumps({"turns": ["hi"], "positives": ["a"], "adversarial_negatives": ["b", "c"]}))
    assert read_adversarial(path) == [AdversarialItem(("hi",), ("a",), ("b", "c"))]
    path.write_text(json.dumps({"turns": ["hi"], "positives": "a"}))
    with pytest.raises(InputError, match="line 1, field positives"):
        read_adversarial(path)


def test_adversarial_accuracy_is_the_share_of_pairs_in_order():
    items = [
        AdversarialItem(("hi",), ("aaa", "a"), ("bb", "bbb")),
        AdversarialItem(("hi",), ("aaaa",), ("b",), ("cccc", "ccccc")),
        AdversarialItem(("hi",), ("a",), ()),
    ]
    # aaa > bb, aaa = bbb, a < bb, a < bbb
    assert adversarial_accuracy(length_scorer, items).tolist() == [1.5 / 4, 1]
    assert adversarial_accuracy(length_scorer, items, against="random").tolist() == [0.25]
    with pytest.raises(InputError, match="none of 1 contexts"):
        adversarial_accuracy(length_scorer, items[2:])
