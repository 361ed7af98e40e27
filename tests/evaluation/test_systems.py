"""Systems answer under one protocol and one repeat rule."""

import pytest

from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.dialogue import Candidate, Example
from g2r.errors import InputError
from g2r.evaluation.systems import (
    GREEDY,
    PAPER_BEAM,
    Bm25System,
    BotSystem,
    HumanSystem,
    RandomSystem,
    TeacherSystem,
    first_unsaid,
)
from g2r.teachers.base import Sample
from word_encoder import WordEncoder

CONTEXT = ("do you like dogs", "i love my big brown dog")


def test_the_rule_passes_over_what_was_said():
    replies = ["I love my big brown dog!", "Do you like dogs?", "Cats are fine."]
    assert first_unsaid(replies, CONTEXT) == "Cats are fine."
    assert first_unsaid(replies[:2], CONTEXT) is None
    assert first_unsaid(["i love my big brown dogs"], CONTEXT) is None


def test_human_says_what_was_said():
    examples = [
        Example(CONTEXT, (Candidate("machine", "teacher"), Candidate("What breed?", "human", original=True)))
    ]
    reply = HumanSystem(examples).reply(CONTEXT)
    assert reply.text == "What breed?"
    assert reply.timings_ms["total"] >= 0
    with pytest.raises(InputError, match="no human reply"):
        HumanSystem(examples).reply(("other",))


def test_random_depends_on_seed_and_context_alone_and_covers_the_bank():
    bank = [f"reply number {i}" for i in range(10)]
    system = RandomSystem(bank, seed=1)
    contexts = [(f"turn {i}",) for i in range(200)]
    said = [system.reply(c).text for c in contexts]
    assert said == [RandomSystem(bank, seed=1).reply(c).text for c in contexts]
    assert said != [RandomSystem(bank, seed=2).reply(c).text for c in contexts]
    assert set(said) == set(bank)
    assert RandomSystem([CONTEXT[1]]).reply(CONTEXT).text is None


def test_bm25_says_what_shares_words_but_never_an_echo():
    bank = ["The weather is nice.", "I love my big brown dog.", "A brown dog is a good friend."]
    assert Bm25System(bank).reply(CONTEXT).text == "A brown dog is a good friend."


def test_bm25_over_the_contexts_a_response_was_written_for():
    written_for = {"Woof!": [("tell me about your dog",)], "Meow!": [("tell me about your cat",)]}
    system = Bm25System(["Meow!", "Woof!", "nothing known"], written_for=written_for)
    assert system.reply(CONTEXT).text == "Woof!"


@pytest.mark.parametrize("system", [RandomSystem, Bm25System])
def test_an_empty_bank_is_refused(system):
    with pytest.raises(InputError, match="bank without responses"):
        system([])


class BeamTeacher:
    """Writes an echo first, then its settings."""

    name = "beams"
    score_kinds = frozenset()

    def generate(self, contexts, settings, *, seed):
        own = f"{settings.method} {settings.beams} beams, seed {seed}"
        return [[Sample(c[-1]), Sample(own)][: settings.responses_per_context] for c in contexts]


def test_teacher_says_its_best_beam_that_is_no_repeat():
    assert TeacherSystem(BeamTeacher(), PAPER_BEAM, seed=7).reply(CONTEXT).text == "beam 10 beams, seed 7"
    assert TeacherSystem(BeamTeacher(), GREEDY).reply(CONTEXT).text is None


def test_bot_replies_with_the_timings_of_its_phases():
    examples = [
        Example((f"what about {topic}",), (Candidate(f"{topic} is fine", "human", original=True),))
        for topic in ("rain", "snow", "wind")
    ]
    system = BotSystem(Bot.build(WordEncoder(), ResponseBank.from_examples(examples)))
    reply = system.reply(("so the rain is back",))
    assert reply.text == "rain is fine"
    assert set(reply.timings_ms) == {"encode", "search", "rules", "total"}
    everything_said = tuple(f"{topic} is fine" for topic in ("rain", "snow", "wind"))
    assert system.reply(everything_said).text is None
