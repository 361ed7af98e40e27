"""The command line as a person meets it: exit codes, one-line errors, JSON for machines."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from g2r.artifacts import read_examples
from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.cli import main
from g2r.dialogue import Candidate, Example
from word_encoder import WordEncoder


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command line; returns exit status, stdout and stderr."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(
            "sys.stdin",
            io.TextIOWrapper(io.BytesIO(stdin if isinstance(stdin, bytes) else stdin.encode()), "utf-8"),
        )
        monkeypatch.setattr("g2r.cli.base.errors.width", 200, raising=False)
        status = 0
        try:
            main([str(a) for a in arguments])
        except SystemExit as exit_:
            status = exit_.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def bot(monkeypatch):
    examples = [
        Example(
            ("do you like tea",),
            (Candidate("yes tea is lovely", "human", True), Candidate("I prefer tea with milk", "teacher")),
        ),
        Example(("what about dogs",), (Candidate("dogs are loyal friends", "human", True),)),
        Example(("is it raining",), (Candidate("rain keeps falling here", "human", True),)),
    ]
    made = Bot.build(WordEncoder(), ResponseBank.from_examples(examples))
    monkeypatch.setattr(Bot, "load", classmethod(lambda cls, path, **options: made))
    return made


def one_line(err):
    assert err.startswith("g2r: ")
    assert err.count("\n") == 1
    return err


def test_an_unknown_option_names_the_nearest_one(call):
    status, _, err = call("train", "x.parquet", "-o", "y", "--lerning-rate", "1")
    assert status == 2
    assert "--learning-rate" in one_line(err)


def test_a_value_out_of_range_names_the_option(call):
    status, _, err = call("train", "x.parquet", "-o", "y", "--alpha", "3")
    assert status == 1
    assert "alpha" in one_line(err)


def test_a_value_that_is_none_of_the_choices_is_told_with_them(call):
    status, _, err = call("read", "x", "-o", "y", "--bot", "nobody")
    assert status == 2
    assert (
        one_line(err) == "g2r: Invalid value for '--bot': 'nobody' is not one of 'any', 'first', 'second'.\n"
    )


def test_a_teacher_without_an_address_is_refused_before_it_is_asked(call):
    status, _, err = call("generate", "x", "-o", "y", "--teacher", "openai:big@localhost")
    assert status == 1
    assert "openai:big@localhost: base_url: got 'localhost', expected an address" in one_line(err)


def test_a_bench_leaves_alone_what_it_did_not_write(call, tmp_path):
    (tmp_path / "thesis").write_text("mine")
    status, _, err = call("bench", tmp_path / "run", "-o", tmp_path)
    assert status == 1
    assert "no latency.md there" in one_line(err)
    assert (tmp_path / "thesis").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("read", "missing.jsonl", "-o", "out.parquet"), "missing.jsonl"),
        (("generate", "missing.parquet", "-o", "out", "--teacher", "recorded:chitchat"), "missing.parquet"),
        (("generate", "missing.parquet", "-o", "out"), "no teacher"),
        (("score", "missing.parquet", "-o", "out", "--teacher", "recorded:chitchat"), "missing.parquet"),
        (("train", "missing.parquet", "-o", "out"), "missing.parquet"),
        (("index", "missing.parquet", "--student", "none", "-o", "out"), "missing.parquet"),
        (("run", "missing.yaml"), "missing.yaml"),
        (("chat", "nowhere"), "nowhere"),
        (("info", "nowhere"), "nowhere"),
    ],
)
def test_what_is_missing_is_named_in_one_line(call, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(*arguments)
    assert status == 1
    assert out == ""
    assert message in one_line(err)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_line_is_named_by_file_line_and_field(call, tmp_path):
    (tmp_path / "d.jsonl").write_text('{"turns": ["hi", "hello"]}\n{"turns": ["hi", 3]}\n')
    (tmp_path / "out.parquet").write_text("PAR1 before")
    status, _, err = call("read", tmp_path / "d.jsonl", "-o", tmp_path / "out.parquet")
    assert status == 1
    assert "d.jsonl" in err
    assert "2" in err
    assert "turns" in one_line(err)
    assert (tmp_path / "out.parquet").read_text() == "PAR1 before"


def test_reading_standard_input_and_options_from_a_run_file(call, tmp_path):
    (tmp_path / "run.yaml").write_text("data: {history: 1, valid_fraction: 0, test_fraction: 0}\n")
    status, out, _ = call(
        "read", "-", "-o", tmp_path / "x.parquet", "--config", tmp_path / "run.yaml", "--json",
        stdin='{"turns": ["hi there", "hello you", "how are you"]}\n',
    )  # fmt: skip
    assert status == 0
    assert json.loads(out)["counts"]["examples"] == 2
    status, out, _ = call("info", tmp_path / "x.parquet")
    assert json.loads(out)[str(tmp_path / "x.parquet")]["config"]["history"] == 1


def test_standard_input_is_read_each_time(call, tmp_path):
    for word in ("tea", "rain"):
        status, out, _ = call(
            "read", "-", "-o", tmp_path / "x.parquet", "--json", stdin=f"{word}\nyes {word}\n"
        )
        assert status == 0
        assert not json.loads(out)["skipped"]
        assert read_examples(tmp_path / "x.parquet")[0].context == (word,)


@pytest.mark.parametrize("output", [".", "folder"])
def test_an_output_that_is_a_folder_is_refused(call, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis").write_text("mine")
    (tmp_path / "x").write_text("")
    for arguments in (("read", "x"), ("generate", "x", "--teacher", "recorded:x"), ("train", "x")):
        status, _, err = call(*arguments, "-o", output)
        assert status == 1
        assert "choose" in one_line(err)
    assert (tmp_path / "folder" / "thesis").read_text() == "mine"


def test_reply_prints_text_or_one_json_object(call, bot):
    status, out, _ = call("reply", stdin='["do you like tea"]')
    assert status == 0
    assert out.strip() in {r.text for r in bot.bank}
    status, out, _ = call("reply", "--json", stdin='["do you like tea"]')
    answer = json.loads(out)
    assert {"text", "response_id", "score", "candidates", "timings_ms"} <= set(answer)
    assert answer["candidates"][0]["text"] == answer["text"]


@pytest.mark.parametrize(
    "stdin", ["", "hi", "[]", '{"a": 1}', '["hi", 3]', '[" "]', "[[]]", "[" * 100_000, b'["\xff"]']
)
def test_reply_to_no_context_is_one_clear_line(call, bot, stdin):
    status, out, err = call("reply", stdin=stdin)
    assert status == 1
    assert out == ""
    one_line(err)


@pytest.mark.parametrize(
    "command",
    [
        "read x.txt", "generate x --teacher y", "score x --teacher y", "retrieve x", "train x", "run x.yaml",
        "index x --student y", "evaluate x", "bench x", "grow x --teacher y", "judge train x", "judge export x",
        "rate x --rater me", "quickstart",
    ],
)  # fmt: skip
def test_no_artifact_goes_to_standard_output(call, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.txt").write_text("hi\nhello\n")
    status, out, err = call(*command.split(), "-o", "-")
    assert (status, out) == (1, "")
    assert "-o -" in one_line(err)
    assert [file.name for file in tmp_path.iterdir()] == ["x.txt"]


def test_a_format_named_for_what_is_read(call, tmp_path):
    (tmp_path / "x.txt").write_text('{"turns": ["a", "b"]}\nyes\n')
    status, _, err = call("read", tmp_path / "x.txt", "-o", tmp_path / "x.parquet")
    assert status == 1
    assert "no valid JSON" in one_line(err)
    assert call("read", tmp_path / "x.txt", "-o", tmp_path / "x.parquet", "--format", "text")[0] == 0
    assert read_examples(tmp_path / "x.parquet")[0].candidates[0].text == "yes"


def test_no_reply_is_said_and_has_a_status_of_its_own(call, bot):
    bot.bank.tag(bot.bank[0].response_id, "warm")
    status, out, err = call("reply", "--tags", "warm,nosuch", stdin='["do you like tea"]')
    assert (status, out) == (3, "")
    assert "no response that may be said has the tag 'nosuch'" in one_line(err)
    status, out, err = call("reply", "--tags", "warm", "--json", stdin=json.dumps([bot.bank[0].text]))
    assert (status, json.loads(out)["abstained"]) == (3, True)
    assert "the rules leave no candidate" in one_line(err)
    bot.config = bot.config.model_copy(update={"min_score": 1000.0})
    status, out, err = call("reply", stdin='["do you like tea"]')
    assert (status, out) == (3, "")
    assert "not sure enough" in one_line(err)


def test_bytes_that_are_no_text_are_told_and_the_rest_is_heard(call, bot):
    status, out, err = call("reply", stdin=b'["do you",\n "like \xff tea"]')
    assert (status, out) == (1, "")
    assert "standard input, line 2: byte 8 is not UTF-8" in one_line(err)
    status, out, _ = call("chat", stdin=b"do you \xff like tea\ndo you like tea\n")
    said = out.splitlines()
    assert said[0].startswith("(this line: byte 8 is not UTF-8")
    assert said[1:] == [bot.reply(["do you like tea"]).text]


def run_apart(*arguments, code="from g2r.cli import main; main()", **options):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        **options,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_named(unbuffered):
    with Path("/dev/full").open("w") as full:
        env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        ended = run_apart("bank", "--help", stdout=full, env=env)
    assert (ended.returncode, ended.stderr) == (1, "g2r: standard output: No space left on device\n")


def test_a_hub_that_is_out_of_reach_is_one_clear_line(tmp_path):
    """The library's retries wait half a minute; without the waits they are as many, and as loud."""
    pytest.importorskip("datasets")
    quick = "import time; time.sleep = lambda seconds: None; from g2r.cli import main; main()"
    env = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    ended = run_apart(
        "read", "hf:nobody/nothing", "-o", tmp_path / "x", code=quick, stdout=subprocess.DEVNULL, env=env
    )
    assert ended.returncode == 1
    assert "cannot load hf:nobody/nothing" in one_line(ended.stderr)


