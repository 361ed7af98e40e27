"""The report's files say the same to people and programs, and replace the old ones as a whole."""

import json

import numpy as np
import pytest

from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.report import Section, write_report
from g2r.evaluation.significance import Estimate
from g2r.evaluation.tables import table

SECTIONS = [
    Section("First", "How to read it.", table(("a",), [(1,)]), {"x": Estimate(0.5, 0.4, 0.6, 9)}),
    Section("Second", "", None, [NotComputed("one context")]),
]


def test_files(tmp_path):
    folder = tmp_path / "report"
    write_report(folder, SECTIONS, [{"id": "é"}, {"id": "b"}], title="A run")
    assert (folder / "summary.md").read_text() == (
        "# A run\n\n## First\n\nHow to read it.\n\n| a |\n| --- |\n| 1 |\n\n## Second\n"
    )
    assert json.loads((folder / "tables.json").read_text()) == {
        "First": {"x": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}},
        "Second": [{"not_computed": "one context"}],
    }
    assert [json.loads(line)["id"] for line in (folder / "results.jsonl").read_text().splitlines()] == [
        "é",
        "b",
    ]


def test_a_failing_report_leaves_the_old_one(tmp_path):
    folder = tmp_path / "report"
    write_report(folder, SECTIONS, [{"id": 1}], title="old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(folder, SECTIONS, [{"id": np.nan}], title="new")
    assert (folder / "summary.md").read_text().startswith("# old")
