"""Another bot takes the place of the one that answers: what is carried over, what is refused, what is remembered."""

import json
from pathlib import Path

import pytest

import g2r.bot
from bot_server import TOPICS, save_bot, word_bot
from g2r.bank import BankResponse, Change, ResponseBank
from g2r.bank.carrying import handed_over
from g2r.bank.log import append_changes
from g2r.dialogue import content_id
from g2r.errors import ArtifactError, InputError
from g2r.server.live import LiveBot, Place, Question, bans_to_carry, carry
from word_encoder import WordEncoder


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g2r.bot, "open_encoder", lambda folder: WordEncoder())


def id_of(topic: str, source: str = "human") -> str:
    return content_id(f"{topic} is what I think about most, by {source}")


def said_by(live: LiveBot, *turns: str) -> str | None:
    [reply] = live.answer([Question(turns)])
    return reply.response_id


def test_questions_of_all_kinds_are_answered_in_their_order() -> None:
    bot = word_bot()
    live = LiveBot(bot)
    questions = [
        Question(("tea",)),
        Question(("rain",), tags=frozenset({"calm"})),
        Question(("snow",), candidates=2),
        Question(("tea",), without=frozenset({"calm"})),
        Question(("chess", "yes", "bread")),
    ]
    for question, reply in zip(questions, live.answer(questions), strict=True):
        alone = bot.reply(
            question.turns, tags=question.tags, without=question.without, candidates=question.candidates
        )
        assert (reply.text, reply.candidates) == (alone.text, alone.candidates)


def test_additions_are_encoded_before_the_first_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, encoder = save_bot(tmp_path / "home"), WordEncoder()
    monkeypatch.setattr(g2r.bot, "open_encoder", lambda folder: encoder)
    ResponseBank.load(home / "bank").add("arias", contexts=[["let us talk about opera"], ["sing"]])
    live = LiveBot.open(home)
    encoder.calls.clear()
    assert said_by(live, "let us talk about opera") == content_id("arias")
    assert encoder.calls == [1], "the question alone"


def test_a_swap_serves_the_other_bot_with_all_that_was_changed(tmp_path: Path) -> None:
    home, other = save_bot(tmp_path / "home"), save_bot(tmp_path / "other", topics=[*TOPICS, "opera"])
    live = LiveBot.open(home)
    before = live.bot
    before.bank.ban(id_of("tea"), "dull")
    before.bank.tag(id_of("rain"), "wet")
    before.add("opera and nothing else", contexts=[["let us talk about opera"]])
    successor = live.load(str(other))
    before.bank.ban(id_of("snow"), "while the other was loading")
    assert live.bot is before
    assert live.adopt(successor) is before
    assert live.bot.bank.version == ResponseBank.load(other / "bank").version != before.bank.version
    assert said_by(live, "let us talk about opera") == content_id("opera and nothing else")
    assert said_by(live, "let us talk about tea") != id_of("tea")
    for again in (live.bot.bank, ResponseBank.load(other / "bank"), LiveBot.open(home).bot.bank):
        assert set(again.forbidden) == {id_of("tea"), id_of("snow")}
        assert "wet" in again[again.row(id_of("rain"))].tags
    assert said_by(LiveBot.open(home), "let us talk about opera") == content_id("opera and nothing else")


def test_a_bank_is_swapped_alone_and_back(tmp_path: Path) -> None:
    home, other = save_bot(tmp_path / "home"), save_bot(tmp_path / "other", source="teacher")
    live = LiveBot.open(home)
    for path, source in (
        (other / "bank", "teacher"),
        (home / "bank", "human"),
        (other, "teacher"),
        (home, "human"),
    ):
        live.adopt(live.load(str(path)))
        assert said_by(live, "let us talk about tea") == id_of("tea", source)
        assert said_by(LiveBot.open(home), "let us talk about tea") == id_of("tea", source)
        live.bot.bank.ban(id_of("rain", source))
    assert set(live.bot.bank.forbidden) == {id_of("rain"), id_of("rain", "teacher")}


def test_what_cannot_be_served_leaves_the_old_one_answering(tmp_path: Path) -> None:
    home, broken = save_bot(tmp_path / "home"), save_bot(tmp_path / "broken")
    live = LiveBot.open(home)
    (broken / "bank" / "responses.parquet").write_text("nonsense")
    (tmp_path / "empty").mkdir()
    for path in (broken, broken / "bank", tmp_path / "empty", tmp_path / "nowhere", tmp_path / ("x" * 300)):
        with pytest.raises(InputError):
            live.load(str(path))
    foreign = save_bot(tmp_path / "foreign", topics=["opera", "jazz"])
    live.bot.bank.ban(id_of("rain"))
    successor = live.load(str(foreign))
    live.bot.bank.ban(id_of("snow"))
    (home / "swapped.json").mkdir()
    with pytest.raises(ArtifactError):
        live.adopt(successor)
    assert ResponseBank.load(foreign / "bank").log == (), "a swap that fails writes nothing"
    assert live.place == Place(home, home / "bank")
    assert said_by(live, "let us talk about tea") == id_of("tea")


