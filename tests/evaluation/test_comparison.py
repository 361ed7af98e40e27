"""The comparison of a small run, on tiny students and banks on disk."""

import json

import pytest

from byte_students import make_student
from g2r.bank import ResponseBank
from g2r.config import IndexConfig, ReportConfig
from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import InputError
from g2r.evaluation.comparison import held_out, write_comparison
from g2r.evaluation.leakage import Leak, Leakage
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.sections import clean_section
from g2r.index.building import build_bank
from g2r.student import BiEncoder

TOPICS = ("rain", "food", "dogs", "films", "work", "songs")


def example(i, split):
    topic = TOPICS[i % 6]
    return Example(
        (f"hello there {i}", f"what about {topic} number {i} {split}"),
        (
            Candidate(f"I like {topic} very much, friend {i} of {split}", "human", original=True),
            Candidate(f"{topic} is fine {i}", "teacher", scores=Scores(judge=6.0)),
        ),
        f"{split}-{i}",
        split,
    )


EXAMPLES = [example(i, "test") for i in range(30)] + [example(i, "train") for i in range(40)]


def save_student(folder, seed):
    """A student with random weights, as training would leave it."""
    make_student(str(folder / "raw"), seed=seed).save(folder / "student")
    return folder / "student"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    base = save_student(folder / "base", 0)
    students = {
        "baseline": save_student(folder / "a", 1),
        "human": save_student(folder / "e", 5),
        "student": save_student(folder / "b", 2),
        "baseline@1": save_student(folder / "c", 3),
        "student@1": save_student(folder / "d", 4),
    }
    leaked = Example(("x",), (EXAMPLES[0].originals[0],), "copy", "train")
    examples = [*EXAMPLES, leaked]
    banks = {}
    for name, responses in (("human", "human"), ("bank", "both")):
        config = IndexConfig(responses=responses, min_recall_at_1=0, min_recall_at_10=0)
        bank = ResponseBank.from_examples(examples, config=config)
        banks[name] = folder / name
        build_bank(bank, BiEncoder.load(students["student"]), config, banks[name])
    config = ReportConfig(contexts=30, side_by_side=3)
    counts = write_comparison(
        examples, students=students, banks=banks, base=str(base), config=config, output=folder / "report"
    )
    return folder / "report", counts


def test_counts_name_every_system(run):
    _, counts = run
    assert counts["contexts"] == 30
    assert set(counts) - {"contexts"} == {
        f"hits@1/20 {name}" for name in ("untrained base", "baseline", "human", "student", "BM25")
    }


def test_summary_holds_the_whole_comparison(run):
    summary = (run[0] / "summary.md").read_text()
    for title in (
        "Choosing the original response", "Without what leaked", "Replies", "Side by side", "Banks", "Leaks",
    ):  # fmt: skip
        assert f"## {title}\n" in summary
    assert "against baseline" in summary
    assert "2 seeds" in summary
    assert "response in training, exact: 1" in summary
    assert "| context | untrained base | baseline | human | student | original reply |" in summary


def test_tables_hold_the_grid_and_agree_with_the_items(run):
    tables = json.loads((run[0] / "tables.json").read_text())
    students = ("untrained base", "baseline", "human", "student")
    assert set(tables["Replies"]) == {
        *students, *(f"{s}, human bank" for s in students), "original reply", "random reply", "BM25",
    }  # fmt: skip
    items = [json.loads(line) for line in (run[0] / "results.jsonl").read_text().splitlines()]
    assert len(items) == 30
    for row in tables["Choosing the original response"]["rows"]:
        ranks = [seed for item in items for seed in item["ranks"][row["name"]]["20"]]
        assert row["hits"]["20"]["value"] == pytest.approx(sum(r == 1 for r in ranks) / len(ranks))
    human = [item["replies"]["original reply"] for item in items]
    assert human == [item["original"] for item in items]
    leaked = [item for item in items if item["leaks"]]
    assert tables["Leaks"]
    assert tables["Without what leaked"]["contexts"] == 30 - len(leaked)


def test_the_sizes_of_the_banks_are_told(run):
    sizes = json.loads((run[0] / "tables.json").read_text())["Banks"]
    assert set(sizes) == {"human", "bank"}
    assert sizes["human"]["responses"] < sizes["bank"]["responses"] == sizes["bank"]["searched"]


def test_the_page_shows_the_comparison(run):
    page = (run[0] / "report.html").read_text()
    for title in ("Choosing the original response", "Replies", "Banks", "Leaks"):
        assert f">{title}</h2>" in page
    assert "Side by side" not in page


def test_replies_come_from_their_bank(run):
    texts = {c.text for e in EXAMPLES for c in e.candidates}
    for line in (run[0] / "results.jsonl").read_text().splitlines():
        replies = json.loads(line)["replies"]
        assert "I like" in replies["student, human bank"]
        assert set(replies.values()) <= texts


def test_held_out_takes_test_examples_of_the_named_sources():
    assert len(held_out(EXAMPLES)) == 30
    assert len(held_out(EXAMPLES, ["human"])) == 30
    with pytest.raises(InputError, match=r"none of 70 examples is a test example .* from starter"):
        held_out(EXAMPLES, ["starter"])


def test_all_students_reply_from_the_same_part_of_a_large_bank(tmp_path):
    student, other = save_student(tmp_path / "a", 1), save_student(tmp_path / "b", 2)
    bank = ResponseBank.from_examples(EXAMPLES)
    config = IndexConfig(min_recall_at_1=0, min_recall_at_10=0)
    build_bank(bank, BiEncoder.load(student), config, tmp_path / "bank")
    write_comparison(
        EXAMPLES,
        students={"baseline": other, "student": student},
        banks={"bank": tmp_path / "bank"},
        base=str(other),
        config=ReportConfig(contexts=30, responses=5, side_by_side=0),
        output=tmp_path / "report",
    )
    items = [json.loads(line) for line in (tmp_path / "report" / "results.jsonl").read_text().splitlines()]
    said = {item["replies"][name] for item in items for name in ("baseline", "student", "untrained base")}
    assert 1 < len(said) <= 5
    sizes = json.loads((tmp_path / "report" / "tables.json").read_text())["Banks"]["bank"]
    assert sizes == {"responses": len(bank), "searched": 5}
    assert said <= set(bank.texts)


def test_where_everything_leaked_the_rest_is_said_not_to_be_computed():
    leaks = tuple(Leak(name, "context", "training", "exact", "x") for name in "ab")
    leakage = Leakage(leaks, frozenset(), 2)
    (section,) = clean_section({}, leakage, "student", ReportConfig())
    assert section.text == "Not computed (all 2 contexts leaked)."
    assert section.values == NotComputed("all 2 contexts leaked")
    assert clean_section({}, Leakage((), frozenset("ab"), 2), "student", ReportConfig()) == []
