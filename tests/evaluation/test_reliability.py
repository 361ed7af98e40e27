"""The calibration in a report: what the tables show is what was measured."""

import json
from pathlib import Path

from calibrations import MADE
from g2r.evaluation.reliability import calibration_sections
from g2r.evaluation.report import Section, read_summary, summary, write_report


def test_the_tables_show_the_bins_and_the_thresholds(tmp_path: Path):
    file = tmp_path / "calibration.json"
    assert calibration_sections(file) == []
    file.write_text(MADE.model_dump_json())
    sections = calibration_sections(file)
    shown = [section.table.markdown().splitlines()[2:] for section in sections]
    assert shown == [
        [
            "| 0.4 to 0.5 | 0.450 | 0.500 [0.270, 0.730] | 20 |",
            "| 0.8 to 0.9 | 0.820 | 0.800 [0.440, 0.970] | 10 |",
        ],
        ["| 0.810 | 0.200 | 0.100 | 0.250 |", "| 0.400 | 0.500 | 0.420 | 1.00 |"],
    ]
    assert "error 0.042; Brier score 0.200, of a constant 0.240" in sections[0].text


def test_a_report_holds_the_curve_for_people_and_programs(tmp_path: Path):
    file = tmp_path / "calibration.json"
    file.write_text(MADE.model_dump_json())
    sections = [Section("Replies", "Read them."), *calibration_sections(file)]
    items = [{"context_id": "a", "turns": ["hi"], "replies": {"d": "hello there"}}]
    write_report(tmp_path / "report", sections, items, title="Comparison")
    values = json.loads((tmp_path / "report" / "tables.json").read_text())
    assert [own["good"] for own in values["Confidence"]["bins"]] == [0.5, 0.8]
    assert [own["max_bad"] for own in values["Thresholds"]] == [0.2, 0.5]
    assert "0.4 to 0.5" in (tmp_path / "report" / "report.html").read_text()
    _, read = read_summary(summary(sections, title="Comparison"))
    assert [section.title for section in read] == ["Replies", "Confidence", "Thresholds"]
