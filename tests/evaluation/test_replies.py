"""Measures of what systems say, and replies side by side."""

import pytest

from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.replies import (
    HEADERS,
    measure_replies,
    ratings_on_record,
    reply_table,
    reply_to_all,
    side_by_side,
)
from g2r.evaluation.systems import SystemReply

EXAMPLES = [
    Example(
        (f"question {i}",),
        (
            Candidate(f"answer number {i} of course", "human", original=True, scores=Scores(judge=5.0 + i)),
            Candidate("same old line", "teacher", scores=Scores(judge=2.0)),
        ),
    )
    for i in range(4)
]
CONTEXTS = [e.context for e in EXAMPLES]


class Lines:
    def __init__(self, *lines):
        self._lines = iter(lines)

    def reply(self, context):
        return SystemReply(next(self._lines))


@pytest.fixture
def replies():
    return {
        "human": reply_to_all(Lines(*(e.originals[0].text for e in EXAMPLES)), CONTEXTS),
        "bot": reply_to_all(Lines("Same old line!", "Same old line!", None, "Question 3."), CONTEXTS),
    }


def test_each_system_is_measured_on_what_it_said(replies):
    found = measure_replies(replies, EXAMPLES, ratings=ratings_on_record(EXAMPLES))
    human, bot = found["human"], found["bot"]
    assert (human.replies, bot.replies) == (4, 3)
    assert (human.unique, human.top_share, human.echo) == (1, 0.25, 0)
    assert (bot.unique, bot.top_share, bot.echo) == (2 / 3, 2 / 3, 1 / 3)
    assert human.mean_length == 5
    assert human.distinct_2 == 10 / 16
    assert (human.judge.value, human.rated) == (6.5, 4)
    assert (bot.judge.value, bot.rated) == (2.0, 2)
    # The bot says 11 tokens: its own Dist-2 at that budget is all of it, the human's is of fewer than 20.
    assert bot.distinct_2_at_budget == pytest.approx(bot.distinct_2)
    assert human.distinct_2_at_budget > human.distinct_2


def test_table_has_a_row_a_system(replies):
    found = reply_table(measure_replies(replies, EXAMPLES))
    assert found.headers == HEADERS
    assert [row[0] for row in found.rows] == ["human", "bot"]
    assert found.rows[0][HEADERS.index("mean ms")] == "– [1]"
    assert found.rows[0][HEADERS.index("judge on record")] == "– [2]"
    assert "no reply has a rating" in found.notes[1]


def test_a_system_that_says_nothing_is_not_computed(replies):
    silent = [SystemReply(None)] * 4
    found = measure_replies({"silent": silent, **replies}, EXAMPLES)
    assert found["silent"].replies == 0
    for name in ("distinct_2", "unique", "top_share", "echo", "mean_length", "judge"):
        assert isinstance(getattr(found["silent"], name), NotComputed), name
    assert isinstance(found["human"].distinct_2_at_budget, NotComputed)


def test_unequal_replies_are_refused(replies):
    with pytest.raises(InputError, match="bot has 3 replies for 4 contexts"):
        measure_replies({"bot": replies["bot"][:3]}, EXAMPLES)


def test_side_by_side(replies):
    markdown = side_by_side(replies, CONTEXTS).markdown().splitlines()
    assert markdown[0] == "| context | human | bot |"
    assert markdown[4] == "| question 2 | answer number 2 of course | (no reply) |"
