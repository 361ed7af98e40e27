"""Additions in the log, near duplicates of what is banned, and what outlives a rebuild."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest

from g2r import starter
from g2r.bank import ADDED, SELF_DESCRIPTION, BankContext, BankResponse, Change, ResponseBank
from g2r.bank.log import read_log
from g2r.dialogue import Candidate, Example, content_id
from g2r.errors import ArtifactError, InputError

RUDE = "Nobody ever asked for your opinion on this."
RUDER = "Nobody ever asked for your opinion on this!!"
TEXTS = ["Good morning to you.", "The weather is fine.", RUDE, "I like trains."]


def response(text: str, *contexts: str) -> BankResponse:
    return BankResponse(content_id(text), text, ("human",), tuple(BankContext((c,)) for c in contexts))


def make_bank(*texts: str) -> ResponseBank:
    return ResponseBank.from_responses(response(text, f"about {text}") for text in texts or TEXTS)


def contexts_of(bank: ResponseBank, text: str) -> list[tuple[str, ...]]:
    return [context.turns for context in bank[bank.row(content_id(text))].contexts]


def test_added_responses_follow_the_built_ones_and_are_like_them(tmp_path: Path) -> None:
    bank = make_bank()
    bank.save(tmp_path)
    version = bank.version
    first, second = bank.add(
        "  Welcome\nback. ", "Hello again.", contexts=[["hi", " i am back "]], tags=["b", "a"], by="ann"
    )
    assert (first.text, first.sources, first.tags) == ("Welcome back.", (ADDED,), {"a", "b"})
    assert first.contexts == (BankContext(("hi", "i am back")),)
    for seen in (bank, ResponseBank.load(tmp_path)):
        assert (len(seen), len(seen.built), seen.version) == (6, 4, version)
        assert seen[4:] == (first, second)
        assert list(seen.fresh) == [4, 5]
        assert seen.texts[4:] == ["Welcome back.", "Hello again."]
        assert [seen.row(seen.response_id(row)) for row in range(6)] == list(range(6))
        assert seen[-1].text == seen.text(5) == "Hello again."
        seen.ban(first.response_id)
        seen.tag(second.response_id, "late")
        assert seen.banned.tolist() == [False] * 4 + [True, False]
        assert seen.allowed(["late"]).tolist() == [False] * 5 + [True]
        seen.unban(first.response_id)
    assert [(c.action, c.by) for c in bank.log][:2] == [("add", "ann"), ("add", "ann")]


def test_adding_what_is_there_gives_it_further_contexts_and_tags(tmp_path: Path) -> None:
    bank = make_bank()
    bank.save(tmp_path)
    row = bank.row(content_id("I like trains."))
    bank.tag(content_id("I like trains."), "old")
    (same,) = bank.add("I like trains.", contexts=[["about I like trains."], ["planes?"]], tags=["new"])
    assert same.sources == (ADDED, "human")
    assert contexts_of(bank, "I like trains.") == [("about I like trains.",), ("planes?",)]
    assert (len(bank), list(bank.fresh), same.tags) == (4, [row], {"old", "new"})
    revision = bank.revision
    bank.add("I like trains.", contexts=[["planes?"]], tags=["old"])
    assert bank.revision == revision
    assert bank.fresh is bank.fresh
    before = bank.fresh
    bank.ban(content_id("Good morning to you."))
    assert bank.fresh is before


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (" \n", {}, "expected text to say"),
        ("ok", {"contexts": [["a", " "]]}, "blank last turn"),
        ("ok", {"contexts": ["one text"]}, "turns are str"),
        ("ok", {"contexts": [[]]}, "no turns"),
        ("ok", {"tags": ["a,b"]}, "without commas"),
        ("ok", {"tags": [" "]}, "without commas"),
        ("ok", {"tags": "kids"}, "expected a list: "),
        (RUDER, {}, "near duplicate of the banned response"),
        (RUDE, {}, "near duplicate of the banned response"),
    ],
)
def test_wrong_additions_leave_no_line(
    tmp_path: Path, text: str, options: dict[str, list[str]], says: str
) -> None:
    bank = make_bank()
    bank.save(tmp_path)
    bank.ban(content_id(RUDE))
    log = (tmp_path / "log.jsonl").read_bytes()
    with pytest.raises(InputError, match=says):
        bank.add("first and fine", text, **options)
    assert (tmp_path / "log.jsonl").read_bytes() == log
    assert len(bank) == 4


def test_a_batch_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    bank = make_bank()
    bank.save(tmp_path)
    with pytest.raises(InputError, match="no response"):
        bank.record([Change("ban", content_id(RUDE)), Change("ban", "0" * 16)])
    assert not bank.log
    (tmp_path / "log.jsonl").unlink()
    tmp_path.rename(tmp_path.with_name("gone"))
    with pytest.raises(ArtifactError, match="the change was not made"):
        bank.ban(content_id(RUDE))
    assert not bank.banned.any()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_write_that_fails_in_its_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    import resource

    bank = make_bank()
    bank.save(tmp_path)
    bank.ban(content_id(TEXTS[0]))
    log = tmp_path / "log.jsonl"
    before = log.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 300, hard))
    try:
        with pytest.raises(ArtifactError, match="the change was not made"):
            bank.add("fits", "does not fit", contexts=[["long " * 100]])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.read_bytes() == before
    assert len(bank) == 4
    bank.add("fits", contexts=[["long " * 100]])
    assert len(ResponseBank.load(tmp_path)) == 5


def test_a_rebuild_takes_additions_among_its_rows_and_replaying_them_changes_nothing(tmp_path: Path) -> None:
    bank = make_bank()
    bank.save(tmp_path)
    bank.add("Welcome back.", contexts=[["hi again"]], tags=["warm"])
    bank.add("I like trains.", contexts=[["planes?"]])
    bank.untag(content_id("Welcome back."), "warm")
    bank.ban(content_id("I like trains."))
    rebuilt = make_bank(*TEXTS, "One more.").continuing(read_log(tmp_path))
    assert (len(rebuilt.built), rebuilt.counts["additions"]) == (6, 2)
    rebuilt.write(tmp_path, earlier=read_log(tmp_path))
    loaded = ResponseBank.load(tmp_path)
    assert (len(loaded), len(loaded.built), dict(loaded.fresh)) == (6, 6, {})
    assert loaded.version == rebuilt.version != make_bank(*TEXTS, "One more.").version
    assert contexts_of(loaded, "I like trains.") == [("about I like trains.",), ("planes?",)]
    welcome = loaded[loaded.row(content_id("Welcome back."))]
    assert (welcome.sources, welcome.tags) == ((ADDED,), frozenset())
    assert loaded.banned.sum() == 1
    assert loaded.log == bank.log
    again = make_bank().continuing(read_log(tmp_path))
    assert [r.text for r in again if r.sources == (ADDED,)] == ["Welcome back."]


def test_a_rebuild_does_not_bring_back_near_duplicates_of_what_was_banned(tmp_path: Path) -> None:
    make_bank().save(tmp_path)
    bank = ResponseBank.load(tmp_path)
    bank.ban(content_id(RUDE), "rude")
    rebuilt = make_bank("Good morning to you.", RUDER).continuing(read_log(tmp_path))
    assert rebuilt.counts["near duplicates of banned"] == 1
    rebuilt.write(tmp_path, earlier=read_log(tmp_path))
    loaded = ResponseBank.load(tmp_path)
    assert [r.text for r in loaded if loaded.banned[loaded.row(r.response_id)]] == [RUDER]
    assert loaded.log[-1].reason == f"near duplicate of banned {content_id(RUDE)}"
    third = RUDER.replace("Nobody", "nobody")
    assert ResponseBank.load(tmp_path).forbidden == {content_id(RUDE): RUDE, content_id(RUDER): RUDER}
    chained = make_bank(third, "Good morning to you.").continuing(read_log(tmp_path))
    assert np.flatnonzero(chained.banned).tolist() == [chained.row(content_id(third))]
    loaded.unban(content_id(RUDER), "fine after all")
    assert not make_bank(RUDER).continuing(read_log(tmp_path)).banned.any()


def test_bans_made_while_a_bank_is_rebuilt_reach_its_near_duplicates_too(tmp_path: Path) -> None:
    make_bank().save(tmp_path)
    rebuilt = make_bank("Good morning to you.", RUDER).continuing(read_log(tmp_path))
    ResponseBank.load(tmp_path).ban(content_id(RUDE))
    new = tmp_path / "new"
    new.mkdir()
    rebuilt.write(new, earlier=read_log(tmp_path))
    assert ResponseBank.load(new).banned.sum() == 1


@pytest.mark.parametrize("seed", range(5))
def test_any_course_of_changes_means_the_same_live_reloaded_and_rebuilt(tmp_path: Path, seed: int) -> None:
    """Against a model of four dictionaries."""
    draw = random.Random(seed)
    pool = [
        f"{draw.randbytes(4).hex()} {draw.randbytes(4).hex()} {draw.randbytes(4).hex()}" for _ in range(20)
    ]
    bank = make_bank(*pool[:8])
    bank.save(tmp_path)
    contexts = {text: [(f"about {text}",)] for text in pool[:8]}
    tags: dict[str, set[str]] = {text: set() for text in pool}
    banned: set[str] = set()
    for _ in range(120):
        text, other = draw.choice(pool), draw.choice("abc")
        action = draw.choice(["add", "ban", "unban", "tag", "untag"])
        if action == "add":
            if text in banned:
                continue
            bank.add(text, contexts=[[other]], tags=[other])
            contexts.setdefault(text, [])
            contexts[text] += [(other,)] if (other,) not in contexts[text] else []
            tags[text] |= {other}
        elif text in contexts:
            arguments = [other] if action in ("tag", "untag") else []
            getattr(bank, action)(content_id(text), *arguments)
            match action:
                case "ban" | "unban":
                    (banned.add if action == "ban" else banned.discard)(text)
                case "tag":
                    tags[text] |= {other}
                case "untag":
                    tags[text] -= {other}
    rebuilt = make_bank(*pool[:8]).continuing(read_log(tmp_path))
    (tmp_path / "new").mkdir()
    rebuilt.write(tmp_path / "new", earlier=read_log(tmp_path))
    for seen in (bank, ResponseBank.load(tmp_path), rebuilt, ResponseBank.load(tmp_path / "new")):
        assert {r.text: [c.turns for c in r.contexts] for r in seen} == contexts
        assert {r.text: set(r.tags) for r in seen} == {text: tags[text] for text in contexts}
        assert (
            {seen.text(row) for row in np.flatnonzero(seen.banned)} == banned == set(seen.forbidden.values())
        )
        assert {seen.text(row) for row in np.flatnonzero(seen.allowed(["a"], without=["b"]))} == {
            text for text in contexts if text not in banned and "a" in tags[text] and "b" not in tags[text]
        }


def test_short_replies_that_differ_in_a_word_are_no_near_duplicates() -> None:
    bank = make_bank("Yes, I do.", "No, I don't.", "Yes, you do.")
    bank.ban(content_id("No, I don't."))
    assert not make_bank("Yes, I do.", "Yes, you do.", "No, I won't.").continuing(bank.log).banned.any()


def test_masks_are_shared_until_the_next_change_and_cannot_be_altered() -> None:
    bank = make_bank()
    trains, weather = content_id("I like trains."), content_id("The weather is fine.")
    bank.tag(trains, "pirate", "loud")
    bank.tag(weather, "pirate")
    allowed = bank.allowed(["pirate"], without=["loud"])
    assert np.flatnonzero(allowed).tolist() == [bank.row(weather)]
    assert bank.allowed(("pirate",), without={"loud"}) is allowed
    with pytest.raises(ValueError, match="read-only"):
        allowed[0] = True
    bank.untag(trains, "loud")
    assert bank.allowed(["pirate"], without=["loud"]).sum() == 2
    assert bank.allowed(without=["pirate"]).sum() == 2
    assert bank.allowed(without=["unheard of"]).all()
    with pytest.raises(InputError, match=r"expected a list: \['pirate'\]"):
        bank.allowed("pirate")
    for number in range(200):
        bank.allowed([str(number)])
    assert bank.allowed(["pirate"]).sum() == 2


def test_what_the_starter_says_of_the_bot_is_tagged() -> None:
    about = next(
        text
        for row in starter.corpus()["plain"]
        for text in row["replies"]
        if content_id(text) in starter.self_descriptions()
    )
    candidates = (Candidate(about, "human"), Candidate("Trains are fast.", "human"))
    bank = ResponseBank.from_examples([Example(("so?",), candidates)])
    assert {r.text: set(r.tags) for r in bank} == {about: {SELF_DESCRIPTION}, "Trains are fast.": set()}
    assert [r.text for r in bank if bank.allowed(without=[SELF_DESCRIPTION])[bank.row(r.response_id)]] == [
        "Trains are fast."
    ]
