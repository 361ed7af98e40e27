"""Which contexts are keys of which, and that every process draws the same."""

import numpy as np

from g2r.config import TrainConfig
from g2r.dialogue import Candidate, Example
from g2r.index.base import view_of
from g2r.training.batches import training_data
from g2r.training.keys import VIEWS, KeyMaker


def example(context, *responses):
    return Example(context, tuple(Candidate(t, "human", original=i == 0) for i, t in enumerate(responses)))


EXAMPLES = [
    example(("hi", "you like tea?"), "yes I do like tea", "no never at all"),
    example(("so", "and coffee then?"), "no never at all", "only in the morning hours"),
    example(("what a day", "it rained for hours"), "rain makes the garden happy"),
    example(("bread or rice?",), "yes I do like tea"),
    example(("nobody shares mine",), "this stands quite alone here"),
]
SHARED = {0: {1, 3}, 1: {0}, 2: set(), 3: {0}, 4: set()}


def maker(seed=0):
    return KeyMaker(training_data(EXAMPLES, TrainConfig()), seed)


def test_a_key_is_a_view_of_a_context_that_shares_a_response():
    order = [3, 0, 4, 1, 2]
    drawn = {0: set(), 1: set(), 3: set()}
    for step in range(40):
        made = maker().batch(step, order, order)
        for row, (context, key) in enumerate(zip(order, made.keys, strict=True)):
            assert made.queries[row] in {view_of(EXAMPLES[context].context, v) for v in VIEWS}
            others = SHARED[context] or {context}
            possible = {other: {view_of(EXAMPLES[other].context, v) for v in VIEWS} for other in others}
            owners = [other for other, views in possible.items() if key in views]
            assert len(owners) == 1
            if SHARED[context]:
                drawn[context].add(owners[0])
                assert made.positives[row, row]
    assert drawn == {0: {1, 3}, 1: {0}, 3: {0}}


def test_masks_say_which_keys_fit_by_the_responses_they_share():
    order = [0, 2, 4, 1]
    made = maker(3).batch(7, order, order)
    owner = [
        next(i for i, e in enumerate(EXAMPLES) if key in {view_of(e.context, v) for v in VIEWS})
        for key in made.keys
    ]
    for row, context in enumerate(order):
        akin = np.array([o == context or o in SHARED[context] for o in owner])
        np.testing.assert_array_equal(made.negatives[row], ~akin)
        np.testing.assert_array_equal(made.positives[row], akin & (np.array(owner) != context))


def test_processes_see_their_share_of_one_draw():
    order = [3, 0, 4, 1]
    whole = maker(1).batch(5, order, order)
    shares = [maker(1).batch(5, order, mine) for mine in (order[:2], order[2:])]
    assert [q for share in shares for q in share.queries] == whole.queries
    assert [k for share in shares for k in share.keys] == whole.keys
    np.testing.assert_array_equal(np.concatenate([s.positives for s in shares]), whole.positives)
    np.testing.assert_array_equal(np.concatenate([s.negatives for s in shares]), whole.negatives)
    assert any(maker(1).batch(step, order, order).keys != whole.keys for step in range(6, 12))
