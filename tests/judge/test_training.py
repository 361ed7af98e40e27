"""Training the judge: it learns, a killed training goes on to the same judge, nothing foreign is overwritten."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from g2r.config import JudgeConfig
from g2r.errors import ArtifactError, ConfigError
from g2r.judge.material import NEXT, ON_POLICY, SCORED, Material, retriever
from g2r.judge.model import Judge
from g2r.judge.training import learning_rate_at, phase_at, train_judge
from g2r.training.checkpoints import workplace
from tiny_judges import NOUNS, SETTINGS, dialogues, make_base, on_policy_lists, rated_examples
from tiny_students import make_base as make_student_base

EXAMPLES = dialogues() + rated_examples()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "judge"
    settings = {**SETTINGS, "max_steps": 100, "pretrain_share": 0.2}
    train_judge(EXAMPLES, on_policy=on_policy_lists(), output=output, base=str(base), **settings)
    return output


def test_it_learns_to_order_and_to_rate(trained):
    judge = Judge.load(trained)
    assert judge.training["rho"] > 0.7
    good, awful = judge.score(("what of thing4 ?",), ["good thing9 and we", "awful thing4 and we"])
    assert good > awful + 3


def test_the_log_holds_every_step_and_evaluation(trained):
    entries = [json.loads(line) for line in (trained / "training_log.jsonl").read_text().splitlines()]
    assert [e["step"] for e in entries if "loss" in e] == list(range(100))
    assert [e["step"] for e in entries if "rho" in e] == [50, 100]
    assert {e["phase"] for e in entries if "phase" in e} == {0, 1}
    assert not workplace(trained).exists()


class KilledError(Exception):
    pass


SHORT = {**SETTINGS, "max_steps": 10, "checkpoint_steps": 4}


def log_of(folder):
    lines = (folder / "training_log.jsonl").read_text().splitlines()
    return [json.loads(line) | {"step_seconds": 0} for line in lines]


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "judge"
    train_judge(EXAMPLES, on_policy=on_policy_lists(), output=output, base=str(base), **SHORT)
    return output


@pytest.mark.parametrize("at", [3, 9])
def test_a_killed_training_ends_with_the_same_judge(base, whole, tmp_path, at):
    def kill(done, total, *, note=""):
        if done == at:
            raise KilledError

    def run(**more):
        return train_judge(
            EXAMPLES, on_policy=on_policy_lists(), output=tmp_path / "judge", base=str(base), **SHORT, **more
        )

    with pytest.raises(KilledError):
        run(progress=kill)
    assert not (tmp_path / "judge").exists()
    assert run().fingerprint == Judge.load(whole).fingerprint
    assert log_of(tmp_path / "judge") == log_of(whole)


def test_time_ends_a_training_with_its_schedule(base, tmp_path, monkeypatch):
    """Each look at the clock is a second: a step takes three, an evaluation one."""
    clock = itertools.count()
    monkeypatch.setattr("g2r.judge.training.time.perf_counter", lambda: float(next(clock)))
    settings = {**SETTINGS, "max_steps": 10**6, "minutes": 0.5, "evals": 1, "checkpoint_steps": 10**6}
    train_judge(dialogues(), output=tmp_path / "judge", base=str(base), **settings)
    log = log_of(tmp_path / "judge")
    rates = [entry["learning_rate"] for entry in log if "learning_rate" in entry]
    assert len(rates) == 10
    assert rates == pytest.approx([learning_rate_at(n / 10, 3e-3, 0.06) for n in range(10)], abs=1e-6)
    assert "hits@1" in log[-1]


def test_a_folder_of_something_else_is_left_alone(base, tmp_path):
    (tmp_path / "letters").write_text("dear")
    with pytest.raises(ArtifactError, match="holds something else"):
        train_judge(EXAMPLES, output=tmp_path, base=str(base), **SETTINGS)


def test_nothing_to_train_on_is_an_error(base, tmp_path):
    with pytest.raises(ConfigError, match="no context of split 'train'"):
        train_judge([], output=tmp_path / "judge", base=str(base), **SETTINGS)


def material(**options):
    return Material.of(EXAMPLES, on_policy_lists(), JudgeConfig(**{**SETTINGS, **options}))


def test_lists_that_choose_are_not_trained_on():
    made = material(valid_share=0.2)
    assert len(made.valid_scored) == 12
    measured = {item.context for item in made.valid_scored}
    assert not measured & {item.context for item in made.on_policy}
    assert {e.split for e in made.next_utterances} == {"train"}
    assert made.valid_next


def test_a_step_takes_its_lists_in_the_shares_asked_for():
    made = material()
    config = JudgeConfig(batch_lists=16, onpolicy_share=0.5, replay_share=0.25)
    assert made.shares(0, config) == {NEXT: 16}
    assert made.shares(1, config) == {ON_POLICY: 8, NEXT: 4, SCORED: 4}
    only = Material((), made.scored, (), made.negatives)
    assert only.shares(1, config) == {NEXT: 4, SCORED: 12}


def test_what_is_drawn_depends_on_the_step_alone():
    config = JudgeConfig(**SETTINGS)
    for kind in (NEXT, ON_POLICY, SCORED):
        first, second = material(), material()
        first.draw(kind, 5, 0, config)
        assert first.draw(kind, 5, 3, config) == second.draw(kind, 5, 3, config)
        assert first.draw(kind, 5, 3, config) != first.draw(kind, 5, 4, config)


def test_phases_follow_the_share_done():
    assert phase_at(0.2, 0.4, 2) == (0, 0.5)
    assert phase_at(0.7, 0.4, 2) == pytest.approx((1, 0.5))
    assert phase_at(0.7, 0.4, 1) == (0, 0.7)
    assert phase_at(0.5, 0.0, 2) == (1, 0.5)
    assert phase_at(0.5, 1.0, 2) == (0, 0.5)


def test_the_learning_rate_rises_and_falls():
    rates = [learning_rate_at(done, 2.0, 0.25) for done in (0.0, 0.125, 0.25, 0.625, 1.0)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, 1.0, 0.0])
    assert learning_rate_at(0.0, 2.0, 0.0) == 2.0


def test_the_retriever_gives_the_nearest_training_responses(tmp_path):
    from g2r.student import BiEncoder

    folder = make_student_base(tmp_path)
    find = retriever(EXAMPLES, JudgeConfig(retriever=str(folder)))
    student = BiEncoder.load(folder)
    pool = sorted({c.text for e in EXAMPLES if e.split == "train" for c in e.candidates})
    context = ("i like topic1",)
    scores = dict(
        zip(
            pool,
            (student.encode_responses(pool) @ student.encode_contexts([context])[0]).tolist(),
            strict=True,
        )
    )
    (found,) = find([context])
    assert len(found) == 30
    np.testing.assert_allclose(
        [scores[t] for t in found], sorted(scores.values(), reverse=True)[:30], rtol=1e-5
    )
    assert retriever(EXAMPLES, JudgeConfig(retriever="")) is None


def test_contexts_of_the_lists_that_measure_train_in_no_phase():
    lists = on_policy_lists()
    copies = [
        replace(e, context=item.context, dialogue_id=f"copy-{item.id}")
        for e, item in zip(rated_examples() * 2, lists[::2] + lists[1::2], strict=True)
    ]
    twin = replace(lists[0], id="other-1")
    config = JudgeConfig(**SETTINGS, valid_share=0.4)
    material = Material.of([*dialogues(), *copies], [*lists, twin], config)
    asked = {item.context[-2:] for item in material.valid_scored}
    assert 0 < len(asked) < len(NOUNS)
    for part in (material.next_utterances, material.scored, material.on_policy):
        assert part
        assert not asked & {item.context[-2:] for item in part}
    kept_apart = {item.context[-2:] for item in copies} & asked
    assert len(material.scored) == len([e for e in copies if e.context[-2:] not in kept_apart]) > 0
