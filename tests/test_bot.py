import dataclasses
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import g2r.bot
from g2r.bank import BankContext, BankResponse, ResponseBank
from g2r.bot import Bot
from g2r.config import BotConfig, IndexConfig
from g2r.dialogue import content_id
from g2r.duplicates import likeness
from g2r.errors import ArtifactError, ConfigError, InputError
from word_encoder import WordEncoder

TEXTS = [
    "What kind of music do you like?",
    "what kind of music do you like then",
    "I like rainy days and a good book.",
    "Do you have any pets at home?",
    "Dogs are such good company on a walk.",
    "Cats sleep most of the day.",
    "That sounds like a long day at work.",
    "Hello, good to see you.",
]
BOTH = IndexConfig(response_key=1, context_key=1)


def response(text: str, *tags: str) -> BankResponse:
    contexts = (BankContext((f"tell me about {text.split()[-1]}",)),)
    return BankResponse(content_id(text), text, ("human",), contexts, tags=frozenset(tags))


@pytest.fixture
def bot() -> Bot:
    bank = ResponseBank.from_responses(
        response(text, *(["animal"] if "s " in text[:5] else [])) for text in TEXTS
    )
    return Bot.build(WordEncoder(), bank, index=BOTH)


def test_reply_says_the_best_candidate_and_why(bot: Bot) -> None:
    reply = bot.reply(["do you like music"])
    assert "music do you like" in reply.text
    first = reply.candidates[0]
    assert (first.text, first.response_id, first.score) == (reply.text, reply.response_id, reply.score)
    assert first.score == pytest.approx(first.response_score + first.context_score, abs=1e-5)
    assert first.sources == ("human",)
    assert first.contexts[0].turns[0].startswith("tell me about")
    scores = [candidate.score for candidate in reply.candidates]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(TEXTS)
    assert not reply.abstained
    assert set(reply.timings_ms) == {"encode", "search", "rules", "total"}
    assert reply.timings_ms["total"] == pytest.approx(
        sum(reply.timings_ms[phase] for phase in ("encode", "search", "rules")), abs=0.01
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        reply.text = "no"  # type: ignore[misc]


def test_context_key_finds_what_was_written_for_the_context(bot: Bot) -> None:
    keyed = Bot.build(bot.encoder, bot.bank, index=IndexConfig(response_key=0, context_key=1))
    first = keyed.reply(["tell me about book."]).candidates[0]
    assert first.text == "I like rainy days and a good book."
    assert first.context_score == pytest.approx(1, abs=1e-3)
    assert first.response_score is None


def test_nothing_is_said_twice_nor_echoed_near_duplicates_included(bot: Bot) -> None:
    turns = ["do you like music"]
    said: list[str] = []
    while not (reply := bot.reply(turns)).abstained:
        for turn in turns:
            assert likeness(reply.text, turn) < bot.config.repeat_likeness
        said.append(reply.text)
        turns = [*turns, reply.text, "and what else"]
    assert len(said) == len(TEXTS) - 1
    assert bot.reply([TEXTS[5].upper() + "!!"]).text != TEXTS[5]
    assert (reply.text, reply.response_id, reply.score, reply.candidates) == ("", None, None, ())


def test_rules_that_remove_the_whole_top_search_deeper(bot: Bot) -> None:
    small = Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(top_k=1))
    turns = ["music", TEXTS[0], "music", TEXTS[3], "music", TEXTS[2], "what kind of music do you like"]
    expected = bot.reply(turns).text
    assert small.reply(turns, candidates=1).text == expected != ""
    assert [c.text for c in small.candidates(turns, 4)] == [c.text for c in bot.candidates(turns, 4)]


def test_bans_hold_from_the_next_reply_on(bot: Bot, tmp_path: Path) -> None:
    first = bot.reply(["do you like music"])
    assert first.response_id is not None
    bot.bank.ban(first.response_id)
    second = bot.reply(["do you like music"])
    assert second.text != first.text
    bot.save(tmp_path / "bot")
    elsewhere = ResponseBank.load(tmp_path / "bot" / "bank")
    assert second.response_id is not None
    elsewhere.ban(second.response_id)
    assert bot.reply(["do you like music"]).response_id not in {first.response_id, second.response_id}
    elsewhere.unban(first.response_id)
    assert bot.reply(["do you like music"]).text == first.text


def test_tags_filter_the_responses(bot: Bot) -> None:
    assert {c.text for c in bot.reply(["music"], tags=["animal"]).candidates} == {TEXTS[4], TEXTS[5]}
    assert bot.reply(["music"], tags=["animal", "unheard of"]).abstained
    bot.bank.tag(content_id(TEXTS[4]), "unheard of")
    assert bot.reply(["music"], tags=["animal", "unheard of"]).text == TEXTS[4]


