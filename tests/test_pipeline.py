"""A whole tiny run: what is skipped, what is redone, and what a kill at any moment costs."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from byte_students import make_student
from g2r import starter
from g2r.artifacts import file_hash, manifest_path, read_examples, read_manifest
from g2r.bot import Bot
from g2r.config import (
    DataConfig,
    GenerateConfig,
    IndexConfig,
    RecordedTeacherConfig,
    ReportConfig,
    RunConfig,
    TrainConfig,
    TransformersTeacherConfig,
)
from g2r.errors import ArtifactError, ConfigError
from g2r.evaluation.html.page import write_page
from g2r.pipeline import run, stages
from g2r.stages import generate_stage, index_stage, read_stage, report_stage, train_stage

TOPICS = ("tea", "rain", "dogs", "chess", "jazz", "bread", "trains", "maths")
DATA_FILES = ("dialogues.parquet", "candidates.parquet", "scored.parquet", "bank/responses.parquet")


def write_inputs(folder: Path) -> Path:
    """Dialogues, a recorded teacher that answers them, a base, and the run file that ties them together."""
    dialogues, record = [], []
    for number in range(48):
        topic = TOPICS[number % len(TOPICS)]
        turns = [f"do you like {topic}? {number}", f"yes, {topic} {number} is nice", f"why {topic} {number}?"]
        dialogues.append({"id": f"d{number}", "turns": turns})
        for end in (1, 2):
            record.append(
                {
                    "turns": turns[:end],
                    "human": turns[end],
                    "responses": [
                        f"{topic} makes me happy, number {number} {end}",
                        f"I sing about {topic} {number} {end}",
                    ],
                    "scores": [5.0, 7.0 + end, 3.0],
                }
            )
    (folder / "dialogues.jsonl").write_text("".join(json.dumps(d) + "\n" for d in dialogues))
    (folder / "record.jsonl").write_text("".join(json.dumps(r) + "\n" for r in record))
    (folder / "base").mkdir()
    make_student(str(folder / "base")).save(folder / "base")
    settings = {
        "data": {"sources": [str(folder / "dialogues.jsonl")], "valid_fraction": 0.2, "test_fraction": 0.2},
        "teacher": {"kind": "recorded", "path": str(folder / "record.jsonl")},
        "generate": {"responses_per_context": 2},
        "score": {"scores": ["judge"]},
        "train": {
            "base": str(folder / "base"),
            "score": "judge",
            "batch_size": 8,
            "max_steps": 4,
            "evals": 1,
            "checkpoint_steps": 1,
            "max_context_tokens": 24,
            "max_response_tokens": 12,
            "precision": "fp32",
        },
        "compare": {"baseline": {"responses": "original", "score": None}},
        "index": {"context_key": 0.5, "near_duplicates": 1.0},
        "banks": {"human": {"responses": "human"}},
        "export": {"int8": False},
        "report": {"contexts": 20, "candidates": 5, "side_by_side": 2},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return folder / "run.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run_file = write_inputs(folder)
    config = RunConfig.model_validate(yaml.safe_load(run_file.read_text()))
    return config, folder / "out", run(config, folder / "out", name="run"), run_file


def test_a_run_ends_with_a_bot_that_talks(finished):
    _, folder, summaries, _ = finished
    assert [s.name for s in summaries] == [
        "read",
        "generate",
        "score",
        "train baseline",
        "train student",
        "export",
        "index human",
        "index bank",
        "report",
    ]
    reply = Bot.load(folder).reply(["do you like tea?"])
    assert reply.text
    assert reply.candidates[0].response_id == reply.response_id
    assert "hits@1/5" in (folder / "report" / "summary.md").read_text()


def test_each_stage_adds_what_it_is_for(finished):
    _, folder, _, _ = finished
    read, generated, scored = (read_examples(folder / name) for name in DATA_FILES[:3])
    assert {c.source for e in read for c in e.candidates} == {"human"}
    assert {c.source for e in generated for c in e.candidates} == {"human", "recorded"}
    assert all(c.scores.judge is not None for e in scored for c in e.candidates)


def test_the_page_of_the_report_holds_its_manifest_and_may_be_made_again(finished):
    report = finished[1] / "report"
    manifest, page = read_manifest(report), (report / "report.html").read_text()
    assert manifest.output in page
    assert manifest.inputs["student baseline"] in page
    (report / "report.html").write_text("an older page")
    assert file_hash(report) == manifest.output
    (report / "latency.json").write_text('{"rows": []}')  # as g2r bench --report puts it there
    assert file_hash(report) == manifest.output
    (report / "latency.json").unlink()
    assert write_page(report).read_text() == page


def test_finished_stages_are_skipped_and_a_change_redoes_what_depends_on_it(finished):
    config, folder, _, _ = finished
    assert all(s.skipped for s in run(config, folder, name="run"))
    changed = config.model_copy(update={"banks": {"human": {"responses": "human", "context_key": 0.0}}})
    redone = [s.name for s in run(changed, folder, name="run") if not s.skipped]
    assert redone == ["index human", "report"]


def test_another_runs_folder_is_left_alone(finished, tmp_path):
    config, folder, _, _ = finished
    before = file_hash(folder)
    with pytest.raises(ArtifactError, match="belongs to the run 'run', not to 'other'"):
        run(config, folder, name="other")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="no run of g2r"):
        run(config, tmp_path, name="run")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="is a file"):
        run(config, tmp_path / "file", name="run")
    assert file_hash(folder) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "thesis.txt"]


@pytest.fixture
def dialogues(tmp_path):
    """Two files of dialogues and a function that gives the stage that reads one of them into the same output."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"hello {name}\nhow do you do {name}\n")
    return lambda name: read_stage(
        DataConfig(sources=(str(tmp_path / f"{name}.txt"),)), tmp_path / "x.parquet"
    )


