"""Calibration of replies whose true chances are known, and of a bot's replies by a simulated judge."""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from bot_server import TOPICS, word_bot
from g2r.calibration import RatedReply, calibrate, draw_contexts, rate_replies, read_ratings
from g2r.calibration.fitting import fit_knots
from g2r.calibration.reliability import measure, reliability_bins
from g2r.confidence import Calibration, Origin
from g2r.config import CalibrateConfig
from g2r.dialogue import Context, Example, Scores
from g2r.errors import InputError, TeacherError
from g2r.teachers.recorded import RecordedTeacher

ORIGIN = Origin(bank="bank", student="student", scoring={})


def drawn_replies(n: int, *, seed: int = 0) -> tuple[list[RatedReply], list[float]]:
    """Replies whose chance of being good is a logistic function of two signals, with those chances."""
    generator = np.random.default_rng(seed)
    replies, chances = [], []
    for score, margin in generator.normal(size=(n, 2)):
        chance = 1 / (1 + math.exp(-(2 * score + margin - 0.5)))
        rating = 8.0 if generator.random() < chance else 2.0
        signals = {"score": 5 + score, "margin": margin, "response_score": None, "context_score": 1.0}
        replies.append(RatedReply(signals, rating))
        chances.append(chance)
    return replies, chances


def test_confidences_are_near_the_true_chances_and_better_than_a_constant():
    replies, _ = drawn_replies(4000)
    found = calibrate(replies, ORIGIN)
    fresh, chances = drawn_replies(2000, seed=1)
    confidences = [found.confidence(reply.signals) for reply in fresh]
    assert np.abs(np.subtract(confidences, chances)).mean() < 0.04
    assert set(found.weights) == {"score", "margin"}  # one signal is never known, one always the same
    measured = found.measured
    assert measured.n == 2000
    assert measured.ece < 0.05
    assert measured.brier < 0.75 * measured.brier_of_share
    assert measured.brier_of_share == pytest.approx(0.25, abs=0.01)
    within = [own.good_low <= own.confidence <= own.good_high for own in measured.bins]
    assert sum(within) >= len(within) - 1
    assert sum(own.n for own in measured.bins) == 2000


def test_a_file_gives_the_same_confidences_to_the_last_bit():
    replies, _ = drawn_replies(300)
    found = calibrate(replies, ORIGIN)
    read = Calibration.model_validate_json(found.model_dump_json())
    assert read == found
    assert [read.confidence(r.signals) for r in replies] == [found.confidence(r.signals) for r in replies]


def test_the_served_form_is_isotonic_regression_without_its_library():
    generator = np.random.default_rng(3)
    sums = generator.normal(size=200)
    good = generator.random(200) < 1 / (1 + np.exp(-sums))
    knots = fit_knots(sums, good)
    reference = IsotonicRegression(y_min=1 / 202, y_max=201 / 202, out_of_bounds="clip").fit(sums, good)
    asked = np.linspace(-5, 5, 101)
    assert np.interp(asked, *zip(*knots, strict=True)) == pytest.approx(reference.predict(asked))
    assert all(0 < confidence < 1 for _, confidence in knots)


def test_a_reply_without_a_signal_counts_as_one_of_the_mean():
    replies, _ = drawn_replies(400)
    found = calibrate(replies, ORIGIN)
    mean = found.weights["margin"].mean
    signals = replies[0].signals
    assert found.confidence({**signals, "margin": None}) == pytest.approx(
        found.confidence({**signals, "margin": mean})
    )


def test_bins_and_errors_by_hand():
    confidences = np.array([0.05, 0.05, 0.95, 0.95, 1.0])
    good = np.array([False, True, True, True, False])
    low, high = reliability_bins(confidences, good)
    assert (low.n, low.good, low.confidence) == (2, 0.5, pytest.approx(0.05))
    assert (high.n, high.low, high.high) == (3, 0.9, 1.0)
    assert high.good == pytest.approx(2 / 3)
    measured = measure(confidences, good, fitted_share=0.5)
    assert measured.ece == pytest.approx((2 * 0.45 + 3 * (2.9 / 3 - 2 / 3)) / 5)
    assert measured.brier == pytest.approx((0.05**2 + 0.95**2 + 2 * 0.05**2 + 1) / 5)
    assert measured.brier_of_share == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("replies", "problem"),
    [
        (drawn_replies(39)[0], "39 rated replies, expected at least 40"),
        ([RatedReply({"score": float(i)}, 9.0) for i in range(50)], "all of 25 replies are good"),
        ([RatedReply({"score": float(i)}, 1.0) for i in range(50)], "all of 25 replies are bad"),
    ],
)
def test_what_cannot_be_fitted_is_refused(replies, problem):
    with pytest.raises(InputError, match=problem):
        calibrate(replies, ORIGIN)


