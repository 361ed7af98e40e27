"""`g2r calibrate` and `g2r grow` on a bot of hashed words, from the arguments to what stands in its folder."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from bot_server import TOPICS, save_bot
from g2r.artifacts import read_manifest, write_examples
from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.cli import main
from g2r.confidence import CALIBRATION_FILE, read_calibration
from g2r.dialogue import Context, Example
from g2r.growth import read_proposals
from g2r.misses import Miss, MissLog
from servers import MODEL, toy_server
from word_encoder import WordEncoder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("g2r.bot.open_encoder", lambda path, **options: WordEncoder())
    return save_bot(tmp_path / "bot")


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        status = int(str(exit_.code))
    out, err = capsys.readouterr()
    return status, out, err


def conversations(n: int) -> list[Context]:
    words = random.Random(0).choices([*TOPICS, *(f"matter{i}" for i in range(10))], k=n)
    return [(f"number {i} what about {word}",) for i, word in enumerate(words)]


def rows_of(bot: Bot, contexts: list[Context]) -> list[dict[str, Any]]:
    """The bot's replies, rated 9 where they keep to the topic, 2 elsewhere."""
    rows = []
    for context in contexts:
        text = bot.reply(context).text
        score = 9 if context[-1].split()[-1] == text.split()[0] else 2
        rows.append({"turns": list(context), "text": text, "score": score})
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_calibrate_with_ratings_shows_the_table_and_applies_the_threshold(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    file = write_rows(folder.parent / "ratings.jsonl", rows_of(Bot.load(folder), conversations(300)))
    status, out, err = call(capsys, "calibrate", folder, "--ratings", file, "--max-bad", 0.4)
    assert status == 0, err
    assert "| confidence |" in out
    assert "| bad at most |" in out
    assert "Expected calibration error" in " ".join(out.split())
    assert "--apply" in err
    made = read_calibration(folder / CALIBRATION_FILE)
    assert made is not None
    manifest = read_manifest(folder / CALIBRATION_FILE)
    assert manifest is not None
    assert (manifest.stage, manifest.counts["rated"]) == ("calibrate", 300)
    assert made.origin.bank == ResponseBank.load(folder / "bank").version
    assert not (folder / "calibration.journal").exists()
    assert Bot.load(folder).config.max_bad_replies is None

    again = ("calibrate", folder, "--ratings", file, "--max-bad", 0.4, "--json")
    status, out, _ = call(capsys, *again, "--apply")
    told = json.loads(out)
    assert told["step"]["max_bad"] <= 0.4
    bot = Bot.load(folder)
    assert bot.config.max_bad_replies == 0.4
    replies = [bot.reply(context) for context in conversations(300)]
    assert {r.abstained for r in replies} == {True, False}
    assert all(r.abstained == (r.confidence < told["step"]["confidence"]) for r in replies)

    status, _, err = call(capsys, "calibrate", folder, "--ratings", file, "--max-bad", 0.001)
    assert status == 1
    assert "a share of 0.001 bad replies cannot be reached: the lowest that holds" in err
    assert Bot.load(folder).config.max_bad_replies == 0.4


def test_calibrate_on_held_out_contexts_with_a_recorded_judge(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    contexts = conversations(120)
    examples = folder.parent / "examples.parquet"
    write_examples([Example(c, (), f"dialogue {i}", "valid") for i, c in enumerate(contexts)], examples)
    record = [
        {"turns": row["turns"], "responses": [row["text"]], "scores": [row["score"]]}
        for row in rows_of(Bot.load(folder), contexts)
    ]
    file = write_rows(folder.parent / "record.jsonl", record)
    status, out, err = call(
        capsys, "calibrate", folder, examples, "--teacher", f"recorded:{file}", "--contexts", 100, "--json"
    )
    assert status == 0, err
    assert json.loads(out)["counts"] == {"contexts": 100, "answered": 100, "rated": 100}
    assert json.loads(out)["measured"]["n"] == 50
    for wrong, problem in (
        ((folder,), "either examples"),
        ((folder, examples), "no teacher"),
        ((folder, examples, "--teacher", f"recorded:{file}", "--split", "test"), "of split test"),
    ):
        status, _, err = call(capsys, "calibrate", *wrong)
        assert status == 1
        assert problem in err


def missed(folder: Path, *turns: str) -> None:
    log = MissLog(folder / "misses.jsonl", lost=lambda count, why: pytest.fail(why))
    for turn in turns:
        log.add(Miss((turn,)))
    log.close()


def test_grow_proposes_asks_and_adds_what_a_person_accepts(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    missed(folder, "do you ever go fishing", "what about sailing")
    proposals = folder / "proposals.jsonl"
    with toy_server("--logprobs", "none") as server:
        server.behave(said=["I would love to hear more about it.", "Only when the water is calm."])
        name = f"openai:{MODEL}@{server.base_url}"
        status, out, err = call(capsys, "grow", folder, "--teacher", name, "--responses-per-context", 2)
        assert status == 0, err
        assert "proposals 2" in out
        assert not proposals.with_name("proposals.jsonl.journals").exists()
        monkeypatch.setattr("sys.stdin", io.StringIO("what?\ny\n"))
        status, out, err = call(capsys, "grow", folder, "--review")
        assert (status, "accepted 1, rejected 0, left 1" in out) == (0, True)
        assert "to: do you ever go fishing" in err

        accepted, other = read_proposals(proposals)
        assert (accepted.accepted, other.accepted) == (True, None)
        missed(folder, "do you ever go fishing", "and skiing")
        server.behave(said=["The mountains are far from here."])
        call(capsys, "grow", folder, "--teacher", name, "--responses-per-context", 1)
        assert server.seen()["requests"] == 1
        assert read_proposals(proposals)[:2] == [accepted, other]
        assert [p.text for p in read_proposals(proposals)[2:]] == ["The mountains are far from here."]

    status, out, _ = call(capsys, "grow", folder, "--accept", proposals, "--by", "ann", "--json")
    assert status == 0
    assert json.loads(out)["accepted"]["new"] == 1
    bank = ResponseBank.load(folder / "bank")
    assert [(change.text, change.by) for change in bank.log] == [(accepted.text, "ann")]
    assert Bot.load(folder).reply(["do you ever go fishing"]).text == accepted.text


def test_grow_rates_and_adds_over_a_score_where_that_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    missed(folder, "do you ever go fishing")
    record = [
        {
            "turns": ["do you ever go fishing"],
            "responses": ["On Sundays, yes.", "Hm so what."],
            "scores": [9, 6],
        }
    ]
    file = write_rows(folder.parent / "record.jsonl", record)
    status, out, err = call(
        capsys, "grow", folder, "--teacher", f"recorded:{file}", "--accept-over", 8, "--json"
    )
    assert status == 0, err
    told = json.loads(out)
    assert (told["proposed"]["proposals"], told["accepted"]["new"], told["accepted"]["undecided"]) == (
        2,
        1,
        1,
    )
    assert Bot.load(folder).reply(["do you ever go fishing"]).text == "On Sundays, yes."


def test_grow_says_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]):
    status, _, err = call(capsys, "grow", folder)
    assert (status, "nothing to do" in err) == (1, True)
    status, _, err = call(capsys, "grow", folder, "--teacher", "recorded:none.jsonl")
    assert (status, "no misses in" in err) == (1, True)
