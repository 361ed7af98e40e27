"""What the judge learns from: wrong answers that are wrong, and nothing that is held out."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2r.dialogue import RETRIEVED, Candidate, Example, Scores
from g2r.errors import InputError
from g2r.judge.data import (
    NEGATIVE_SCORE,
    NegativeCounts,
    NegativeSource,
    OnPolicyList,
    contrasted_list,
    fitting_responses,
    is_held_out,
    next_utterance_list,
    read_held_out,
    read_on_policy,
    scored_lists,
    split_by_dialogue,
    without_held_out,
)

DIALOGUES = {d: [f"{d} turn {n}" for n in range(9)] for d in ("a", "b", "c", "e")}
EXAMPLES = [
    Example(tuple(turns[max(0, n - 4) : n]), (Candidate(turns[n], "human", original=True),), dialogue_id=d)
    for d, turns in DIALOGUES.items()
    for n in range(1, 9)
]
FIFTH = next(e for e in EXAMPLES if e.dialogue_id == "b" and e.originals[0].text == "b turn 5")
"""Context b 1 to b 4 (said by bot, partner, bot, partner), answered by b 5, to which the partner says b 6."""


def drawn(counts, seed=0, nearest=None, example=FIFTH):
    source = NegativeSource(EXAMPLES, counts, nearest=nearest)
    return source.draw(example, counts.total, np.random.default_rng(seed))


def only(**counts):
    return NegativeCounts(**{"random": 0, "wrong_turn": 0, "speaker": 0, "said": 0, "retrieved": 0, **counts})


@pytest.mark.parametrize("seed", range(5))
def test_each_kind_comes_from_its_own_place(seed):
    assert drawn(only(said=2), seed) in (["b turn 1", "b turn 3"], ["b turn 3", "b turn 1"])
    assert set(drawn(only(speaker=3), seed)) == {"b turn 2", "b turn 4", "b turn 6"}
    assert set(drawn(only(wrong_turn=3), seed)) == {"b turn 0", "b turn 7", "b turn 8"}
    found = drawn(
        only(retrieved=2), seed, nearest=lambda contexts: [["b turn 5", "c turn 1", "C Turn 1!", "a turn 2"]]
    )
    assert set(found) == {"c turn 1", "a turn 2"} or set(found) == {"C Turn 1!", "a turn 2"}


@given(st.integers(0, 1000), st.integers(0, len(EXAMPLES) - 1))
def test_negatives_are_different_and_never_a_candidate(seed, place):
    found = drawn(
        NegativeCounts(random=3, wrong_turn=2, speaker=2, said=2, retrieved=2), seed, example=EXAMPLES[place]
    )
    assert len(found) == 11 == len(set(found))
    assert EXAMPLES[place].originals[0].text not in found


def test_where_a_kind_is_lacking_random_ones_stand_in():
    first = EXAMPLES[0]
    found = drawn(only(said=4), example=first)
    assert len(found) == 4
    assert first.originals[0].text not in found


def test_too_few_responses_are_an_error():
    two = EXAMPLES[:2]
    with pytest.raises(InputError, match="too few different responses"):
        NegativeSource(two, only(random=9)).draw(two[0], 9, np.random.default_rng(0))


def test_contexts_are_looked_up_once_and_all_at_once():
    calls = []

    def nearest(contexts):
        calls.append(list(contexts))
        return [["x"]] * len(contexts)

    source = NegativeSource(EXAMPLES, only(retrieved=1), nearest=nearest)
    source.look_up([EXAMPLES[0].context, EXAMPLES[1].context, EXAMPLES[0].context])
    source.draw(EXAMPLES[0], 1, np.random.default_rng(0))
    source.draw(EXAMPLES[2], 1, np.random.default_rng(0))
    assert calls == [[EXAMPLES[0].context, EXAMPLES[1].context], [EXAMPLES[2].context]]


def rated(*scores):
    candidates = tuple(Candidate(f"r{i}", "teacher", scores=Scores(judge=s)) for i, s in enumerate(scores))
    return Example(("hi",), candidates, dialogue_id="a")


def test_a_next_utterance_list_has_its_right_response_first():
    source = NegativeSource(EXAMPLES, NegativeCounts())
    item = next_utterance_list(FIFTH, source, np.random.default_rng(3))
    assert item.responses[0] == "b turn 5"
    assert item.scores == (1.0, *[0.0] * 7)
    assert not item.rated


def test_badly_rated_candidates_are_no_right_answers():
    assert fitting_responses(rated(9.0, 5.9, None, 6.0)) == ["r0", "r2", "r3"]


def test_what_was_retrieved_for_a_context_is_no_right_answer():
    given = (Candidate("said", "human", original=True), Candidate("found", RETRIEVED))
    assert fitting_responses(Example(("hi",), given)) == ["said"]


def test_contrasted_lists_hold_ratings_and_drawn_negatives():
    source = NegativeSource(EXAMPLES, NegativeCounts())
    item = contrasted_list(rated(8.0, 0.0, None), source, 3, np.random.default_rng(0))
    assert item.responses[:2] == ("r0", "r1")
    assert item.scores == (8.0, 0.0, *[NEGATIVE_SCORE] * 3)
    assert item.rated
    assert not {"r0", "r1", "r2"} & set(item.responses[2:])


def test_scored_lists_keep_rated_candidates_of_contexts_that_have_two():
    assert [len(e.candidates) for e in scored_lists([rated(1.0, None, 2.0), rated(1.0, None), rated()])] == [
        2
    ]


def test_held_out_by_id_or_dialogue_but_not_by_a_mere_beginning():
    held = {"spc-valid-63", "cc-train-1f-2"}
    assert is_held_out("spc-valid-63-4", held)
    assert is_held_out("spc-valid-63", held)
    assert is_held_out("cc-train-1f-2", held)
    assert not is_held_out("spc-valid-631-4", held)
    assert not is_held_out("cc-train-1f-21", held)
    assert not is_held_out("cc-train-1f", held)


def test_nothing_held_out_is_left_its_contexts_included():
    lists = [
        OnPolicyList("x-1-2", ("long ago", "b turn 3", "B turn 4!"), ("r", "s"), (1.0, 2.0)),
        OnPolicyList("b-4", ("m",), ("r", "s"), (1.0, 2.0)),
        OnPolicyList("c-4", ("k",), ("r", "s"), (1.0, 2.0)),
        OnPolicyList("d-9", ("K!",), ("r", "s"), (1.0, 2.0)),
    ]
    examples, kept = without_held_out(EXAMPLES, lists, {"x-1-2", "c"})
    assert kept == [lists[1]]
    assert FIFTH not in examples
    assert examples == [e for e in EXAMPLES if e.dialogue_id != "c" and e is not FIFTH]


def test_ids_are_read_from_lines_and_from_json(tmp_path):
    (tmp_path / "ids.txt").write_text("cc-1\n\n cc-2 \n")
    (tmp_path / "dialogues.jsonl").write_text('{"id": "d-3", "turns": 1}\n')
    assert read_held_out([tmp_path / "ids.txt", tmp_path / "dialogues.jsonl"]) == {"cc-1", "cc-2", "d-3"}
    with gzip.open(tmp_path / "more.jsonl.gz", "wt") as handle:
        handle.write('{"id": "d-4"}\n')
    (tmp_path / "remarks.txt").write_text("# drawn by seed 0\ncc-5\n")
    assert read_held_out([tmp_path / "more.jsonl.gz", tmp_path / "remarks.txt"]) == {"d-4", "cc-5"}


def test_a_file_that_holds_nothing_out_is_refused(tmp_path):
    (tmp_path / "ids.txt").write_text("\n# none yet\n")
    with pytest.raises(InputError, match=r"ids\.txt holds no id"):
        read_held_out([tmp_path / "ids.txt"])


def test_on_policy_lists_are_read_with_their_dialogue(tmp_path):
    row = {"id": "cc-train-9-14", "turns": ["a", "b"], "candidates": ["x", "y"], "scores": [1, 7.5]}
    path = tmp_path / "lists.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (item,) = read_on_policy(path)
    assert (item.dialogue_id, item.context, item.judged().scores) == ("cc-train-9", ("a", "b"), (1.0, 7.5))
    path.write_text(json.dumps({**row, "scores": [1]}) + "\n")
    with pytest.raises(InputError, match=r"line 1, field scores: got 1 scores for 2 candidates"):
        read_on_policy(path)


def test_lists_that_choose_are_drawn_by_dialogue():
    ids = [f"d{n // 3}" for n in range(300)]
    apart = split_by_dialogue(ids, 0.2, seed=1)
    assert len(apart) == 20
    assert apart == split_by_dialogue(list(reversed(ids)), 0.2, seed=1)
    assert apart != split_by_dialogue(ids, 0.2, seed=2)
