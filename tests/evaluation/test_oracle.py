"""The oracle gap against looking at every candidate."""

import numpy as np
import pytest

from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import TeacherError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.oracle import oracle_gaps, oracle_gaps_or_reason
from g2r.evaluation.systems import BotSystem
from word_encoder import WordEncoder

RESPONSES = [
    f"{word} and {other}" for word in ("tea", "rain", "dogs", "films") for other in ("sun", "moon", "you")
]
CONTEXTS = [("do you like tea",), ("dogs or rain",), ("the moon is up",)]


class LetterTeacher:
    """Likes responses by their first letter and length."""

    name = "letters"

    def __init__(self, kind="ll"):
        self.score_kinds = frozenset([kind] if kind else [])
        self.asked = []

    def worth(self, text):
        return -(ord(text[0]) % 7) - len(text) / 10

    def score(self, contexts, responses):
        self.asked += [(c, r) for c, own in zip(contexts, responses, strict=True) for r in own]
        return [[Scores(ll_sum=self.worth(r) * 2, tokens=2) for r in own] for own in responses]


def system(name):
    bank = ResponseBank.from_examples(
        [Example(("c",), tuple(Candidate(r, "t") for r in RESPONSES))], near_duplicates=1
    )
    return BotSystem(Bot.build(WordEncoder(name=name), bank))


def test_the_gap_is_to_the_best_in_reach():
    teacher, student = LetterTeacher(), system("a")
    found = oracle_gaps({"a": student, "b": student}, CONTEXTS, teacher, reach=5)
    for place, context in enumerate(CONTEXTS):
        texts = [c.text for c in student.candidates(context, 5).candidates]
        expected = max(map(teacher.worth, texts)) - teacher.worth(texts[0])
        assert found["a"][place] == pytest.approx(expected)
    assert found["a"].tolist() == found["b"].tolist()
    assert len(teacher.asked) == len(set(teacher.asked)) == 15


def test_what_cannot_be_scored_is_not_computed():
    assert "scores nothing" in oracle_gaps({"a": system("a")}, CONTEXTS, LetterTeacher(None)).reason
    assert "has no score for" in oracle_gaps({"a": system("a")}, CONTEXTS, LetterTeacher("judge")).reason
    assert isinstance(oracle_gaps_or_reason({"a": system("a")}, CONTEXTS, None), NotComputed)


def test_a_failing_teacher_is_a_reason_not_a_crash():
    class Failing(LetterTeacher):
        def score(self, contexts, responses):
            raise TeacherError("it is out")

    assert oracle_gaps_or_reason({"a": system("a")}, CONTEXTS, Failing()) == NotComputed("it is out")


def test_a_student_with_nothing_to_say_has_no_gap():
    mute = system("a")
    for response in list(mute._bot.bank):
        mute._bot.bank.ban(response.response_id)
    assert np.isnan(oracle_gaps({"mute": mute}, CONTEXTS, LetterTeacher())["mute"]).all()