def test_a_record_of_a_swap_that_is_damaged_is_named(tmp_path: Path) -> None:
    home = save_bot(tmp_path / "home")
    for content in ("", "{", "[]", '{"bot": 3, "bank": 4}'):
        (home / "swapped.json").write_text(content)
        with pytest.raises(ArtifactError, match=r"swapped\.json"):
            LiveBot.open(home)
    (home / "swapped.json").write_text(
        json.dumps({"bot": str(tmp_path / "gone"), "bank": str(tmp_path / "gone")})
    )
    with pytest.raises(InputError, match="gone"):
        LiveBot.open(home)


def bank_with(folder: Path, *texts: str, changes: tuple[Change, ...] = ()) -> ResponseBank:
    folder.mkdir()
    bank = ResponseBank.from_responses(BankResponse(content_id(text), text, ("human",)) for text in texts)
    append_changes(folder / "log.jsonl", changes)
    bank.save(folder)
    return bank


def carry_changes(old: ResponseBank, new: ResponseBank) -> None:
    """As a swap does."""
    missing = handed_over(old.log, new.log)
    carry([*missing, *bans_to_carry(missing, new)], new)


def change(action: str, text: str, day: int, **more: str) -> Change:
    return Change(action, content_id(text), at=f"2026-11-{day:02}T00:00:00+00:00", text=text, **more)  # type: ignore[arg-type]


def test_the_newer_decision_holds_and_carrying_twice_adds_nothing(tmp_path: Path) -> None:
    old = bank_with(
        tmp_path / "old", "a b c", "d e f", "g h i",
        changes=(
            change("ban", "a b c", 1), change("unban", "a b c", 3), change("ban", "d e f", 3),
            change("ban", "g h i", 2), change("ban", "not in any bank", 2),
        ),
    )  # fmt: skip
    new = bank_with(
        tmp_path / "new", "a b c", "d e f", "g h i",
        changes=(
            change("ban", "a b c", 2), change("ban", "d e f", 1), change("unban", "d e f", 2),
            change("unban", "g h i", 4),
        ),
    )  # fmt: skip
    carry_changes(old, new)
    assert set(new.forbidden.values()) == {"d e f", "not in any bank"}
    length = len(new.log)
    carry_changes(old, new)
    assert len(new.log) == length
    assert set(ResponseBank.load(tmp_path / "new").forbidden) == set(new.forbidden)


def test_a_ban_survives_that_an_older_one_is_carried_after_it(tmp_path: Path) -> None:
    old = bank_with(
        tmp_path / "old", "a b c", changes=(change("ban", "a b c", 1), change("unban", "a b c", 2))
    )
    new = bank_with(tmp_path / "new", "a b c", changes=(change("ban", "a b c", 3),))
    for _ in range(2):  # as a swap does: while it loads, and when it takes over
        carry_changes(old, new)
        assert set(new.forbidden.values()) == {"a b c"}


def test_a_ban_reaches_near_duplicates_in_the_other_bank(tmp_path: Path) -> None:
    old = bank_with(tmp_path / "old", "I would never say such a terrible thing to you")
    new = bank_with(tmp_path / "new", "i would never say such a terrible thing to you!", "a nice day")
    old.ban(old[0].response_id)
    carry_changes(old, new)
    assert new.banned.tolist() == [response.text != "a nice day" for response in new]


def test_a_carried_addition_does_not_get_past_a_ban_that_stands_in_the_other_bank_alone(
    tmp_path: Path,
) -> None:
    home, other = save_bot(tmp_path / "home"), save_bot(tmp_path / "other")
    live, there = LiveBot.open(home), ResponseBank.load(other / "bank")
    there.add("I would never say such a terrible thing to you")
    there.ban(content_id("I would never say such a terrible thing to you"))
    near, same = (
        "i would never say such a terrible thing to you!",
        "I would never say such a terrible thing to you",
    )
    live.bot.add(near, same, "opera", contexts=[["a terrible thing"]])
    successor = live.load(str(other))
    assert ResponseBank.load(other / "bank").log == there.log, "loading writes nothing"
    live.settle(successor, live.adopt(successor))
    banned = {content_id(near), content_id(same)}
    assert banned <= set(live.bot.bank.forbidden)
    reply = live.bot.reply(["a terrible thing"], candidates=20)
    assert banned.isdisjoint(candidate.response_id for candidate in reply.candidates)
    assert content_id("opera") in {candidate.response_id for candidate in reply.candidates}


def test_near_duplicates_of_what_is_banned_during_a_swap_are_banned_after_it(tmp_path: Path) -> None:
    home = save_bot(tmp_path / "home", source="human")
    other = save_bot(tmp_path / "other", source="human!")
    live = LiveBot.open(home)
    successor = live.load(str(other))
    live.bot.bank.ban(id_of("tea"))
    replaced = live.adopt(successor)
    assert id_of("tea") in live.bot.bank.forbidden
    live.settle(successor, replaced)
    assert id_of("tea", "human!") in live.bot.bank.forbidden
    assert len(live.bot.bank.forbidden) == 2


def test_a_decision_about_a_carried_addition_holds(tmp_path: Path) -> None:
    near, banned = "i would never say such a thing to you!", "I would never say such a thing to you"
    new = bank_with(tmp_path / "new", "d e f", banned, changes=(change("ban", banned, 1),))
    for name, decision in (("undecided", ()), ("decided", (change("keep", near, 3),))):
        old = bank_with(tmp_path / name, "d e f", changes=(change("add", near, 2, sources=("x",)), *decision))
        bans = bans_to_carry(handed_over(old.log, new.log), new)
        assert [ban.text for ban in bans] == ([] if decision else [near])