def test_a_file_without_its_own_manifest_is_made_again(dialogues, tmp_path):
    """A kill between the two leaves the manifest of the file before."""
    out = tmp_path / "x.parquet"
    dialogues("a").run()
    manifest = manifest_path(out).read_bytes()
    dialogues("b").run()
    manifest_path(out).write_bytes(manifest)
    assert not dialogues("a").run().skipped
    assert read_examples(out)[0].context == ("hello a",)
    assert dialogues("a").run().skipped


def test_of_several_processes_the_first_writes_the_manifest(dialogues, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    dialogues("a").run()
    assert not manifest_path(tmp_path / "x.parquet").exists()
    monkeypatch.setenv("RANK", "0")
    dialogues("a").run()
    assert manifest_path(tmp_path / "x.parquet").exists()


def test_no_stage_writes_over_what_is_not_its_own(dialogues, tmp_path):
    (tmp_path / "x.parquet").mkdir()
    (tmp_path / "x.parquet" / "thesis").write_text("mine")
    with pytest.raises(ArtifactError, match="is a folder"):
        dialogues("a").run()
    source = tmp_path / "a.txt"
    for stage in (
        train_stage(source, TrainConfig(), tmp_path / "x.parquet"),
        index_stage(source, source, IndexConfig(), tmp_path / "x.parquet"),
        report_stage(source, {}, {}, "minilm", ReportConfig(), tmp_path / "x.parquet"),
    ):
        with pytest.raises(ArtifactError, match="something else"):
            stage.run()
    assert (tmp_path / "x.parquet" / "thesis").read_text() == "mine"


def test_scoring_without_a_teacher_is_refused(tmp_path):
    config = RunConfig.model_validate({"data": {"sources": ["x"]}, "score": {}})
    with pytest.raises(ConfigError, match="names no teacher"):
        stages(config, tmp_path)


def test_each_seed_trains_every_student_but_those_that_name_their_own(tmp_path):
    config = RunConfig.model_validate(
        {
            "data": {"sources": ["x"]},
            "train": {"init": "human"},
            "compare": {"human": {"init": "", "seed": 7}, "d": {}},
            "seeds": [1, 2],
        }
    )
    trained = {s.name: s for s in stages(config, tmp_path) if s.name.startswith("train")}
    assert list(trained) == ["train human", "train d", "train student", "train d@2", "train student@2"]
    assert [s.config["seed"] for s in trained.values()] == [7, 1, 1, 2, 2]
    human = tmp_path / "students" / "human"
    assert all(s.inputs["init"] == human for name, s in trained.items() if name != "train human")


def start(run_file: Path, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "g2r", "run", str(run_file), "-o", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_run_killed_again_and_again_ends_like_one_that_was_not(finished, tmp_path):
    """Killed once in each stage at a random moment: the same bytes of data, the same replies."""
    _, folder, summaries, run_file = finished
    killed = tmp_path / "killed"
    draw = random.Random(0)
    deaths = 0
    for summary in summaries:
        artifact = killed / summary.output.relative_to(folder)
        process = start(run_file, killed)
        while process.poll() is None and not _under_way(artifact, summaries, folder, killed):
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        deaths += process.wait() == -signal.SIGKILL
    assert deaths >= len(summaries) - 2
    assert start(run_file, killed).wait() == 0
    again = tmp_path / "again"
    assert start(run_file, again).wait() == 0  # the same number of threads: sums in the same order
    for name in DATA_FILES:
        assert (killed / name).read_bytes() == (again / name).read_bytes(), name
    for turns in (["do you like jazz?"], ["hello", "hi", "why rain 9?"]):
        assert Bot.load(killed).reply(turns).candidates == Bot.load(again).reply(turns).candidates


def _under_way(artifact: Path, summaries, folder: Path, killed: Path) -> bool:
    """True once every artifact before this one stands, so that its own stage is at work."""
    for summary in summaries:
        place = killed / summary.output.relative_to(folder)
        if place == artifact:
            return True
        if not place.exists():
            return False
    return True


def test_manifests_hash_what_is_packaged_and_a_teacher_in_a_folder(tmp_path, monkeypatch):
    corpus = tmp_path / "corpus"
    shutil.copytree(starter.FOLDER, corpus)
    monkeypatch.setattr(starter, "FOLDER", corpus)
    output = tmp_path / "dialogues.parquet"
    config = DataConfig(sources=("starter",))
    assert not read_stage(config, output).run().skipped
    assert read_stage(config, output).run().skipped
    plain = corpus / "plain.jsonl"
    plain.write_text(
        "".join(plain.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8"
    )
    assert not read_stage(config, output).run().skipped
    teacher = TransformersTeacherConfig(model=str(tmp_path / "corpus"))
    stage = generate_stage(output, teacher, GenerateConfig(), tmp_path / "candidates.parquet")
    assert stage.inputs["model"] == corpus
    recorded = RecordedTeacherConfig(path="chitchat")
    stage = generate_stage(output, recorded, GenerateConfig(), tmp_path / "candidates.parquet")
    assert "starter/recorded.jsonl" in stage.inputs


def test_manifests_hash_a_base_in_a_folder_and_the_words_that_vet(tmp_path):
    words, base = tmp_path / "words.txt", tmp_path / "base"
    words.write_text("dreadful\n")
    base.mkdir()
    vetted = IndexConfig(vet=(f"words:{words}", "words", "personal"))
    stage = index_stage(tmp_path / "e.parquet", base, vetted, tmp_path / "bank")
    assert [p for name, p in stage.inputs.items() if name not in ("examples", "student")] == [words]
    for name, hashed in ((str(base), base), ("minilm", None)):
        stage = report_stage(tmp_path / "e.parquet", {}, {}, name, ReportConfig(), tmp_path / "report")
        assert stage.inputs.get("base") == hashed


def test_a_stage_never_writes_over_what_it_reads(tmp_path):
    dialogues = tmp_path / "dialogues.jsonl"
    dialogues.write_text('{"turns": ["hi", "hello there"]}\n')
    with pytest.raises(ArtifactError, match="g2r did not write"):
        read_stage(DataConfig(sources=(str(dialogues),)), dialogues).run()
    assert dialogues.read_text() == '{"turns": ["hi", "hello there"]}\n'
    examples = tmp_path / "examples.parquet"
    read_stage(DataConfig(sources=(str(dialogues),)), examples).run()
    before = examples.read_bytes()
    teacher = RecordedTeacherConfig(path="chitchat")
    with pytest.raises(ArtifactError, match="is what the stage reads"):
        generate_stage(examples, teacher, GenerateConfig(), tmp_path / "." / "examples.parquet").run()
    assert examples.read_bytes() == before
