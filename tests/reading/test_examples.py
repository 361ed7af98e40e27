import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2r.config import DataConfig
from g2r.dialogue import Candidate, Scores, clean_text
from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.reading.entries import Dialogue, Exchange
from g2r.reading.examples import build_examples, drawn_split


def build(*entries, **options):
    return build_examples([entries], DataConfig(**{"valid_fraction": 0, "test_fraction": 0, **options}))


def pairs(examples):
    return [(e.context, [c.text for c in e.candidates]) for e in examples]


def exchange(context, *responses, split="", dialogue_id="x"):
    return Exchange(tuple(context), tuple(Candidate(r, "human", True) for r in responses), dialogue_id, split)


TURNS = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("bot", "expected"),
    [
        ("any", [(("a",), ["b"]), (("a", "b"), ["c"]), (("b", "c"), ["d"]), (("c", "d"), ["e"])]),
        ("first", [(("a", "b"), ["c"]), (("c", "d"), ["e"])]),
        ("second", [(("a",), ["b"]), (("b", "c"), ["d"])]),
    ],
)
def test_the_bots_turns_follow_their_history(bot, expected):
    examples = build(Dialogue(TURNS, "x"), bot=bot, history=2)
    assert pairs(examples) == expected
    assert all(e.candidates[0] == Candidate(e.candidates[0].text, "human", True) for e in examples)


def test_texts_are_cleaned_everywhere():
    [example] = build(exchange((" hi \n you\x07", "\u202ee\u2069\u0301"), " so\t so "))
    assert (example.context, example.candidates[0].text) == (("hi you", "é"), "so so")


def test_response_length_is_bounded_and_counted():
    entries = [exchange("a", "one"), exchange("b", "one two"), exchange("c", "1 2 3 4"), exchange("d", " \n")]
    examples = build(*entries, min_words=2, max_words=3)
    assert pairs(examples) == [(("b",), ["one two"])]
    assert dict(examples.counts) == {
        "dialogues": 1, "examples": 1, "candidates": 1, "train": 1, "valid": 0, "test": 0,
        "dropped_short": 1, "dropped_long": 1, "dropped_empty": 1,
    }  # fmt: skip


def test_only_the_kept_history_counts_as_the_length_of_a_context():
    long = " ".join(["word"] * 10_000)
    examples = build(Dialogue((long, "b", "c", "d"), "x"), history=2)
    assert pairs(examples) == [(("b", "c"), ["d"])]
    assert examples.counts["dropped_long_context"] == 2


def test_a_turn_of_ten_thousand_words_is_no_response():
    examples = build(Dialogue(("a", " ".join(["word"] * 10_000)), "x"), exchange("a", "b"))
    assert pairs(examples) == [(("a",), ["b"])]
    assert examples.counts["dropped_long"] == 1


def test_empty_turns_neither_answer_nor_are_answered():
    examples = build(Dialogue(("a", "", "c", "d"), "x"))
    assert pairs(examples) == [(("a", "c"), ["d"])]
    assert examples.counts["dropped_empty"] == 2


def test_a_dialogue_of_one_turn_is_counted():
    examples = build(Dialogue(("alone",), "x"), Dialogue(("a", "b"), "y"))
    assert examples.counts["dropped_single_turn"] == 1
    assert len(examples) == 1


def test_nothing_left_is_an_error_that_lists_the_counts():
    with pytest.raises(InputError, match=r"of 2 dialogues \(dropped_short 1, dropped_single_turn 1\)"):
        build(Dialogue(("alone",), "x"), Dialogue(("a", "b"), "y"), min_words=2)
    with pytest.raises(InputError, match=r"of 0 dialogues \(no responses\)"):
        build()


def test_a_context_met_twice_is_one_example():
    rated = Exchange(("hi",), (Candidate("yo", "bot", scores=Scores(judge=3.0)), Candidate("z", "bot")), "y")
    examples = build(exchange(("hi",), "yo", "hey"), exchange(("other",), "yo"), rated)
    assert pairs(examples) == [(("hi",), ["yo", "hey", "z"]), (("other",), ["yo"])]
    assert examples[0].candidates[0] == Candidate("yo", "human", True, Scores(judge=3.0))
    assert examples[0].dialogue_id == "x"
    assert examples.counts["dropped_duplicate"] == 1


def test_what_was_said_in_the_dialogue_stays_original_in_any_order():
    rated = Exchange(("hi",), (Candidate("yo", "bot", scores=Scores(judge=3.0)),), "y")
    [example] = build(rated, exchange(("hi",), "yo"))
    assert example.candidates == (Candidate("yo", "human", True, Scores(judge=3.0)),)


def test_a_context_never_stands_in_two_splits():
    entries = [
        exchange(("Hi, there!",), "train reply", split="train"),
        exchange(("hi there",), "test reply", split="test"),
        exchange(("HI THERE",), "valid reply", split="valid"),
        exchange(("hello",), "other", split="train"),
    ]
    examples = build(*entries)
    assert [(e.context, e.split) for e in examples] == [(("hi there",), "test"), (("hello",), "train")]
    assert examples.counts["dropped_split_duplicate"] == 2