def test_one_context_a_dialogue_whatever_else_there_is():
    examples = [
        Example(
            (f"turn {turn} of {dialogue}",), (), f"dialogue {dialogue}", "valid" if dialogue < 8 else "train"
        )
        for dialogue in range(10)
        for turn in range(3)
    ]
    drawn = draw_contexts(examples, split="valid", contexts=100)
    assert sorted(context[0][-1] for context in drawn) == list("01234567")
    assert drawn == draw_contexts(examples[::-1], split="valid", contexts=100)
    assert drawn != draw_contexts(examples, split="valid", contexts=100, seed=1)
    assert draw_contexts(examples, split="valid", contexts=3) == drawn[:3]
    with pytest.raises(InputError, match="split test"):
        draw_contexts(examples, split="test", contexts=100)


class TopicJudge:
    """Rates a reply 9 if it shares a topic with the context, else 2; knows nothing of some contexts."""

    name = "topics"
    score_kinds = frozenset({"judge"})

    def __init__(self) -> None:
        self.asked: list[Context] = []

    def score(self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]) -> list[list[Scores]]:
        self.asked += contexts
        return [[self._rate(c[-1], text) for text in own] for c, own in zip(contexts, responses, strict=True)]

    def _rate(self, said: str, text: str) -> Scores:
        if "unknown" in said:
            return Scores()
        return Scores(judge=9.0 if set(said.split()) & set(TOPICS) & set(text.split()) else 2.0)


def conversations(n: int) -> list[Context]:
    """About topics of the bot and about other things, in no order."""
    words = random.Random(0).choices([*TOPICS, *(f"matter{i}" for i in range(len(TOPICS)))], k=n)
    return [(f"number {i} what about {word}",) for i, word in enumerate(words)]


def test_a_bots_replies_are_judged_and_a_killed_run_goes_on(tmp_path: Path):
    bot, contexts, journal = word_bot(), conversations(200), tmp_path / "journal"
    whole = rate_replies(bot, [*contexts, ("this is unknown",)], TopicJudge())
    assert whole.counts == {"contexts": 201, "answered": 201, "rated": 200}
    expected = bot.reply(contexts[0])
    assert whole.items[0].signals["score"] == expected.score
    assert whole.items[0].signals["margin"] == expected.score - expected.candidates[1].score

    class Stopping(TopicJudge):
        def score(self, contexts, responses):
            if len(self.asked) > 100:
                raise TeacherError("gone")
            return super().score(contexts, responses)

    with pytest.raises(TeacherError, match="gone"):
        rate_replies(bot, contexts, Stopping(), journal=journal)
    judge = TopicJudge()
    assert rate_replies(bot, contexts, judge, journal=journal).items == whole.items[:200]
    assert judge.asked == contexts[128:]


def test_a_calibrated_bot_knows_what_it_has_no_reply_to():
    bot = word_bot()
    rated = rate_replies(bot, conversations(400), TopicJudge())
    found = calibrate(rated.items, bot.origin, CalibrateConfig(certainty=0.9))
    assert found.origin.bank == bot.bank.version
    assert found.measured.brier < found.measured.brier_of_share
    step = found.step_for(0.3)
    assert step is not None
    assert step.bad <= step.max_bad <= 0.3


def test_ratings_of_people_take_the_place_of_a_judge(tmp_path: Path):
    bot, contexts = word_bot(), conversations(30)
    file = tmp_path / "ratings.jsonl"
    rows = [
        {"turns": list(context), "text": bot.reply(context).text, "score": score}
        for context in contexts[:20]
        for score in (4, 9)
    ]
    rows += [{"turns": list(context), "text": "something else", "score": 10} for context in contexts[20:]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ratings = read_ratings(file)
    assert [example.context for example in ratings] == contexts
    rated = rate_replies(bot, contexts, RecordedTeacher(ratings, "ratings"))
    assert rated.counts == {"contexts": 30, "answered": 30, "rated": 20}
    assert {reply.score for reply in rated.items} == {6.5}
    with pytest.raises(TeacherError, match="rated none of 10 replies"):
        rate_replies(bot, contexts[20:], RecordedTeacher(ratings[20:], "ratings"))
    for wrong, problem in (
        ('{"turns": ["hi"], "text": "hello", "score": 11}', "field score"),
        ('{"turns": [], "text": "hello", "score": 5}', "field turns"),
        ('{"turns": ["hi"], "score": 5}', "field text"),
    ):
        file.write_text(wrong + "\n")
        with pytest.raises(InputError, match=f"line 1, {problem}"):
            read_ratings(file)


def test_a_teacher_that_is_no_judge_is_refused():
    with pytest.raises(TeacherError, match="gives no judge scores"):
        rate_replies(word_bot(), conversations(3), RecordedTeacher([Example(("hi",), ())], "mute"))
