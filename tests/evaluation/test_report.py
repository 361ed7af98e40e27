"""The report's files say the same to people and programs, and replace the old ones as a whole."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.report import Section, read_summary, summary, write_report
from g2r.evaluation.significance import Estimate
from g2r.evaluation.tables import table

SECTIONS = [
    Section("First", "How to read it.", table(("a",), [(1,)]), {"x": Estimate(0.5, 0.4, 0.6, 9)}),
    Section("Second", "", None, [NotComputed("one context")]),
]


def test_files(tmp_path):
    folder = tmp_path / "report"
    write_report(folder, SECTIONS, [{"context_id": "é"}, {"context_id": "b"}], title="A run")
    assert (folder / "summary.md").read_text() == (
        "# A run\n\n## First\n\nHow to read it.\n\n| a |\n| --- |\n| 1 |\n\n## Second\n"
    )
    assert json.loads((folder / "tables.json").read_text()) == {
        "First": {"x": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}},
        "Second": [{"not_computed": "one context"}],
    }
    assert [
        json.loads(line)["context_id"] for line in (folder / "results.jsonl").read_text().splitlines()
    ] == [
        "é",
        "b",
    ]


def test_a_failing_report_leaves_the_old_one(tmp_path):
    folder = tmp_path / "report"
    write_report(folder, SECTIONS, [{"context_id": "a"}], title="old")
    with pytest.raises(InputError, match="context a holds NaN"):
        write_report(folder, SECTIONS, [{"context_id": "a", "score": np.nan}], title="new")
    assert (folder / "summary.md").read_text().startswith("# old")


def test_no_context_is_an_error_and_leaves_the_old_report(tmp_path):
    folder = tmp_path / "report"
    write_report(folder, SECTIONS, [{"context_id": "a"}], title="old")
    with pytest.raises(InputError, match="holds no context"):
        write_report(folder, SECTIONS, [], title="new")
    assert (folder / "summary.md").read_text().startswith("# old")


CELLS = st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: " ".join(text.split()))


@given(
    st.lists(
        st.tuples(
            CELLS.filter(bool),
            st.one_of(st.none(), st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=4)),
            st.lists(st.sampled_from(["One sentence.", "A | bar, # and *star*."]), max_size=2),
        ),
        max_size=4,
    )
)
def test_a_summary_is_read_as_it_was_written(parts):
    sections = [
        Section(
            title,
            "\n\n".join(text),
            None
            if rows is None
            else table(("a", "b|c", ""), [(*row[:2], NotComputed("why")) for row in rows]),
        )
        for title, rows, text in parts
    ]
    assert read_summary(summary(sections, title="A run")) == ("A run", sections)


def test_a_summary_without_a_title_is_refused():
    with pytest.raises(InputError, match=r"begins with 'text', expected a title"):
        read_summary("text")