def test_a_start_that_would_be_ignored_is_refused(call, tmp_path):
    (tmp_path / "run.yaml").write_text("data: {}\ntrain: {init: human}\ncompare: {human: {init: ''}}\n")
    for options in (("--config", tmp_path / "run.yaml"), ("--init", "human")):
        status, _, err = call("train", "x.parquet", "-o", tmp_path / "out", *options)
        assert status == 1
        assert "--base" in one_line(err)


def test_a_switch_can_be_turned_off(call):
    status, out, _ = call("export", "--help")
    assert status == 0
    assert "--no-int8" in out


def test_a_negative_seed_is_one_clear_line(call, tmp_path):
    (tmp_path / "run.yaml").write_text("data: {sources: [starter]}\n")
    status, _, err = call("run", tmp_path / "run.yaml", "-o", tmp_path / "out", "--seed", "-1")
    assert status == 1
    assert "--seed" in one_line(err)
    assert not (tmp_path / "out").exists()


def test_chat_bans_and_takes_back(call, bot):
    first = bot.reply(["do you like tea"])
    lines = ["do you like tea", "/top", "/ban", "/undo", "/nonsense", "/ban x", "/quit"]
    status, out, _ = call("chat", stdin="\n".join(lines) + "\n")
    assert status == 0
    said = out.splitlines()
    assert said[0] == first.text
    assert said[1].startswith("1. ")
    assert first.response_id in said[1]
    assert f"(banned {first.response_id})" in out
    assert f"(allowed again {first.response_id})" in out
    assert "/undo" in out
    assert "'x' is no number" in out
    assert not bot.bank.banned.any()


def test_chat_never_says_a_thing_twice(call, bot):
    _, out, _ = call("chat", stdin="do you like tea\n" * 4)
    said = [line for line in out.splitlines() if line != "(nothing fitting to say)"]
    assert len(said) == len(set(said)) > 1
