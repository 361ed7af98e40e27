"""g2r bank as a person and a script meet it: real banks on disk, real files, no server."""

import csv
import io
import json
from pathlib import Path

import pytest

from g2r.artifacts import Manifest, write_manifest
from g2r.bank import BankContext, BankResponse, ResponseBank
from g2r.cli import main
from g2r.dialogue import content_id

HELLO, TRAINS, RUDE = "Hello, good to see you.", "I like trains.", "Nobody asked for your opinion on this."
MAIL = "Write to me@example.org."


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of a run with a bank of four."""
    ResponseBank.from_responses(
        BankResponse(content_id(text), text, (source,), (BankContext((f"about {text}",)),))
        for text, source in ((HELLO, "human"), (TRAINS, "human"), (RUDE, "big-model"), (MAIL, "big-model"))
    ).save(tmp_path / "bank")
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run `g2r bank`; returns exit status, stdout and stderr."""

    def bank(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
        monkeypatch.setattr("g2r.cli.base.errors.width", 200, raising=False)
        status = 0
        try:
            main(["bank", *map(str, arguments)])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        return (status, *capsys.readouterr())

    return bank


def ids(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()]


def test_list_filters_and_counts(call, run):
    call("ban", content_id(RUDE), "--bot", run)
    call("tag", content_id(HELLO), "--tags", "warm,short", "--bot", run)
    call("add", "Planes are fast.", "--bot", run)
    status, out, err = call("list", run)
    assert (status, len(ids(out))) == (0, 5)
    assert "5 of 5 matching among 5 responses" in err
    for options, texts in (
        (["--tags", "warm"], {HELLO}),
        (["--without", "warm", "--not-banned"], {TRAINS, MAIL, "Planes are fast."}),
        (["--banned"], {RUDE}),
        (["--source", "human"], {HELLO, TRAINS}),
        (["--source", "human,added"], {HELLO, TRAINS, "Planes are fast."}),
        (["--added"], {"Planes are fast."}),
        (["--contains", "TRAINS"], {TRAINS}),
        (["--tags", "warm", "--banned"], set()),
    ):
        status, out, _ = call("list", run / "bank", *options, "--json")
        answer = json.loads(out)
        assert {r["text"] for r in answer["responses"]} == texts
        assert (status, answer["matching"], answer["of"]) == (0, len(texts), 5)
    assert len(ids(call("list", run, "--limit", 2)[1])) == 2


def test_responses_are_named_by_id_beginning_or_text(call, run):
    trains = content_id(TRAINS)
    for name in (trains, trains[:6], trains[:6].upper(), TRAINS, "i like TRAINS!"):
        status, out, _ = call("show", name, "--bot", run, "--json")
        assert (status, json.loads(out)["response_id"]) == (0, trains)
    status, out, err = call("show", "I like train", "--bot", run)
    assert (status, out) == (1, "")
    assert "no response 'I like train' among the 4" in err
    assert f"nearest: {trains} ('I like trains.')" in err
    assert err.count("\n") == 1
    call("add", "I like trains!", "--bot", run)
    status, _, err = call("ban", "I like trains", "--bot", run)
    assert status == 1
    assert "means 2 responses" in err
    assert trains in err
    assert content_id("I like trains!") in err


def test_show_tells_where_it_comes_from_and_what_was_done(call, run):
    call("ban", RUDE, "--bot", run, "--reason", "rude", "--by", "ann")
    status, out, _ = call("show", RUDE, "--bot", run)
    assert status == 0
    assert "sources: big-model" in out
    assert f"context: about {RUDE}" in out
    assert "banned: True" in out
    assert '"by": "ann"' in out
    shown = json.loads(call("show", RUDE, "--bot", run, "--json")[1])
    assert shown["contexts"] == [[f"about {RUDE}"]]
    assert [(c["action"], c["reason"]) for c in shown["changes"]] == [("ban", "rude")]
    assert shown["bank_version"] == ResponseBank.load(run / "bank").version


def test_changes_are_made_to_all_named_or_to_none(call, run):
    status, out, _ = call("ban", HELLO, TRAINS, "--bot", run, "--json")
    assert (status, [r["banned"] for r in json.loads(out)["responses"]]) == (0, [True, True])
    log = (run / "bank" / "log.jsonl").read_bytes()
    status, out, _ = call("unban", HELLO, "nothing like it", "--bot", run)
    assert (status, out) == (1, "")
    assert (run / "bank" / "log.jsonl").read_bytes() == log
    assert call("unban", HELLO, TRAINS, "--bot", run)[0] == 0
    assert not ResponseBank.load(run / "bank").banned.any()
    assert call("tag", HELLO, "--tags", "a,b", "--bot", run)[0] == 0
    status, out, _ = call("untag", HELLO, "--tags", "a", "--bot", run)
    assert out.endswith("[human, b]\n")
    assert call("tag", HELLO, "--tags", " , ", "--bot", run)[0] == 1


def test_add_takes_contexts_as_a_turn_or_a_list_of_turns(call, run):
    status, out, _ = call(
        "add", "Planes are fast.", "--context", "what of planes", "--context", '["hi", "and planes?"]',
        "--tags", "air", "--source", "editor", "--bot", run, "--json",
    )  # fmt: skip
    assert status == 0
    (added,) = json.loads(out)["responses"]
    assert added["contexts"] == [["what of planes"], ["hi", "and planes?"]]
    assert (added["sources"], added["tags"]) == (["editor"], ["air"])
    for wrong in ("[1]", '["a", ""]', "[", " "):
        status, _, err = call("add", "Never.", "--context", wrong, "--bot", run)
        assert status == 1
        assert err.count("\n") == 1
    call("ban", RUDE, "--bot", run)
    status, _, err = call("add", RUDE.upper(), "--bot", run)
    assert status == 1
    assert "near duplicate of the banned response" in err
    assert len(ResponseBank.load(run / "bank")) == 5


def test_add_refuses_what_nothing_would_find(call, run):
    (run / "bank" / "index").mkdir()
    write_manifest(run / "bank" / "index", Manifest("index", {"response_key": 0.0, "context_key": 1.0}, {}))
    status, _, err = call("add", "Planes are fast.", "--bot", run)
    assert status == 1
    assert "--context" in err
    assert call("add", "Planes are fast.", "--context", "planes?", "--bot", run)[0] == 0
    write_manifest(run / "bank" / "index", Manifest("index", {"response_key": 1.0, "context_key": 0.0}, {}))
    status, _, err = call("add", "Ships are slow.", "--context", "ships?", "--bot", run)
    assert (status, "count once it is built with context keys" in err) == (0, True)
    assert call("add", "Cars are loud.", "--bot", run)[2] == ""


def test_an_export_imported_elsewhere_is_the_same(call, run, tmp_path_factory):
    call("tag", HELLO, "--tags", "warm", "--bot", run)
    call("ban", RUDE, "--bot", run)
    file = run / "all.jsonl"
    status, out, err = call("export", run, "-o", file)
    assert (status, out) == (0, "")
    assert "4 responses" in err
    other = tmp_path_factory.mktemp("other")
    ResponseBank.from_responses([BankResponse("0" * 16, "First.", ("x",))]).save(other)
    status, out, _ = call("import", file, "--bot", other, "--json")
    assert (status, json.loads(out)["new"]) == (0, 4)
    again = json.loads(call("import", file, "--bot", other, "--json")[1])
    assert (again["new"], again["near duplicates of banned"]) == (0, 1)
    assert again["changes"] == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    there = json.loads(call("list", other, "--limit", 0, "--json")[1])["responses"]
    key = ["text", "sources", "contexts", "tags", "banned"]
    here = sorted([[line[k] for k in key] for line in lines])
    assert sorted([[r[k] for k in key] for r in there if r["text"] != "First."]) == here


@pytest.mark.parametrize("name", ["all.jsonl", "all.csv"])
def test_an_export_takes_the_place_of_an_earlier_one_alone(call, run, name):
    file = run / name
    assert [call("export", run, "-o", file)[0] for _ in range(2)] == [0, 0]
    exported = file.read_bytes()
    file.write_text("my notes\n")
    status, out, err = call("export", run, "-o", file)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"{file} holds something that g2r did not write" in err
    assert file.read_text() == "my notes\n"
    assert call("export", run, "-o", file, "--force")[0] == 0
    assert file.read_bytes() == exported
    file.write_bytes(b"")
    assert call("export", run, "-o", file)[0] == 0


def test_what_a_ban_does_not_change_is_said(call, run):
    assert call("ban", HELLO, "--bot", run)[2] == ""
    status, out, err = call("ban", HELLO, RUDE, "--bot", run)
    assert (status, len(ids(out))) == (0, 2)
    assert err == f"note: {content_id(HELLO)} is banned already\n"
    assert call("unban", HELLO, "--bot", run)[2] == ""
    status, _, err = call("unban", HELLO, "--bot", run)
    assert (status, err) == (0, f"note: {content_id(HELLO)} is not banned\n")


def test_export_as_csv_to_standard_output(call, run):
    status, out, _ = call("export", run, "--format", "csv", "--source", "human")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (status, {row["text"] for row in rows}) == (0, {HELLO, TRAINS})
    assert json.loads(rows[0]["contexts"]) == [[f"about {rows[0]['text']}"]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": ""}', "line 2, field text"),
        ('{"contexts": []}', "line 2, field text"),
        ('{"text": "ok", "contexts": ["turn"]}', "line 2, field contexts"),
        ('{"text": "ok", "contexts": [[" "]]}', "line 2, field contexts"),
        ('{"text": "ok", "tags": "a"}', "line 2, field tags"),
        ("nonsense", "line 2"),
    ],
)
def test_an_import_with_a_wrong_line_changes_nothing(call, run, line, says):
    status, out, err = call("import", "-", "--bot", run, stdin=f'{{"text": "Fine."}}\n{line}\n')
    assert (status, out) == (1, "")
    assert says in err
    assert len(ResponseBank.load(run / "bank")) == 4


