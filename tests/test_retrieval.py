"""What a bot finds for training contexts: its own best by its own rules, and never an answer."""

import pytest

from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.config import BotConfig, IndexConfig
from g2r.dialogue import RETRIEVED, Candidate, Example, Scores
from g2r.errors import ConfigError
from g2r.retrieval import retrieve, with_retrieved
from word_encoder import WordEncoder

TOPICS = ("tea", "rain", "dogs", "chess", "jazz", "bread", "trains", "maths")
EXAMPLES = [
    Example(
        (f"what about {topic} {n}",),
        (
            Candidate(f"{topic} is nice {n}", "human", original=True, scores=Scores(judge=7.0)),
            Candidate(f"never {topic} {n}", "teacher"),
        ),
        split="valid" if n == 2 else "train",
    )
    for topic in TOPICS
    for n in range(3)
]


@pytest.fixture(scope="module")
def bot():
    bank = ResponseBank.from_examples(EXAMPLES, near_duplicates=1.0)
    index = IndexConfig(min_recall_at_1=0, min_recall_at_10=0)
    return Bot.build(WordEncoder(), bank, index=index, config=BotConfig(top_k=4))


def test_training_contexts_get_what_the_bot_would_say(bot):
    found = retrieve(EXAMPLES, bot, top=6)
    for before, after in zip(EXAMPLES, found, strict=True):
        if before.split != "train":
            assert after == before
            continue
        wanted = [c.text for c in bot.candidates(before.context, 6)]
        own = [c.text for c in before.candidates]
        assert after.candidates[:2] == before.candidates
        assert [c.text for c in after.candidates[2:]] == [text for text in wanted if text not in own]
        assert {(c.source, c.original) for c in after.candidates[2:]} == {(RETRIEVED, False)}
        assert after.written == before.candidates
        assert after.originals == before.originals
    new = sum(len(e.candidates) - 2 for e in found)
    assert found.counts == {"contexts": 16, "retrieved": 96, "candidates_already": 96 - new}


def test_a_later_round_takes_the_place_of_an_earlier_one(bot):
    assert list(retrieve(retrieve(EXAMPLES, bot, top=6), bot, top=3)) == list(retrieve(EXAMPLES, bot, top=3))


def test_a_text_found_twice_is_one_candidate():
    found = with_retrieved(EXAMPLES[0], ["a", "b", "a", "never tea 0"])
    assert [c.text for c in found.candidates] == ["tea is nice 0", "never tea 0", "a", "b"]


def test_what_was_retrieved_joins_no_bank(bot):
    found = retrieve(EXAMPLES, bot, top=6)
    assert list(ResponseBank.from_examples(found)) == list(ResponseBank.from_examples(EXAMPLES))


def test_nothing_to_retrieve_is_an_error(bot):
    with pytest.raises(ConfigError, match="0 examples of split 'train' and top 3"):
        retrieve([e for e in EXAMPLES if e.split == "valid"], bot, top=3)
    with pytest.raises(ConfigError, match="top 0"):
        retrieve(EXAMPLES, bot, top=0)
