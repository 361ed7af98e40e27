"""A small report on disk, made by `write_report` as an evaluation makes it."""

import json
from pathlib import Path

from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.paired import Standing
from g2r.evaluation.report import Section, write_report
from g2r.evaluation.significance import Difference, Estimate
from g2r.evaluation.tables import table

SYSTEMS = ("baseline", "student", "student, human bank", "original reply")
EVIL = "</script><script>document.title = 'broken'</script> & <b>bold</b>"


def difference(value, p):
    return Difference(value, value - 0.1, value + 0.1, p, 30)


def row(name, value, against=None, p=None):
    return Standing(name, Estimate(value, value - 0.1, value + 0.1, 30), against, p, None)


ROWS = (
    row("baseline", 0.5),
    row("student", 0.8, difference(0.3, 0.0004), 0.0012),
    row("BM25", 0.3, difference(-0.2, 0.01), 0.03),
    row("untrained base", 0.49, difference(-0.01, 0.8), 0.8),
)
COMPARISON = {"reference": "baseline", "rows": ROWS}
TABLE = table(
    ("student", "hits@1/20", "hits@1/100", "against baseline", "p (Holm)"),
    [(r.name, r.value, NotComputed("too few responses"), r.difference, r.p_adjusted) for r in ROWS],
)
SECTIONS = (
    Section("Choosing the original response", "Which was said?\n\nIt is a test.", TABLE, COMPARISON),
    Section(
        "Banks",
        "",
        None,
        {"bank": {"responses": 12_000, "searched": 5_000}, "human": {"responses": 7, "searched": 7}},
    ),
    Section("Leaks", "Test texts found elsewhere: response in bank, exact: 1."),
)


def item(i):
    """In every third context the two students say the same; the last one's reply tries to be markup."""
    student = "I like rain" if i % 3 == 0 else EVIL if i == 29 else f"I like rain number {i}"
    leak = {"what": "response", "where": "bank", "degree": "exact", "found": EVIL}
    return {
        "context_id": f"{i:016x}",
        "turns": [f"hello {i}", "what about rain?"],
        "original": f"rain is wet {i}",
        "ranks": {name: {20: [1 + i % 4], 100: [1 + i]} for name in ("baseline", "student", "BM25")},
        "replies": {
            "baseline": "I like rain",
            "student": student,
            "student, human bank": None if i == 4 else "maybe",
            "original reply": f"rain is wet {i}",
        },
        "leaks": [leak] if i == 7 else [],
    }


def make_report(folder: Path, *, items=30, title="A run") -> Path:
    write_report(folder, SECTIONS, [item(i) for i in range(items)], title=title)
    return folder


def write_speeds(folder: Path) -> None:
    estimate = {"value": 14.2, "low": 14.0, "high": 14.4, "n": 100}
    rows = [
        {"system": "baseline", "responses": 10_000, "p50": 14.0, "p99": {"not_computed": "too few samples"}},
        {"system": "student", "responses": 10_000, "p50": estimate, "p99": 28.4},
        {"system": "BM25", "p50": 3.0},
        {"system": "untrained base", "p50": {"not_computed": "too few samples"}},
    ]
    searches = [
        {"structure": structure, "effort": effort, "responses": 100_000, "p50": p50, "recall_at_10": recall}
        for structure, effort, p50, recall in (
            ("hnsw 64", 64, 0.4, 0.99),
            ("hnsw 16", 16, 0.1, 0.9),
            ("flat", 0, 9.0, 1.0),
        )
    ]
    (folder / "latency.json").write_text(json.dumps({"rows": rows, "searches": searches}))


def rewrite_items(folder: Path, change) -> None:
    """Change the items of a report on disk."""
    path = folder / "results.jsonl"
    items = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(each) + "\n" for each in change(items)))