def test_log_tells_what_was_done_last(call, run):
    for text in (HELLO, TRAINS):
        call("ban", text, "--bot", run, "--by", "ann", "--reason", "dull")
    call("tag", HELLO, "--tags", "warm", "--bot", run)
    status, out, _ = call("log", run)
    assert (status, len(out.splitlines())) == (0, 3)
    assert HELLO in out.splitlines()[2]
    assert "[warm" in out.splitlines()[2]
    assert "by ann; dull" in out.splitlines()[0]
    answer = json.loads(call("log", run, "--action", "ban", "--limit", 1, "--json")[1])
    assert (answer["matching"], [c["text"] for c in answer["changes"]]) == (2, [TRAINS])
    assert len(call("log", run, "--response", HELLO)[1].splitlines()) == 2


def test_vet_writes_flags_and_review_goes_through_them_once(call, run):
    status, out, _ = call("vet", run, "--classifier", "words,personal", "--json")
    assert (status, json.loads(out)) == (0, {"responses": 4, "flagged": 1, "flags": {"email": 1}})
    call("add", "Mail you@example.org, go die.", "Mail us@example.org", "--bot", run)
    assert "3 of 6 responses flagged" in call("vet", run)[1]
    status, out, err = call("review", run, "--json", stdin="what?\nt\nskip\nk\nq\n")
    assert (status, json.loads(out)) == (0, {"skipped": 1, "kept": 1, "left": 2})
    assert "3/3" in err
    assert "holds" in err
    assert err.count("expected one of these letters") == 2
    status, out, err = call("review", run, "--json", stdin="b\nt mild, ok\n")
    assert json.loads(out) == {"banned": 1, "tagged": 1, "left": 0}
    status, out, err = call("review", run, stdin="b\nb\nb\n")
    assert (status, out, err) == (0, "left 0\n", "")
    bank = ResponseBank.load(run / "bank")
    assert int(bank.banned.sum()) == 1
    assert {"mild", "ok"} in [set(response.tags) for response in bank]


def test_review_ends_with_its_input_and_keeps_what_was_decided(call, run):
    call("add", "Mail us@example.org", "--bot", run)
    call("vet", run)
    assert json.loads(call("review", run, "--json", stdin="b\n")[1]) == {"banned": 1, "left": 1}
    assert json.loads(call("review", run, "--json")[1]) == {"left": 1}


def test_what_is_no_bank_or_classifier(call, run, tmp_path):
    for arguments in (
        ("list", tmp_path / "no"),
        ("ban", HELLO, "--bot", tmp_path / "no"),
        ("vet", tmp_path / "no"),
    ):
        status, out, err = call(*arguments)
        assert (status, out) == (1, "")
        assert "no bank in" in err
    status, _, err = call("vet", run, "--classifier", "wrods")
    assert status == 1
    assert "expected one of words" in err