def test_it_abstains_under_min_score_and_still_shows_candidates(bot: Bot) -> None:
    score = bot.reply(["do you like music"]).score
    assert score is not None
    shy = Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(min_score=score + 0.001))
    reply = shy.reply(["do you like music"])
    assert (reply.abstained, reply.text, reply.response_id, reply.score) == (True, "", None, score)
    assert reply.candidates
    exact = Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(min_score=score))
    assert not exact.reply(["do you like music"]).abstained


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ([], "no turns"),
        ("hello", "turns are str"),
        (None, "turns are NoneType"),
        ({"turns": []}, "turns are dict"),
        (["hi", 3], "turn 2 is int"),
        (["hi", "  \n\x00"], "blank last turn"),
        (["\ud800"], "blank last turn"),
    ],
)
def test_wrong_turns(bot: Bot, turns: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        bot.reply(turns)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 1"):
        bot.reply(["hi"], candidates=0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=4), st.text(alphabet=string.printable + "é😀ש字", min_size=1))
def test_any_text_is_answered_or_refused(earlier: list[str], last: str) -> None:
    bank = ResponseBank.from_responses(map(response, TEXTS))
    bot = Bot.build(WordEncoder(), bank)
    try:
        reply = bot.reply([*earlier, last])
    except InputError:
        assert not last.strip(string.whitespace + "".join(map(chr, range(32))))
    else:
        assert reply.text in TEXTS


def test_huge_turns(bot: Bot) -> None:
    assert bot.reply(["music " * 10_000]).text
    assert bot.reply(["hello"] * 9_999 + ["music"]).text


def test_batch_replies_are_those_of_single_calls(bot: Bot) -> None:
    conversations = [["music"], ["hi", "hello", "pets"], ["music"]]
    batch = bot.reply_batch(conversations)
    for conversation, reply in zip(conversations, batch, strict=True):
        alone = bot.reply(conversation)
        assert (reply.text, reply.candidates) == (alone.text, alone.candidates)
    assert bot.reply_batch([]) == []


def test_saved_and_loaded_it_replies_the_same(
    bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(g2r.bot, "open_encoder", lambda folder: WordEncoder())
    shy = Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(min_score=-1, top_k=5))
    shy.bank.ban(content_id(TEXTS[0]))
    shy.save(tmp_path / "bot")
    loaded = Bot.load(tmp_path / "bot")
    assert loaded.config == shy.config
    for turns in (["music"], ["hi", "hello", "pets at home"]):
        assert loaded.reply(turns).candidates == shy.reply(turns).candidates
    loaded.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "student" / "words.txt").read_text() == bot.encoder.fingerprint
    loaded = Bot.load(tmp_path / "bot")
    loaded.bank.ban(content_id(TEXTS[3]))
    rebuilt = Bot.build(WordEncoder(), ResponseBank.from_responses(map(response, TEXTS)))
    rebuilt.save(tmp_path / "bot")
    forbidden = {content_id(TEXTS[0]), content_id(TEXTS[1]), content_id(TEXTS[3])}
    assert set(rebuilt.bank.forbidden) == set(Bot.load(tmp_path / "bot").bank.forbidden) == forbidden


def test_folders_that_are_no_bot(bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g2r.bot, "open_encoder", lambda folder: WordEncoder())
    with pytest.raises(InputError, match="no bot in"):
        Bot.load(tmp_path / "nowhere")
    mine = tmp_path / "mine" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    with pytest.raises(ArtifactError, match="no bot"):
        bot.save(mine.parent)
    assert mine.read_text() == "years of work"
    bot.save(tmp_path / "bot")
    (tmp_path / "bot" / "bot.json").write_text('{"top_kk": 3}')
    with pytest.raises(ConfigError, match="did you mean 'top_k'"):
        Bot.load(tmp_path / "bot")


def test_a_reply_tells_the_revision_that_it_was_found_with():
    bank = ResponseBank.from_responses(
        BankResponse(content_id(text), text, ("human",)) for text in ("tea", "rain")
    )

    class Banning(WordEncoder):
        """While it encodes a question, somebody bans."""

        def encode_contexts(self, contexts):
            if contexts[0][-1] == "hi":
                bank.ban(content_id("tea"))
            return super().encode_contexts(contexts)

    bot = Bot.build(Banning(), bank)
    first, second = bot.reply(["hi"]), bot.reply(["hello"])
    assert (first.bank_revision, len(first.candidates)) == (0, 2)
    assert (second.bank_revision, len(second.candidates)) == (1, 1)
