"""Leaks planted by hand are found, and nothing else."""

from g2r.dialogue import Candidate, Example
from g2r.duplicates import likeness
from g2r.evaluation.leakage import find_leaks


def example(context, response, split="test"):
    return Example(context, (Candidate(response, "human", original=True),), split, split)


LONG = "I spent the whole weekend painting the fence behind our house."
TEST = [
    example(("how was the weekend", "fine, yours?"), LONG),
    example(("what is your favourite food these days",), "Probably a bowl of hot ramen noodles."),
    example(("nice to meet you",), "that's great"),
    example(("does it rain where you are",), "Not a drop since last Thursday, sadly."),
]


def leaks(found):
    return [(leak.context_id, leak.what, leak.where, leak.degree) for leak in found.leaks]


def test_exact_and_near_responses_in_the_bank():
    bank = ["i spent the whole weekend painting the fence behind our house", "That's great!", "unrelated"]
    found = find_leaks(TEST, bank=[*bank, "Probably a bowl of hot ramen noodle."])
    assert leaks(found) == [
        (TEST[0].context_id, "response", "bank", "exact"),
        (TEST[1].context_id, "response", "bank", "near"),
    ]
    assert found.leaks[1].found == "Probably a bowl of hot ramen noodle."
    assert found.clean == {TEST[2].context_id, TEST[3].context_id}
    assert found.counts() == {"response in bank, exact": 1, "response in bank, near": 1}
    assert found.contexts == 4


def test_contexts_and_responses_in_the_training_data():
    training = [
        example(("What is your favourite food these days?",), "Soup.", "train"),
        example(("hm",), "Not a drop since last Thursday, sadly!", "train"),
        example(("how was the weekend",), "fine, yours?", "train"),
    ]
    assert leaks(find_leaks(TEST, training=training)) == [
        (TEST[3].context_id, "response", "training", "exact"),
        (TEST[1].context_id, "context", "training", "exact"),
    ]


def test_short_responses_count_when_asked():
    assert not find_leaks(TEST, bank=["That's great!"]).leaks
    found = find_leaks(TEST, bank=["That's great!"], min_words=1)
    assert leaks(found) == [(TEST[2].context_id, "response", "bank", "exact")]


def test_a_chain_of_near_duplicates_leaks_at_its_near_end_alone():
    far, near, seen = (
        "one two three four five six seven eight",
        "one two three four five six seven nine",
        "one two three four five eleven seven nine",
    )
    assert likeness(far, near) >= 0.6 <= likeness(near, seen)
    assert likeness(far, seen) < 0.6
    tests = [example(("a",), far), example(("b",), near)]
    found = find_leaks(tests, bank=[seen], threshold=0.6)
    assert leaks(found) == [(tests[1].context_id, "response", "bank", "near")]


def test_nothing_to_leak_into():
    found = find_leaks(TEST)
    assert not found.leaks
    assert len(found.clean) == 4
