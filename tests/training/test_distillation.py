"""Distilling a tiny student: it learns, the same way however it is computed, and survives being killed."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from g2r.config import TrainConfig
from g2r.dialogue import Example
from g2r.errors import ArtifactError, ConfigError, InputError
from g2r.student import CONTEXT_TASK, RESPONSE_TASK, BiEncoder
from g2r.training import distill, training_precision
from g2r.training.batches import BatchMaker, Schedule, training_data
from g2r.training.keys import KeyMaker
from g2r.training.trainer import BatchCollator, G2RLoss
from tiny_students import SETTINGS, TOPICS, make_base, topic_examples

PROGRAM = Path(__file__).parents[1] / "train_tiny.py"
KILLED = {
    **SETTINGS,
    "max_steps": 8,
    "evals": 2,
    "checkpoint_steps": 2,
    "score": "judge",
    "random_negatives": 5,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def dropping_base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("dropping"), dropout=0.1)


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


def log_of(student: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (student / "training_log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def learnt(base, tmp_path_factory):
    """A student trained to the end, the steps its progress told, and its folder."""
    output = tmp_path_factory.mktemp("runs") / "student"
    steps = []
    student = distill(
        topic_examples(),
        base=base,
        output=output,
        config=TrainConfig(**SETTINGS, epochs=15, evals=3, score="judge"),
        progress=lambda done, total, note="": steps.append((done, total, note)),
    )
    return student, steps, output


def test_a_folder_of_something_else_is_not_written_over(tmp_path):
    (tmp_path / "thesis").write_text("mine")
    with pytest.raises(ArtifactError, match="something else"):
        distill([], output=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis"]


def test_training_teaches_what_the_base_does_not_know(base, learnt):
    student, _, output = learnt
    examples = [e for e in topic_examples() if e.split == "valid"]
    answers = [e.originals[0].text for e in examples]

    def hits(encoder):
        scores = encoder.encode_contexts([e.context for e in examples]) @ encoder.encode_responses(answers).T
        return (scores.argmax(axis=1) == np.arange(TOPICS)).mean()

    before = hits(BiEncoder.load(base).with_form(max_context_tokens=32, max_response_tokens=16))
    assert hits(student) > 0.9 > 0.4 > before
    measured = [entry["eval_hits@1"] for entry in log_of(output) if "eval_hits@1" in entry]
    assert len(measured) == 3
    assert student.training["hits@1"] == max(measured)


def test_the_folder_holds_the_student_and_its_record(learnt):
    student, steps, output = learnt
    assert [done for done, _, _ in steps] == list(range(1, steps[-1][1] + 1))
    assert "loss" in steps[-1][2]
    assert [p.name for p in output.parent.iterdir()] == ["student"]
    again = BiEncoder.load(output)
    assert again.fingerprint == student.fingerprint
    texts = ["that is answer3", "always answer1 !"]
    plain = SentenceTransformer(str(output), device="cpu")
    np.testing.assert_allclose(plain.encode(texts), student.encode_responses(texts), atol=1e-6)
    assert student.training["contexts"] == 4 * TOPICS
    assert student.training["scored_candidates"] == student.training["candidates"] == 10 * TOPICS
    entry = log_of(output)[0]
    assert {"loss", "contrastive", "distillation", "target_entropy", "without_target", "epoch"} <= set(entry)
    # Contexts without a target keep their whole contrastive term, so the loss is over the plain mixture.
    mixture = (entry["contrastive"] + entry["distillation"]) / 2
    assert mixture < entry["loss"] < mixture + entry["contrastive"] / 2
    assert 0 < entry["target_entropy"] < 1
    assert log_of(output)[-1]["epoch"] == pytest.approx(15)


def test_the_model_returned_is_the_best_one_seen(base, tmp_path):
    # A learning rate that wrecks the student after a good start: what was good must be kept.
    student = distill(
        topic_examples(),
        base=base,
        output=tmp_path / "student",
        **{**SETTINGS, "learning_rate": 0.3, "epochs": 2, "evals": 8, "warmup_fraction": 0.9},
    )
    measured = {e["step"]: e["eval_hits@1"] for e in log_of(tmp_path / "student") if "eval_hits@1" in e}
    assert student.training["hits@1"] == max(measured.values())
    assert measured[student.training["step"]] == max(measured.values())
    assert measured[max(measured)] < max(measured.values())


def gradients(base, **options):
    config = TrainConfig(
        **{**SETTINGS, "score": "judge", "random_negatives": 6, "key_weight": 0.7, **options}
    )
    student = BiEncoder.load(base).with_form(max_context_tokens=32, max_response_tokens=16)
    data = training_data([e for e in topic_examples() if e.split == "train"], config)
    maker = BatchMaker(data, Schedule(len(data.lists), config.batch_size, config.seed), config)
    keys = KeyMaker(data, config.seed) if config.key_weight else None
    collator = BatchCollator(student.model.preprocess, maker=maker, student=student, keys=keys)
    inputs = collator([{"position": 0}])
    student.model.train()
    loss_of = G2RLoss(student.model, config)
    features = [
        {key.removeprefix(f"{column}_"): value for key, value in inputs.items() if key.startswith(column)}
        for column in ("contexts", "responses", *(["keys"] if keys else []))
    ]
    loss = loss_of(features, inputs["label"])
    loss.backward()
    return loss.item(), {n: p.grad for n, p in student.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("mini_batch_size", [1, 7, 500])
def test_cached_loss_and_gradients_are_the_plain_ones(base, mini_batch_size):
    plain, cached = gradients(base), gradients(base, mini_batch_size=mini_batch_size)
    assert cached[0] == pytest.approx(plain[0], abs=1e-5)
    assert cached[1].keys() == plain[1].keys()
    for name, gradient in plain[1].items():
        torch.testing.assert_close(cached[1][name], gradient, atol=1e-5, rtol=1e-4)


def test_texts_padded_apart_give_the_gradients_of_texts_padded_together(base, monkeypatch):
    apart = gradients(base, batch_size=48)
    monkeypatch.setattr("g2r.training.trainer._CHUNK", 10_000)
    together = gradients(base, batch_size=48)
    assert apart[0] == pytest.approx(together[0], abs=1e-5)
    for name, gradient in together[1].items():
        torch.testing.assert_close(apart[1][name], gradient, atol=1e-5, rtol=1e-4)


def test_the_collator_carries_masks_by_id_beside_two_columns_of_texts(base):
    config = TrainConfig(**SETTINGS, score="judge")
    student = BiEncoder.load(base).with_form(max_context_tokens=32, max_response_tokens=16)
    data = training_data([e for e in topic_examples() if e.split == "train"], config)
    maker = BatchMaker(data, Schedule(len(data.lists), 12, 0), config)
    collator = BatchCollator(student.model.preprocess, maker=maker, student=student)
    inputs, batch = collator([{"position": 24}]), maker.batch(2)
    decode = student.model.tokenizer.batch_decode
    responses = [data.responses[i] for i in batch.encoded]
    contexts = [student.context_text(data.lists[i].example.context) for i in batch.contexts]
    assert decode(inputs["responses_input_ids"], skip_special_tokens=True) == responses
    assert [t.replace(" [SEP]", "") for t in contexts] == decode(
        inputs["contexts_input_ids"], skip_special_tokens=True
    )
    assert (inputs["contexts_task"], inputs["responses_task"]) == (CONTEXT_TASK, RESPONSE_TASK)
    assert inputs["label"]["positives"].shape == (12, len(responses))
    torch.testing.assert_close(inputs["label"]["negatives"], torch.from_numpy(batch.negatives))


@pytest.fixture(scope="module")
def killed(dropping_base, tmp_path_factory):
    """The folder of a training that SIGKILL ended after step 5 of 8."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, PROGRAM, dropping_base, folder, json.dumps({"student": KILLED}), "5"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (folder / "student").exists()
    return folder


