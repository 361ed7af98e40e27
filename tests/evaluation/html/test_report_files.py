"""A report is read back as it was written, or refused in one line that names the place."""

import json

import pytest
from reports import ROWS, SECTIONS, SYSTEMS, item, make_report, rewrite_items, write_speeds

from g2r.errors import InputError
from g2r.evaluation.html.files import read_items, read_report


@pytest.fixture
def folder(tmp_path):
    return make_report(tmp_path / "report")


def test_a_report_is_read_as_it_was_written(folder):
    report = read_report(folder)
    assert report.title == "A run"
    assert [(s.title, s.text, s.table) for s in report.sections] == [
        (s.title, s.text, s.table) for s in SECTIONS
    ]
    assert report.sections[0].values["rows"][1]["difference"]["p"] == ROWS[1].difference.p
    assert len(report.items) == 30
    assert tuple(report.items[4].replies) == SYSTEMS
    assert report.items[4].replies["student, human bank"] is None
    assert report.items[5].ranks["student"] == {20: (2,), 100: (6,)}
    assert report.speeds == ()
    assert report.manifest is None


def test_speeds_are_read_where_they_stand(folder):
    write_speeds(folder)
    report = read_report(folder)
    assert [s.p50 for s in report.speeds] == [14.0, 14.2, 3.0, None]
    assert [s.recall_at_10 for s in report.searches] == [0.99, 0.9, 1.0]


@pytest.mark.parametrize("name", ["summary.md", "tables.json", "results.jsonl"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"no file .*{name}; expected the folder of a report"):
        read_report(folder)


def lacking(items):
    del items[3]["replies"]["student"]
    return items


def foreign(items):
    items[5]["replies"]["DialoGPT"] = "hi"
    return items


def unranked(items):
    del items[2]["ranks"]["BM25"]
    return items


def not_a_number(items):
    items[1]["scores"] = {"student": {"nup": float("nan")}}
    return items


def twice(items):
    return [*items[:4], items[1]]


def nameless(items):
    del items[0]["context_id"]
    return items


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lacking, r"line 4 lacks the replies of \['student'\], line 1 does not: .* evaluate them together"),
        (foreign, r"line 6 has replies of \['DialoGPT'\], line 1 does not"),
        (unranked, r"line 3 lacks the ranks of \['BM25'\]"),
        (not_a_number, r"line 2: scores.student.nup: .*finite.*, got nan"),
        (twice, r"line 5 repeats the context of line 2"),
        (nameless, r"line 1: context_id: Field required"),
        (lambda items: [], r"results.jsonl holds no context; expected one a line"),
    ],
)
def test_wrong_items_are_refused_with_their_line(folder, change, message):
    rewrite_items(folder, change)
    with pytest.raises(InputError, match=message) as error:
        read_report(folder)
    assert "\n" not in str(error.value)


def test_a_cut_line_is_refused(folder):
    path = folder / "results.jsonl"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(InputError, match=r"line 30: Invalid JSON"):
        read_report(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"x": NaN}', "cannot be read as JSON: it holds NaN, which is no number"),
        ('{"x": ', "cannot be read as JSON"),
        ("[]", "holds a list, expected values by section title"),
    ],
)
def test_wrong_values_are_refused(folder, text, message):
    (folder / "tables.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_report(folder)


def test_wrong_speeds_are_refused(folder):
    (folder / "latency.json").write_text('{"rows": [{"system": "a", "p50": "fast"}]}')
    with pytest.raises(InputError, match=r"latency.json: rows.0.p50: .* number.*, got 'fast'"):
        read_report(folder)


def test_text_that_is_no_text_is_refused(folder):
    (folder / "summary.md").write_bytes(b"# A\xff")
    with pytest.raises(InputError, match=r"summary.md is no UTF-8 text"):
        read_report(folder)


def test_a_line_separator_inside_a_reply_parts_no_lines(tmp_path):
    path = tmp_path / "results.jsonl"
    one = {**item(0), "original": "a\u2028b\x85c"}
    path.write_text(json.dumps(one, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_items(path)[0].original == "a\u2028b\x85c"
