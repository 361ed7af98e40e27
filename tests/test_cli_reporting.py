"""`g2r report` makes the page of a report anew, or says in one line why it cannot."""

import json

import pytest

from g2r.cli import main
from g2r.evaluation.report import Section, write_report


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    items = [{"context_id": "a", "turns": ["hi"], "replies": {"d": "hello there"}}]
    write_report(folder / "report", [Section("Replies", "Read them.")], items, title="Made before")
    (folder / "report" / "report.html").unlink()
    return folder


def call(capsys, *arguments):
    try:
        main([str(a) for a in arguments])
        status = 0
    except SystemExit as exit_:
        status = exit_.code
    return status, *capsys.readouterr()


@pytest.mark.parametrize("inner", ["", "report"])
def test_the_page_of_a_run_or_of_its_report(run, capsys, inner):
    page = run / "report" / "report.html"
    assert call(capsys, "report", run / inner) == (0, f"{page}\n", "")
    assert "<h1>Made before</h1>" in page.read_text()


def test_json_for_machines(run, capsys):
    status, out, _ = call(capsys, "report", run, "--json")
    assert (status, json.loads(out)) == (0, {"page": str(run / "report" / "report.html")})


def test_a_folder_without_a_report(tmp_path, capsys):
    status, out, err = call(capsys, "report", tmp_path)
    assert (status, out) == (1, "")
    assert err.startswith(f"g2r: no file {tmp_path / 'summary.md'}; expected the folder of a report")
    assert err.count("\n") == 1


def test_a_report_that_cannot_be_read_keeps_its_old_page(run, capsys):
    page = run / "report" / "report.html"
    page.write_text("the old page")
    results = run / "report" / "results.jsonl"
    results.write_text(results.read_text() + '{"context_id": "b", "turns": [], "replies": {}}\n')
    status, _, err = call(capsys, "report", run)
    assert status == 1
    assert "results.jsonl line 2 lacks the replies of ['d'], line 1 does not" in err
    assert page.read_text() == "the old page"
