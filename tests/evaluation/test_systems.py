"""Systems answer under one protocol and one repeat rule."""

import numpy as np
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
    HybridSystem,
    RandomSystem,
    RerankSystem,
    SystemReply,
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


BANK = [f"dogs are {word}" for word in ("good", "brown", "big", "mine", "loud", "small")]


def bot_system(**options):
    bank = ResponseBank.from_examples(
        [Example(("c",), tuple(Candidate(text, "t") for text in BANK))], near_duplicates=1
    )
    return BotSystem(Bot.build(WordEncoder(), bank), **options)


def test_a_bot_tells_its_score_and_what_encoding_took_before():
    plain, told = bot_system().reply(CONTEXT), bot_system(encoding_ms={CONTEXT: 12.5}).reply(CONTEXT)
    assert told.text == plain.text
    assert told.score == plain.score
    assert told.timings_ms["encode"] == 12.5
    phases = sum(ms for phase, ms in told.timings_ms.items() if phase != "total")
    assert told.timings_ms["total"] == pytest.approx(phases)


def test_reranking_says_the_best_of_the_candidates_by_the_other_scorer():
    system = bot_system()
    first = [c.text for c in system.candidates(CONTEXT, 3).candidates]
    asked = []

    def longest(contexts, candidates):
        asked.append((contexts, candidates))
        return [np.array([float(len(text)) for text in texts]) for texts in candidates]

    found = RerankSystem(system, longest, k=3).reply(CONTEXT)
    assert asked == [([CONTEXT], [first])]
    assert found.text == max(first, key=len)
    assert found.score == len(found.text)
    assert found.timings_ms["total"] >= found.timings_ms["rerank"]


def test_a_reranker_that_gives_nan_is_refused_and_nothing_to_rank_is_no_reply():
    def broken(contexts, candidates):
        return [np.full(len(texts), np.nan) for texts in candidates]

    system = bot_system()
    with pytest.raises(InputError, match=r"the re-ranker scores 'dogs are .* with NaN"):
        RerankSystem(system, broken, k=2).reply(CONTEXT)
    for response in list(system._bot.bank):
        system._bot.bank.ban(response.response_id)
    assert RerankSystem(system, broken, k=2).reply(CONTEXT).text is None


class HintTeacher:
    """Writes down the context it was given."""

    name = "hint"
    score_kinds = frozenset()

    def generate(self, contexts, settings, *, seed):
        return [[Sample(" | ".join(context))] for context in contexts]


def test_the_hybrid_shows_the_teacher_what_was_retrieved():
    class Retriever:
        def __init__(self, text):
            self.text = text

        def reply(self, context):
            return SystemReply(self.text, {"total": 2.0})

    found = HybridSystem(Retriever("Cats!"), HintTeacher(), separator=" ~ ").reply(CONTEXT)
    assert found.text == f"{CONTEXT[0]} | {CONTEXT[1]} ~ Cats!"
    assert found.timings_ms["retrieve"] == 2.0
    assert found.timings_ms["total"] == pytest.approx(2.0 + found.timings_ms["refine"])
    assert HybridSystem(Retriever(None), HintTeacher()).reply(CONTEXT).text == " | ".join(CONTEXT)
