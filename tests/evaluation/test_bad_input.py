"""Bad input through the commands evaluate, report and ratings: one clear line, or "not computed", never a silent number."""

import json
import shutil

import numpy as np
import pytest
import yaml

from byte_students import make_student
from g2r.artifacts import write_examples
from g2r.bank import ResponseBank
from g2r.cli import main
from g2r.config import EvaluateConfig, IndexConfig, RunConfig
from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import InputError
from g2r.evaluation.comparison import write_comparison
from g2r.evaluation.exams import fidelity_exams
from g2r.evaluation.panel import Panel
from g2r.evaluation.report import Section, write_report
from g2r.index.building import build_bank

TOPICS = ("rain", "food", "dogs", "films", "work", "songs")
EXAMPLES = [
    Example(
        (f"what about {topic} number {i} of {split}",),
        (Candidate(f"I like {topic} very much, friend {i} of {split}", "human", original=True),),
        f"{split}-{i}",
        split,
    )
    for split in ("test", "train")
    for i, topic in enumerate(TOPICS * 2)
]
LIST = {"id": "a", "turns": ["so"], "candidates": ["yes", "no"], "scores": [7, 2]}
RATED = {"turns": ["so"], "response": "well it is", "human_rating": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    student = make_student(str(folder.parent / "raw"), seed=1)
    student.save(folder / "student")
    config = RunConfig.model_validate(
        {
            "data": {"sources": ["starter"]},
            "train": {"base": str(folder / "student")},
            "report": {"contexts": 8, "candidates": 4},
        }
    )
    write_examples(EXAMPLES, folder / "dialogues.parquet")
    index = IndexConfig(min_recall_at_1=0, min_recall_at_10=0)
    build_bank(ResponseBank.from_examples(EXAMPLES), student, index, folder / "bank")
    (folder / "config.yaml").write_text("# run: tiny\n" + yaml.safe_dump(config.model_dump(mode="json")))
    return folder


@pytest.fixture(scope="module")
def evaluated(run):
    main(["evaluate", str(run), "--json"])
    return run / "evaluation"


def refusal(arguments, capsys):
    """What a command that refuses its input says: one line on stderr, nothing on stdout."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    return said.err


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("option", "rows", "says"),
    [
        ("--judged", [{**LIST, "scores": [7, float("nan")]}], "line 1, field scores[1]: got float nan"),
        ("--judged", [{**LIST, "scores": [7]}], "got 1 scores for 2 candidates"),
        ("--judged", [], "no judged lists"),
        ("--ratings", [RATED, {**RATED, "human_rating": float("nan")}], "line 2, field human_rating"),
        ("--ratings", [RATED], "holds 1 rated replies, expected two or more"),
        ("--adversarial", [{"turns": ["so"], "positives": ["yes"]}], "field adversarial_negatives: got nothing"),
        ("--adversarial", [], "holds no pairs"),
    ],
)  # fmt: skip
def test_evaluate_refuses_what_it_cannot_measure_and_writes_nothing(
    run, tmp_path, capsys, option, rows, says
):
    file = lines(tmp_path / "given.jsonl", rows)
    output = tmp_path / "evaluation"
    assert says in refusal(["evaluate", run, option, file, "-o", output], capsys)
    assert not output.exists()


def test_one_context_is_evaluated_without_intervals(run, tmp_path, capsys):
    main(["evaluate", str(run), "--contexts", "1", "-o", str(tmp_path / "one")])
    said = capsys.readouterr().out
    assert "not computed: an interval needs two contexts, got 1" in said
    tables = json.loads((tmp_path / "one" / "tables.json").read_text())
    for row in tables["Choosing the original response"]["rows"]:
        assert "not_computed" in row["mrr"]
    assert "not computed" in (tmp_path / "one" / "report.html").read_text()


def test_a_scorer_that_gives_nan_is_named(run, tmp_path):
    class Broken:
        name = "broken"

        def score(self, contexts, responses):
            return np.full(len(responses), np.nan)

    with pytest.raises(InputError, match=r"broken scores .* with nan, expected a finite number"):
        write_comparison(
            EXAMPLES,
            students={"student": run / "student"},
            banks={"bank": run / "bank"},
            base=str(run / "student"),
            config=EvaluateConfig(contexts=8, candidates=4),
            panel=Panel(scorers=(Broken(),)),
            output=tmp_path / "report",
        )
    assert not (tmp_path / "report").exists()


def test_teacher_scores_that_are_nan_are_no_fidelity():
    scored = [
        Candidate(text, "t", scores=Scores(judge=s)) for text, s in (("yes", 7.0), ("no", float("nan")))
    ]
    for exam in fidelity_exams([Example(("so",), tuple(scored))]):
        with pytest.raises(InputError, match=r"NaN|finite"):
            exam.take(lambda contexts, candidates: [np.arange(len(own), dtype=float) for own in candidates])


def test_a_value_that_is_nan_is_written_nowhere(tmp_path):
    with pytest.raises(InputError, match="section Odd holds NaN or an infinite number"):
        write_report(tmp_path / "r", [Section("Odd", "", values={"x": float("nan")})], [], title="T")
    item = {"context_id": "1", "scores": {"a": {"own": float("inf")}}}
    with pytest.raises(InputError, match="context 1 holds NaN or an infinite number"):
        write_report(tmp_path / "r", [], [item], title="T")
    assert not (tmp_path / "r").exists()


def without_a_system(items):
    del items[2]["replies"]["student"]
    return items


def with_nan(items):
    items[1]["scores"]["student"]["own"] = float("nan")
    return items


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without_a_system, "line 3 lacks the replies of ['student'], line 1 does not"),
        (with_nan, "line 2: scores.student.own"),
        (lambda items: [*items, items[0]], "line 9 repeats the context of line 1"),
        (lambda items: [], "holds no context"),
    ],
)
def test_report_refuses_changed_results_and_keeps_its_page(evaluated, tmp_path, capsys, change, says):
    folder = tmp_path / "report"
    shutil.copytree(evaluated, folder)
    items = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    lines(folder / "results.jsonl", change(items))
    before = (folder / "report.html").read_bytes()
    assert says in refusal(["report", folder], capsys)
    assert (folder / "report.html").read_bytes() == before


def test_report_shows_systems_that_say_nothing_as_such(evaluated, tmp_path):
    folder = tmp_path / "report"
    shutil.copytree(evaluated, folder)
    items = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    for item in items:
        item["replies"] = dict.fromkeys(item["replies"])
    lines(folder / "results.jsonl", items)
    main(["report", str(folder)])
    assert "NaN" not in (folder / "report.html").read_text()


JUDGEMENT = {
    "item_id": "i", "kind": "pairwise", "purpose": "main", "context_id": "c", "systems": ["a", "b"],
    "verdict": "a", "rater": "ann", "seconds": 2.5, "at": "2026-01-01T00:00:00+00:00",
}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no judgement in these files"),
        ([{**JUDGEMENT, "systems": ["a"]}], "line 1, field systems"),
        ([JUDGEMENT, {**JUDGEMENT, "item_id": "j", "seconds": float("nan")}], "line 2, field seconds"),
        ([{**JUDGEMENT, "purpose": "attention"}], "no judgement left of 1 by 1 raters"),
    ],
)
def test_ratings_refuses_what_is_no_judgement(tmp_path, capsys, rows, says):
    assert says in refusal(["ratings", lines(tmp_path / "r.jsonl", rows)], capsys)


def test_ratings_of_one_context_say_what_cannot_be_told(tmp_path, capsys):
    single = {**JUDGEMENT, "item_id": "j", "kind": "absolute", "systems": ["a"], "verdict": "specific"}
    main(["ratings", str(lines(tmp_path / "r.jsonl", [JUDGEMENT, single])), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["contexts"] == 1
    (average,) = found["averages"]
    assert "not_computed" in average["ssa"]
    assert "not_computed" in found["strengths"]
    assert all("not_computed" in value for value in found["agreement"].values())
    (pair,) = found["preferences"]
    assert pair["rate"]["low"] < 0.5 < pair["rate"]["high"]
    assert pair["rate"]["p"] == 1
