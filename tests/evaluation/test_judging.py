"""Orderings of rated lists side by side, against plain loops."""

from dataclasses import replace

import numpy as np
import pytest

from g2r.dialogue import RETRIEVED, Candidate, Example
from g2r.errors import InputError
from g2r.evaluation.judging import BEST, CHANCE, compare_orderings, contexts_of, plain_scorers
from g2r.evaluation.selection import JudgedList
from word_encoder import WordEncoder

LISTS = [
    JudgedList(("do you like tea",), ("tea is nice", "no dogs", "rain again"), (7.0, 2.0, 6.0)),
    JudgedList(("what of dogs", "well", "tell me"), ("no dogs", "tea is nice"), (1.0, 3.0)),
    JudgedList(("rain",), ("rain again", "no dogs", "tea is nice", "well"), (9.0, 0.0, 0.0, 0.0)),
]
EXAMPLES = [
    Example(("do you like tea",), (Candidate("tea is nice", "human", original=True),)),
    Example(("is it raining",), (Candidate("rain again", "human"), Candidate("not here", "teacher"))),
    Example(("what now", "tell me"), (Candidate("tea is nice", "teacher"),)),
]


def backwards(contexts, candidates):
    return [np.arange(len(own), 0, -1.0) for own in candidates]


def test_rows_are_chance_the_scorers_and_the_best_possible():
    rows = compare_orderings({"first": backwards, "last": lambda c, t: [-s for s in backwards(c, t)]}, LISTS)
    assert list(rows) == [CHANCE, "first", "last", BEST]
    shares = {name: row.first_good.value for name, row in rows.items()}
    assert shares == pytest.approx(
        {CHANCE: np.mean([2 / 3, 0, 1 / 4]), "first": 2 / 3, "last": 1 / 3, BEST: 2 / 3}
    )
    assert rows["first"].rho == pytest.approx(-rows["last"].rho)
    assert rows[CHANCE].rho is None
    assert rows["first"].first_good.low <= rows["first"].first_good.value <= rows["first"].first_good.high


def test_a_scorer_that_orders_nothing_has_no_rho():
    rows = compare_orderings({"flat": lambda c, t: [np.zeros(len(own)) for own in t]}, LISTS)
    assert rows["flat"].rho is None
    assert rows["flat"].first_good.value == pytest.approx(rows[CHANCE].first_good.value)


def test_contexts_of_the_candidates_and_of_no_others():
    retrieved = Example(("any pets",), (Candidate("no dogs", RETRIEVED),))
    assert contexts_of([*EXAMPLES, retrieved], {"tea is nice", "no dogs"}) == {
        "tea is nice": [("do you like tea",), ("what now", "tell me")]
    }


def test_plain_scorers_know_words_vectors_and_keys():
    scorers = plain_scorers(WordEncoder(), EXAMPLES, LISTS[1:])
    assert list(scorers) == ["BM25", "response key", "context keys"]
    keys = scorers["context keys"]([("do you like tea",)], [LISTS[0].candidates])[0]
    assert keys[0] == pytest.approx(1.0, abs=1e-5)
    assert keys[1] == 0
    assert list(plain_scorers(WordEncoder(), [], LISTS)) == ["BM25", "response key"]


def test_context_keys_are_neither_those_of_the_lists_nor_held_out():
    """A list's own context would find the response that was written for it."""
    scorers = plain_scorers(WordEncoder(), EXAMPLES, LISTS)
    keys = scorers["context keys"]([("do you like tea",)], [LISTS[0].candidates])[0]
    assert 0 < keys[0] < 0.9
    held_out = [replace(e, split=split) for e, split in zip(EXAMPLES, ("test", "test", "valid"), strict=True)]
    assert list(plain_scorers(WordEncoder(), held_out, LISTS)) == ["BM25", "response key"]
    scorers = plain_scorers(WordEncoder(), EXAMPLES, LISTS[:1])
    with pytest.raises(InputError, match="no judged lists"):
        compare_orderings(scorers, [])
