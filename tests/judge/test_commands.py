"""g2r judge: train, measure and export from files, with what is held out left out."""

import gzip
import json

import pytest

from g2r.artifacts import write_examples
from g2r.cli import main
from g2r.dialogue import Examples
from g2r.judge.model import Judge
from g2r.rerank import Reranker
from tiny_judges import SETTINGS, dialogues, make_base, on_policy_lists, rated_examples
from tiny_students import make_base as make_student_base


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_examples(Examples(tuple(dialogues())), folder / "dialogues.parquet")
    write_examples(Examples(tuple(rated_examples())), folder / "rated.parquet")
    rows = [
        {"id": i.id, "turns": i.context, "candidates": i.candidates, "scores": i.scores}
        for i in on_policy_lists()
    ]
    with gzip.open(folder / "lists.jsonl.gz", "wt") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in rows)
    (folder / "ids.txt").write_text("".join(f"p-{n}-0\n" for n in range(6)))
    (folder / "held.jsonl").write_text('{"id": "d-0"}\n{"id": "r-1"}\n')
    make_base(folder / "base")
    return folder


@pytest.fixture(scope="module")
def trained(files):
    options = {**SETTINGS, "max_steps": 6, "base": files / "base"}
    given = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    call(
        "judge", "train", files / "dialogues.parquet", files / "rated.parquet", "-o", files / "judge",
        "--on-policy", files / "lists.jsonl.gz", "--held-out", files / "ids.txt", "--held-out", files / "held.jsonl",
        *given,
    )  # fmt: skip
    return files / "judge"


def call(*arguments):
    """Run a command; one that fails ends in SystemExit."""
    main([str(argument) for argument in arguments])


def test_what_is_held_out_does_not_train(trained):
    counts = Judge.load(trained).training
    assert counts["next_utterance"] == 25 * 3 - 3 + 30 - 1
    of_the_same_context = 6  # a dialogue's two lists end in the same two turns
    assert counts["on_policy"] + counts["valid_scored"] == 60 - 6 - of_the_same_context


def test_measuring_compares_on_the_lists_asked_for(trained, files, capsys):
    call(
        "judge", "measure", trained, "--lists", files / "lists.jsonl.gz", "--only", files / "ids.txt", "--json",
        "--examples", files / "rated.parquet", "--base", make_student_base(files / "student"),
    )  # fmt: skip
    rows = json.loads(capsys.readouterr().out)
    assert list(rows) == ["random", "BM25", "response key", str(trained), "best possible"]
    assert rows["random"]["first_good"]["value"] == pytest.approx(0.5)
    assert rows["best possible"]["first_good"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 6}


def test_export_writes_a_second_stage(trained, files, tmp_path):
    call(
        "judge", "export", trained, "-o", tmp_path / "judge", "--lists", files / "lists.jsonl.gz", "--most", 5
    )
    reranker = Reranker.load(tmp_path / "judge")
    assert reranker.record.lists == 5
    assert len(reranker.scores(("hi",), ["good", "poor"])) == 2