def test_named_splits_are_kept_and_missing_ones_drawn():
    dialogues = [Dialogue((f"a {i}", f"b {i}"), str(i), "train") for i in range(400)]
    held_out = [Dialogue(("c", "d"), "t", "test")]
    fractions = {"valid_fraction": 0.2, "test_fraction": 0.2}
    examples = build(*dialogues, *held_out, **fractions)
    assert {e.dialogue_id for e in examples if e.split == "test"} == {"t"}
    assert 40 < examples.counts["valid"] < 120
    alone = build(*dialogues, **fractions)
    assert {e.dialogue_id for e in alone if e.split == "valid"} == {
        e.dialogue_id for e in examples if e.split == "valid"
    }
    assert 40 < alone.counts["test"] < 120


def test_splits_of_a_source_do_not_touch_another():
    named = [Dialogue((f"a {i}", "b"), f"n{i}", split) for i, split in enumerate(("train", "valid", "test"))]
    plain = [Dialogue((f"c {i}", "d"), f"p{i}") for i in range(200)]
    examples = build_examples([named, plain], DataConfig(valid_fraction=0.2, test_fraction=0.2))
    splits = {e.dialogue_id: e.split for e in examples}
    assert [splits[f"n{i}"] for i in range(3)] == ["train", "valid", "test"]
    assert {splits[f"p{i}"] for i in range(200)} == {"train", "valid", "test"}


def test_split_sizes_follow_the_fractions_and_the_seed():
    config = DataConfig(valid_fraction=0.1, test_fraction=0.3)
    drawn = [drawn_split(str(i), config) for i in range(5000)]
    assert abs(drawn.count("valid") / 5000 - 0.1) < 0.02
    assert abs(drawn.count("test") / 5000 - 0.3) < 0.03
    reseeded = [drawn_split(str(i), config.model_copy(update={"seed": 1})) for i in range(5000)]
    assert drawn != reseeded


def test_max_examples_draws_training_examples_alone():
    dialogues = [Dialogue((f"a {i}", f"b {i}"), str(i)) for i in range(300)]
    fractions = {"valid_fraction": 0.1, "test_fraction": 0.1}
    full, few = build(*dialogues, **fractions), build(*dialogues, **fractions, max_examples=20)
    again = build(*reversed(dialogues), **fractions, max_examples=20)
    other = build(*dialogues, **fractions, max_examples=20, seed=1)
    train = {e.context for e in few if e.split == "train"}
    assert len(train) == few.counts["train"] == 20
    assert few.counts["dropped_max_examples"] == full.counts["train"] - 20
    assert [e for e in few if e.split != "train"] == [e for e in full if e.split != "train"]
    assert [e for e in full if e in set(few)] == list(few)
    assert {e.context for e in again if e.split == "train"} == train
    assert {e.context for e in other if e.split == "train"} != train


turn = st.text(alphabet=string.ascii_letters[:4] + " .!é", max_size=5)
dialogues = st.lists(
    st.builds(
        Dialogue,
        st.lists(turn, min_size=1, max_size=6).map(tuple),
        st.integers(0, 9).map(str),
        st.sampled_from(["", "train", "valid", "test"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(dialogues, st.integers(1, 4), st.sampled_from(["any", "first", "second"]))
def test_examples_are_exactly_the_pairs_of_the_dialogues(entries, history, bot):
    """Against a plain loop: what is kept stands in some dialogue, what is missing was counted, nothing leaks."""
    expected, empty = set(), 0
    for dialogue in entries:
        turns = [clean_text(t) for t in dialogue.turns]
        if sum(bool(t) for t in turns) < 2:
            continue
        for i in range(1, len(turns)):
            if bot != "any" and (i % 2 == 0) != (bot == "first"):
                continue
            if turns[i] and turns[i - 1]:
                expected.add((tuple(t for t in turns[max(0, i - history) : i] if t), turns[i]))
            else:
                empty += 1
    try:
        examples = build_examples([entries], DataConfig(history=history, bot=bot))
    except InputError:
        assert not expected
        return
    found = {(e.context, c.text) for e in examples for c in e.candidates}
    assert found <= expected
    held_out = {tuple(map(normal_form, e.context)): e.split for e in examples}
    assert all(held_out[tuple(map(normal_form, e.context))] == e.split for e in examples)
    assert {tuple(map(normal_form, context)) for context, _ in expected} == set(held_out)
    if not examples.counts.get("dropped_split_duplicate"):
        assert found == expected
    assert examples.counts.get("dropped_empty", 0) == empty
    assert len({e.context for e in examples}) == len(examples)


def test_a_limit_holds_for_its_own_source():
    first = [Dialogue((f"a {i}", f"b {i}"), f"first {i}") for i in range(40)]
    second = [Dialogue((f"c {i}", f"d {i}"), f"second {i}") for i in range(40)]
    config = DataConfig(valid_fraction=0, test_fraction=0)
    examples = build_examples([first, second], config, limits=[None, 7])
    assert sum(e.dialogue_id.startswith("first") for e in examples) == 40
    assert sum(e.dialogue_id.startswith("second") for e in examples) == 7
    assert examples.counts["dropped_max_examples"] == 33
