"""On-policy rounds in a run: each retrieves with the last student, scores by the judge, and goes on from there."""

import json

import pytest

from byte_students import make_student
from g2r.artifacts import read_examples, read_manifest
from g2r.bot import Bot
from g2r.config import BotConfig, OnPolicyConfig, RunConfig, parse_config
from g2r.dialogue import RETRIEVED
from g2r.errors import ConfigError
from g2r.judge.model import Judge
from g2r.pipeline import run, stages
from tiny_judges import make_base

TOPICS = ("tea", "rain", "dogs", "chess", "jazz", "bread", "trains", "maths")
RETRIEVED_FILE = "rounds/1/retrieved.parquet"


def settings(folder, **onpolicy):
    judge = {"kind": "judge", "path": str(folder / "judge")}
    return {
        "data": {"sources": [str(folder / "dialogues.jsonl")], "valid_fraction": 0.2, "test_fraction": 0.2},
        "train": {
            "base": str(folder / "base"),
            "batch_size": 8,
            "max_steps": 2,
            "evals": 1,
            "max_context_tokens": 24,
            "max_response_tokens": 12,
            "precision": "fp32",
        },
        "onpolicy": {"teacher": judge, "top": 5, **onpolicy},
        "index": {"near_duplicates": 1.0, "min_recall_at_1": 0, "min_recall_at_10": 0},
        "export": {"int8": False},
        "report": {"contexts": 10, "candidates": 5, "side_by_side": 2},
    }


def config_of(folder, **onpolicy):
    return parse_config(RunConfig, settings(folder, **onpolicy), where="run")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rounds")
    rows = [
        {
            "id": f"d{n}",
            "turns": [f"do you like {topic}? {n}", f"yes, {topic} {n} is nice", f"why {topic} {n}?"],
        }
        for n, topic in enumerate(TOPICS * 4)
    ]
    (folder / "dialogues.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make_student(str(folder / "base")).save(folder / "base")
    Judge.load(make_base(folder / "judge_base")).with_form(max_tokens=32).save(folder / "judge")
    return folder


@pytest.fixture(scope="module")
def finished(inputs):
    return inputs / "out", run(config_of(inputs), inputs / "out", name="rounds")


def test_rounds_stand_between_the_first_student_and_the_one_served(inputs, tmp_path):
    steps = stages(config_of(inputs, rounds=2), tmp_path)
    names = [s.name for s in steps]
    assert names[1:] == [
        "train round0",
        *("index round1", "retrieve", "score", "train round1"),
        *("index student", "retrieve", "score", "train student"),
        *("export", "index bank", "report"),
    ]
    trained = [s for s in steps if s.name.startswith("train ")]
    assert [s.inputs.get("init") for s in trained] == [None, trained[0].output, trained[1].output]
    assert trained[-1].output == tmp_path / "student"
    assert [s.output for s in steps if s.name == "export"] == [tmp_path / "student" / "onnx"]
    assert [n for n in steps[-1].inputs if n.startswith("student ")] == [
        "student round0", "student round1", "student student",
    ]  # fmt: skip


def test_what_the_first_student_finds_is_rated_and_trained_on(inputs, finished):
    folder, _ = finished
    bot = Bot.load(folder, student="students/round0", bank="rounds/1/bank", config=BotConfig())
    judge = Judge.load(inputs / "judge")
    before, retrieved = read_examples(folder / "dialogues.parquet"), read_examples(folder / RETRIEVED_FILE)
    scored = read_examples(folder / "rounds/1/scored.parquet")
    assert [e.written for e in retrieved] == [e.candidates for e in before]
    assert [[c.text for c in e.candidates] for e in retrieved] == [
        [c.text for c in e.candidates] for e in scored
    ]
    checked = 0
    for example in scored:
        ratings = judge.score(example.context, [c.text for c in example.candidates])
        assert [c.scores.judge for c in example.candidates] == pytest.approx(ratings.tolist(), abs=1e-4)
        if example.split == "train" and checked < 5:
            wanted = {c.text for c in bot.candidates(example.context, 5)} - {c.text for c in example.written}
            assert {c.text for c in example.candidates if c.source == RETRIEVED} == wanted
            checked += 1
    training = json.loads((folder / "student" / "training.json").read_text())
    assert training["retrieved"] > 50
    assert read_manifest(folder / "student").config["score"] == "judge"
    assert Bot.load(folder).reply(["do you like tea?"]).text


def test_a_finished_run_is_up_to_date_and_another_judge_redoes_the_rounds_alone(inputs, finished):
    folder, _ = finished
    assert all(s.skipped for s in run(config_of(inputs), folder, name="rounds"))
    Judge.load(make_base(inputs / "other_base", seed=3)).with_form(max_tokens=32).save(inputs / "other")
    other = {"kind": "judge", "path": str(inputs / "other")}
    again = run(config_of(inputs, teacher=other), folder, name="rounds")
    redone = [s.name for s in again if not s.skipped]
    assert redone[:2] == ["score", "train student"]
    assert {"read", "train round0", "index student", "retrieve"}.isdisjoint(redone)


def test_rounds_that_cannot_be_are_refused(inputs, tmp_path):
    values = settings(inputs)
    with pytest.raises(ConfigError, match="onpolicy names no teacher"):
        stages(parse_config(RunConfig, {**values, "onpolicy": {"rounds": 1}}, where="run"), tmp_path)
    with pytest.raises(ConfigError, match="as the rounds of onpolicy are named"):
        stages(parse_config(RunConfig, {**values, "compare": {"round1": {}}}, where="run"), tmp_path)
    with pytest.raises(ConfigError, match=r"onpolicy.train: unknown option 'alfa'; did you mean 'alpha'"):
        stages(config_of(inputs, train={"alfa": 1}), tmp_path)
    assert OnPolicyConfig().train == {"score": "judge"}
