"""Responses added to a bot that is talking: found, ruled and traced like all others, whoever added them."""

from pathlib import Path

import pytest

import g2r.bot
from g2r.bank import ADDED, BankContext, BankResponse, ResponseBank
from g2r.bot import Bot
from g2r.config import BotConfig, IndexConfig
from g2r.dialogue import content_id
from g2r.errors import InputError
from g2r.index import FaissIndex, build_bank
from word_encoder import WordEncoder

TEXTS = [
    "I like rainy days.",
    "Dogs are good company.",
    "Cats sleep most of the day.",
    "Hello, good to see you.",
]
BOTH = IndexConfig(response_key=1, context_key=1)


def make_bank() -> ResponseBank:
    return ResponseBank.from_responses(
        BankResponse(content_id(text), text, ("human",), (BankContext((f"about {text}",)),)) for text in TEXTS
    )


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bot:
    monkeypatch.setattr(g2r.bot, "open_encoder", lambda folder: WordEncoder())
    Bot.build(WordEncoder(), make_bank(), index=BOTH).save(tmp_path / "bot")
    return Bot.load(tmp_path / "bot")


def test_an_addition_is_said_from_the_next_reply_on(bot: Bot, tmp_path: Path) -> None:
    before = bot.reply(["what about submarines"])
    (added,) = bot.add("They are damp inside.", contexts=[["what about submarines"]], tags=["navy"], by="ann")
    reply = bot.reply(["what about submarines"])
    assert (reply.text, reply.response_id) == ("They are damp inside.", added.response_id)
    first = reply.candidates[0]
    assert first.context_score == pytest.approx(1, abs=1e-5)
    assert (first.sources, first.tags) == ((ADDED,), {"navy"})
    assert first.contexts == (BankContext(("what about submarines",)),)
    assert (reply.bank_version, reply.bank_revision) == (bot.bank.version, 1)
    assert (before.bank_version, before.bank_revision) == (bot.bank.version, 0)
    assert bot.reply(["they are damp"]).text == "They are damp inside."
    assert bot.reply(["hi", "They are damp inside.", "what about submarines"]).text != "They are damp inside."
    assert Bot.load(tmp_path / "bot").reply(["what about submarines"]).candidates == reply.candidates


def test_what_another_process_adds_bans_and_tags_holds_at_the_next_reply(bot: Bot, tmp_path: Path) -> None:
    elsewhere = ResponseBank.load(tmp_path / "bot" / "bank")
    elsewhere.add("Rivers run to the sea.", contexts=[["tell me of rivers"]])
    elsewhere.add("Dogs are good company.", contexts=[["whom shall i walk with tonight"]])
    assert bot.reply(["tell me of rivers"]).text == "Rivers run to the sea."
    walk = bot.reply(["whom shall i walk with tonight"])
    assert walk.text == "Dogs are good company."
    assert [c.response_id for c in walk.candidates].count(content_id("Dogs are good company.")) == 1
    elsewhere.ban(content_id("Rivers run to the sea."))
    elsewhere.tag(content_id("Dogs are good company."), "animal")
    assert bot.reply(["tell me of rivers"]).text != "Rivers run to the sea."
    assert [c.text for c in bot.reply(["hi"], tags=["animal"]).candidates] == ["Dogs are good company."]
    assert "Dogs are good company." not in [c.text for c in bot.candidates(["hi"], without=["animal"])]
    assert len(bot.candidates(["hi"])) == 4


def test_the_bots_own_exclusions_hold_besides_those_of_a_request(bot: Bot) -> None:
    bot.bank.tag(content_id(TEXTS[0]), "self-description")
    bot.bank.tag(content_id(TEXTS[1]), "loud")
    human = Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(without=("self-description",)))
    assert {c.text for c in human.candidates(["hi"])} == set(TEXTS[1:])
    assert {c.text for c in human.candidates(["hi"], without=["loud"])} == set(TEXTS[2:])
    assert human.reply_batch([["hi"], ["dogs"]], without=["loud"], tags=["loud"])[1].abstained


def test_additions_survive_a_rebuild_of_the_bank_with_their_keys_in_the_index(
    bot: Bot, tmp_path: Path
) -> None:
    bot.add("They are damp inside.", contexts=[["what about submarines"]])
    expected = bot.reply(["what about submarines"])
    build_bank(make_bank(), WordEncoder(), BOTH, tmp_path / "bot" / "bank")
    rebuilt = Bot.load(tmp_path / "bot")
    assert (len(rebuilt.bank.built), dict(rebuilt.bank.fresh), len(rebuilt.index)) == (5, {}, 5)
    reply = rebuilt.reply(["what about submarines"])
    assert reply.text == expected.text
    assert reply.score == pytest.approx(expected.score, abs=2e-3)
    assert (reply.bank_version != expected.bank_version, reply.bank_revision) == (True, 1)


def test_a_saved_bot_keeps_its_additions(bot: Bot, tmp_path: Path) -> None:
    bot.add("They are damp inside.", contexts=[["what about submarines"]])
    bot.save(tmp_path / "copy")
    assert Bot.load(tmp_path / "copy").reply(["what about submarines"]).text == "They are damp inside."
    bot.add("And narrow.")
    assert len(ResponseBank.load(tmp_path / "copy" / "bank")) == 6


def test_a_bot_searched_by_contexts_alone_asks_for_one() -> None:
    bank = make_bank()
    config = IndexConfig(response_key=0, context_key=1)
    bot = Bot(WordEncoder(), bank, FaissIndex.build(bank, WordEncoder(), config))
    with pytest.raises(InputError, match="never be found"):
        bot.add("They are damp inside.")
    assert not bank.log
    bot.add("They are damp inside.", contexts=[["what about submarines"]])
    assert bot.reply(["what about submarines"]).text == "They are damp inside."