@pytest.fixture(scope="module")
def uninterrupted(dropping_base, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "student"
    distill(topic_examples(), base=dropping_base, output=output, **KILLED)
    return output


def same_student(one: Path, other: Path) -> bool:
    names = ("model.safetensors", "training_log.jsonl", "training.json", "g2r.json")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_a_killed_training_resumes_to_the_same_bytes(killed, uninterrupted, dropping_base, tmp_path):
    shutil.copytree(killed, tmp_path / "run")
    steps = []
    distill(
        topic_examples(),
        base=dropping_base,
        output=tmp_path / "run" / "student",
        progress=lambda done, total, note="": steps.append(done),
        **KILLED,
    )
    assert steps == [5, 6, 7, 8]
    assert same_student(tmp_path / "run" / "student", uninterrupted)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["student"]


def test_a_checkpoint_cut_short_is_passed_over(killed, uninterrupted, dropping_base, tmp_path):
    shutil.copytree(killed, tmp_path / "run")
    last = tmp_path / "run" / ".student.checkpoints" / "checkpoint-4"
    os.truncate(last / "optimizer.pt", 1000)
    steps = []
    distill(
        topic_examples(),
        base=dropping_base,
        output=tmp_path / "run" / "student",
        progress=lambda done, total, note="": steps.append(done),
        **KILLED,
    )
    assert steps[0] == 3
    assert same_student(tmp_path / "run" / "student", uninterrupted)


@pytest.mark.parametrize("change", [{"seed": 1}, {"max_steps": 9}])
def test_checkpoints_of_another_training_are_not_gone_on_from(killed, dropping_base, change, tmp_path):
    shutil.copytree(killed, tmp_path / "run")
    steps = []
    distill(
        topic_examples(),
        base=dropping_base,
        output=tmp_path / "run" / "student",
        progress=lambda done, total, note="": steps.append(done),
        **{**KILLED, **change},
    )
    assert steps[0] == 1


def test_the_same_seed_gives_the_same_student(dropping_base, uninterrupted, tmp_path):
    distill(topic_examples(), base=dropping_base, output=tmp_path / "again", **KILLED)
    assert same_student(tmp_path / "again", uninterrupted)


@pytest.mark.parametrize("room", [2_000, 60_000, 150_000])
def test_a_full_disk_leaves_the_earlier_student(dropping_base, uninterrupted, room, tmp_path):
    shutil.copytree(uninterrupted, tmp_path / "student")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(ArtifactError, match="cannot write") as caught:
            distill(
                topic_examples(), base=dropping_base, output=tmp_path / "student", **{**KILLED, "seed": 3}
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert same_student(tmp_path / "student", uninterrupted)


def test_two_processes_train_like_one(base, tmp_path):
    options = {**SETTINGS, "max_steps": 3, "evals": 1, "score": "judge", "random_negatives": 5}
    students = {
        towers: {**options, "towers": towers, "key_weight": weight}
        for towers, weight in (("shared", 0.5), ("separate", 0))
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    command = [*launch, PROGRAM, base, tmp_path / "two", json.dumps(students)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, settings in students.items():
        distill(topic_examples(), base=base, output=tmp_path / "one" / name, **settings)
        one, two = log_of(tmp_path / "one" / name), log_of(tmp_path / "two" / name)
        assert one[0]["loss"] == pytest.approx(two[0]["loss"], abs=1e-5)
        assert one[0]["grad_norm"] == pytest.approx(two[0]["grad_norm"], rel=1e-4)
        for a, b in zip(one, two, strict=True):
            # The mean entropy is one over processes with unequal numbers of targets.
            a.pop("target_entropy", None), b.pop("target_entropy", None)
            assert a == pytest.approx(b, abs=1e-3)
        for file in sorted((tmp_path / "one" / name).rglob("*.safetensors")):
            other = load_file(tmp_path / "two" / file.relative_to(tmp_path / "one"))
            for weight_name, weight in load_file(file).items():
                torch.testing.assert_close(other[weight_name], weight, atol=2e-3, rtol=0)


def test_the_key_term_draws_contexts_of_one_response_together(base):
    examples = topic_examples()
    options = {**SETTINGS, "responses": "original", "max_steps": 12, "evals": 1, "score": None}

    def margin(student):
        contexts = [e.context for e in examples if e.split == "train"]
        kinds = [{c.response_id for c in e.candidates} for e in examples if e.split == "train"]
        vectors = student.encode_contexts(contexts)
        likeness = vectors @ vectors.T
        akin = np.array([[bool(a & b) for b in kinds] for a in kinds])
        apart = ~np.eye(len(akin), dtype=bool)
        return likeness[akin & apart].mean() - likeness[~akin].mean()

    with_keys = distill(examples, base=base, **options, key_weight=2.0)
    assert margin(with_keys) > margin(distill(examples, base=base, **options)) + 0.05


def test_frozen_layers_stay_as_they_were(base):
    before = dict(BiEncoder.load(base).model.named_parameters())
    student = distill(topic_examples(), base=base, **SETTINGS, max_steps=2, evals=1, freeze_layers=1)
    changed = {name for name, p in student.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all(".layer.1." in name for name in changed)


def test_to_freeze_every_layer_is_refused(base):
    with pytest.raises(ConfigError, match="freeze_layers is 2, but this base has 2 numbered layers"):
        distill(topic_examples(), base=base, **SETTINGS, max_steps=2, evals=1, freeze_layers=2)


def test_separate_towers_are_trained_apart(base):
    student = distill(topic_examples(), base=base, **SETTINGS, towers="separate", max_steps=3, evals=1)
    towers = student.model[0].sub_modules
    query, document = (
        towers[t][0].auto_model.embeddings.word_embeddings.weight for t in ("query", "document")
    )
    assert not torch.equal(query, document)


def test_the_baseline_learns_from_human_responses_alone(base):
    options = {**SETTINGS, "max_steps": 2, "evals": 1}
    examples = topic_examples(judged=False)
    baseline = distill(examples, base=base, responses="original", **options)
    assert baseline.training["candidates"] == baseline.training["contexts"] == 4 * TOPICS
    assert distill(examples, base=base, **options).training["candidates"] == 10 * TOPICS


def test_bank_score_selects_by_what_is_retrieved_from_the_bank(base):
    asked = []

    def judge(contexts, responses):
        asked.append(len(contexts))
        return [[float(reply.split()[-1] == "!")] for [reply] in responses]

    student = distill(
        topic_examples(), base=base, **SETTINGS, max_steps=4, evals=2, select_by="bank_score", judge=judge
    )
    assert asked == [TOPICS, TOPICS]
    assert 0 <= student.training["bank_score"] <= 1
    assert "hits@1" in student.training


def test_a_student_can_be_trained_further_and_stays_as_it_was(learnt):
    student, _, _ = learnt
    before = student.fingerprint
    further = distill(topic_examples(), base=student, **SETTINGS, max_steps=2, evals=1, hard_negatives=2)
    assert further.fingerprint != before
    assert BiEncoder(student.model, student.form).fingerprint == before


def test_mini_batches_and_trackers(base, tmp_path):
    pytest.importorskip("tensorboard")
    options = {**SETTINGS, "max_steps": 2, "mini_batch_size": 5, "report_to": ("tensorboard",)}
    distill(topic_examples(), base=base, output=tmp_path / "student", **options)
    assert list((tmp_path / "student.logs").glob("events*"))


def test_nothing_held_out_keeps_the_last_model(base):
    examples = [e for e in topic_examples() if e.split == "train"]
    student = distill(examples, base=base, **SETTINGS, max_steps=2)
    assert student.training["step"] == 2
    assert "hits@1" not in student.training


def test_what_cannot_be_trained_is_refused_in_one_line(base, tmp_path):
    examples = topic_examples()
    valid = [e for e in examples if e.split == "valid"]
    with pytest.raises(ConfigError, match="no training examples"):
        distill(valid, base=base, **SETTINGS)
    with pytest.raises(ConfigError, match="did you mean 'batch_size'"):
        distill(examples, base=base, batchsize=3)
    with pytest.raises(ConfigError, match="scores in the data: judge"):
        distill(examples, base=base, **SETTINGS, score="mi")
    with pytest.raises(ConfigError, match="report_to names"):
        distill(examples, base=base, **SETTINGS, report_to=("abacus",))
    with pytest.raises(ConfigError, match="split 'valid', got none"):
        distill([e for e in examples if e.split == "train"], base=base, **SETTINGS, select_by="bank_score")
    lone = Example(("hi",), examples[0].candidates[:1], split="valid")
    with pytest.raises(ConfigError, match="two different original responses"):
        distill([e for e in examples if e.split == "train"] + [lone], base=base, **SETTINGS)
    with pytest.raises(InputError, match="no model"):
        distill(examples, base=tmp_path / "nothing", **SETTINGS)
    with pytest.raises(ConfigError, match="lower max_context_tokens"):
        distill(examples, base=base, **{**SETTINGS, "max_context_tokens": 65})
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        distill(examples, base=base, output=tmp_path / "file" / "student", **SETTINGS)


def test_precision_follows_the_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for native, expected in (({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda native=native: native)
        assert training_precision("auto", accelerated=False) == expected
    assert training_precision("bf16", accelerated=False) == "bf16"
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        training_precision("fp16", accelerated=False)
