"""Which response is what to which context, against a slow reading of METHOD's words."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2r.config import TrainConfig
from g2r.dialogue import Candidate, Example, Scores
from g2r.duplicates import normal_form
from g2r.errors import ConfigError, InputError
from g2r.training.batches import BatchMaker, Schedule, draw_candidates, draw_negatives, training_data

LONG = "a rather long reply that only differs from another one in its last word: {}"


def example(context, *responses, judges=(), originals=None):
    """Candidates in the order given, the first original; judge scores by position where given."""
    return Example(
        tuple(context.split("|")),
        tuple(
            Candidate(
                text,
                "human",
                original=i in (originals if originals is not None else (0,)),
                scores=Scores(judge=judges[i] if i < len(judges) else None),
            )
            for i, text in enumerate(responses)
        ),
    )


def made(examples, *, processes=1, process=0, mined=(), **options):
    config = TrainConfig(**{"batch_size": 4, **options})
    data = training_data(examples, config)
    return BatchMaker(
        data, Schedule(len(data.lists), config.batch_size, config.seed, processes), config, mined, process
    )


def cells(maker, step):
    """What each response (by text) is to each context of a batch, and its score; padding left out."""
    batches = [replace(maker, process=i).batch(step) for i in range(maker.schedule.processes)]
    texts = [maker.data.responses[i] for batch in batches for i in batch.encoded]
    found = {}
    for batch in batches:
        for row, context in enumerate(batch.contexts):
            for column, text in enumerate(texts):
                kind = ("positive" if batch.positives[row, column] else "") + (
                    "negative" if batch.negatives[row, column] else ""
                )
                if kind:
                    key = (maker.data.lists[context].example.context, text)
                    assert key not in found, "a response stands twice in the step"
                    score = batch.teacher_scores[row, column]
                    found[key] = kind, None if np.isnan(score) else float(score)
    return found


words = st.sampled_from(
    ["Yes.", "yes", "no", "Why not?", "why not", "maybe", LONG.format("x"), LONG.format("y")]
)
corpora = st.lists(
    st.builds(
        lambda context, replies: example(context, *replies),
        st.sampled_from(["hi", "Hi!", "how are you", "bye", "hi|there", "what now"]),
        st.lists(words, min_size=1, max_size=4),
    ),
    min_size=2,
    max_size=7,
)


@settings(max_examples=60, deadline=None)
@given(corpora, st.integers(0, 5))
def test_masks_follow_the_definition(examples, random_negatives):
    maker = made(examples, batch_size=64, random_negatives=random_negatives, max_candidates=9)
    batch = maker.batch(0)
    assert len(set(batch.encoded.tolist())) == len(batch.encoded)
    like = {LONG.format(c): "long" for c in "xy"}

    def group(text):
        return like.get(text, normal_form(text))

    def same_context(a, b):
        return [normal_form(turn) for turn in a] == [normal_form(turn) for turn in b]

    for row, context in enumerate(batch.contexts):
        own = maker.data.lists[context].example
        candidates = {c.text for c in own.candidates}
        banned = {
            group(c.text) for e in examples if same_context(e.context, own.context) for c in e.candidates
        }
        for column, number in enumerate(batch.encoded):
            text = maker.data.responses[number]
            assert batch.positives[row, column] == (text in candidates)
            assert batch.negatives[row, column] == (group(text) not in banned)


def test_a_shared_response_is_one_column_and_keeps_its_masks():
    found = cells(made([example("a", "fine", "one"), example("b", "two", "fine"), example("c", "three")]), 0)
    assert {text for _, text in found} == {"fine", "one", "two", "three"}
    assert found[("a",), "fine"][0] == found[("b",), "fine"][0] == "positive"
    assert found[("c",), "fine"][0] == "negative"
    assert found[("a",), "two"][0] == "negative"
    assert found[("b",), "one"][0] == "negative"


def test_candidates_that_do_not_train_are_no_negatives_either():
    examples = [example("a", "mine", "theirs"), example("b", "theirs"), example("c", "other")]
    found = cells(made(examples, responses="original"), 0)
    assert found[("a",), "mine"][0] == "positive"
    assert (("a",), "theirs") not in found
    assert found[("c",), "theirs"][0] == "negative"


def test_a_response_that_stands_twice_counts_once_with_its_best_score():
    examples = [example("a", "x", "y", "x", "x", judges=(2, 5, 7)), example("b", "z", "w", judges=(1, 2))]
    maker = made(examples, score="judge", max_candidates=6)
    assert maker.data.counts["candidates"] == 4
    found = cells(maker, 0)
    assert found[("a",), "x"] == ("positive", 7)
    assert found[("a",), "y"] == ("positive", 5)


def test_unscored_candidates_train_but_have_no_target():
    maker = made([example("a", "x", "y", "v", judges=(2, 5)), example("b", "z")], score="judge")
    found = cells(maker, 0)
    assert found[("a",), "v"] == ("positive", None)
    assert maker.data.counts["contexts_without_target"] == 1
    batch = maker.batch(0)
    assert (batch.scored == np.isfinite(batch.teacher_scores)).all()
    assert batch.scored.sum() == 2


def many(contexts=23, candidates=5):
    return [
        example(f"context {i}", *(f"reply {i} {j}" for j in range(candidates)), judges=range(candidates))
        for i in range(contexts)
    ]


def test_every_context_is_visited_once_an_epoch_in_a_new_order():
    schedule = Schedule(contexts=20, batch_size=5, seed=3)
    epochs = [
        [place.context for step in range(4 * e, 4 * e + 4) for place in schedule.step(step)] for e in range(3)
    ]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_what_does_not_fill_a_batch_waits_for_the_next_epoch():
    schedule = Schedule(contexts=23, batch_size=5, seed=0)
    assert (schedule.rows, schedule.steps_per_epoch) == (5, 4)
    seen = {place.context for step in range(40) for place in schedule.step(step)}
    assert seen == set(range(23))
    assert Schedule(contexts=3, batch_size=64, seed=0).rows == 3
    assert Schedule(contexts=3, batch_size=64, seed=0, processes=2).rows == 2
    with pytest.raises(ConfigError, match="3 training contexts for 4 processes"):
        Schedule(contexts=3, batch_size=64, seed=0, processes=4)


def test_a_batch_depends_on_its_step_alone():
    options = {"random_negatives": 7, "max_candidates": 2}
    fresh, used = made(many(), **options), made(many(), **options)
    for step in range(5):
        used.batch(step)
    assert cells(fresh, 9) == cells(used, 9)
    assert cells(fresh, 9) != cells(made(many(), seed=1, **options), 9)


def test_candidates_are_drawn_anew_each_epoch_and_evenly():
    draws = [draw_candidates(5, 2, seed=0, epoch=e, context=4).tolist() for e in range(400)]
    assert all(len(set(draw)) == 2 for draw in draws)
    counts = np.bincount(np.concatenate(draws), minlength=5)
    assert (abs(counts - 160) < 60).all()
    assert draw_candidates(2, 6, seed=0, epoch=0, context=0).tolist() == [0, 1]


def test_random_negatives_cost_nothing_of_the_bank_size():
    drawn = draw_negatives(10**15, 512, seed=0, step=3)
    assert len(set(drawn)) == 512
    assert max(drawn) > 10**14
    assert drawn == draw_negatives(10**15, 512, seed=0, step=3)
    assert drawn != draw_negatives(10**15, 512, seed=0, step=4)
    assert sorted(draw_negatives(3, 10, seed=0, step=0)) == [0, 1, 2]


def test_random_negatives_come_from_the_whole_bank_and_are_masked():
    maker = made(many(), batch_size=2, random_negatives=200)
    found = cells(maker, 0)
    assert len({text for _, text in found}) == len(maker.data.bank)
    context = maker.data.lists[maker.batch(0).contexts[0]].example
    assert all(found[context.context, c.text][0] == "positive" for c in context.candidates)


def test_mined_negatives_join_the_batch():
    maker = made(many(), batch_size=2)
    far = [np.array([maker.data.lists[(i + 11) % 23].responses[0]]) for i in range(23)]
    plain, mined = maker.batch(0), replace(maker, mined=far).batch(0)
    added = {int(n) for i in mined.contexts for n in far[i]}
    assert set(mined.encoded.tolist()) == set(plain.encoded.tolist()) | added


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_batch_of_one(processes):
    options = {"batch_size": 6, "random_negatives": 7, "max_candidates": 3, "score": "judge"}
    alone, shared = made(many(), **options), made(many(), processes=processes, **options)
    for step in range(3):
        assert cells(alone, step) == cells(shared, step)
    sizes = {len(replace(shared, process=i).batch(0).encoded) for i in range(processes)}
    assert len(sizes) == 1


def test_what_cannot_train_is_refused_in_one_line():
    two = [example("a", "x", "y", judges=(1, 2)), example("b", "z")]
    with pytest.raises(ConfigError, match="no training examples"):
        training_data([], TrainConfig())
    with pytest.raises(ConfigError, match="no context has an original response"):
        training_data([example("a", "x", originals=())], TrainConfig(responses="original"))
    with pytest.raises(ConfigError, match="generate responses first"):
        training_data([Example(("a",), ())], TrainConfig())
    with pytest.raises(ConfigError, match="one training context only"):
        training_data([example("a", "x")], TrainConfig())
    with pytest.raises(ConfigError, match="scores in the data: judge"):
        training_data(two, TrainConfig(score="mi"))
    with pytest.raises(ConfigError, match="no context has two candidates with it"):
        training_data([example("a", "x", "y", judges=(1,)), example("b", "z")], TrainConfig(score="judge"))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused(wrong):
    bad = example("a", "x", "y", judges=(1, wrong))
    with pytest.raises(
        InputError, match=f"context {bad.context_id}, response {bad.candidates[1].response_id}"
    ):
        training_data([bad, example("b", "z")], TrainConfig(score="judge"))
