"""The judge as a teacher: it rates through the score stage, and says that it cannot write."""

import pytest

from g2r.config import GenerateConfig, JudgeTeacherConfig, RunConfig, parse_config
from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import ArtifactError, InputError, TeacherError
from g2r.judge.model import Judge
from g2r.scoring import score
from g2r.stages import score_stage
from g2r.teachers import Teacher, open_teacher, parse_teacher
from g2r.teachers.base import identity
from tiny_judges import make_base

CONTEXT = ("we like thing1", "so so")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges") / "judge"
    Judge.load(make_base(tmp_path_factory.mktemp("base"))).with_form(max_tokens=32).save(folder)
    return folder


def test_the_score_stage_takes_its_ratings(folder):
    teacher = open_teacher(parse_teacher(f"judge:{folder}"))
    assert isinstance(teacher, Teacher)
    texts = ["good thing1", "poor thing2", "fine"]
    candidates = tuple(
        Candidate(text, "human", scores=Scores(judge=3.0, ll_sum=-2.0, tokens=2)) for text in texts
    )
    (example,) = score([Example(CONTEXT, candidates)], teacher, scores=("judge",))
    ratings = Judge.load(folder).score(CONTEXT, texts)
    assert [c.scores.judge for c in example.candidates] == pytest.approx(ratings.tolist(), rel=1e-5)
    assert {c.scores.ll_sum for c in example.candidates} == {-2.0}


def test_it_gives_no_likelihoods_and_no_responses(folder):
    teacher = open_teacher(JudgeTeacherConfig(path=str(folder)))
    with pytest.raises(TeacherError, match="cannot give ll"):
        score([Example(CONTEXT, (Candidate("good", "human"),))], teacher, scores=("ll",))
    with pytest.raises(TeacherError, match="rates responses and writes none"):
        teacher.generate([CONTEXT], GenerateConfig(), seed=0)
    with pytest.raises(TeacherError, match="a context without turns"):
        teacher.score([()], [["good"]])


def test_another_judge_is_another_teacher_and_another_pace_is_not(folder, tmp_path):
    one = open_teacher(JudgeTeacherConfig(path=str(folder)))
    paced = open_teacher(JudgeTeacherConfig(path=str(folder), batch_size=3))
    Judge.load(make_base(tmp_path / "base", seed=4)).save(tmp_path / "judge")
    other = open_teacher(JudgeTeacherConfig(path=str(tmp_path / "judge")))
    assert one.name != other.name
    assert identity(one) == identity(paced)


def test_a_run_file_names_it_and_its_files_are_inputs(folder, tmp_path):
    values = {
        "data": {"sources": ["starter"]},
        "teacher": {"kind": "judge", "path": str(folder)},
        "score": {"scores": ["judge"]},
    }
    config = parse_config(RunConfig, values, where="run")
    assert config.teacher is not None
    stage = score_stage(
        tmp_path / "examples.parquet", config.teacher, config.score, tmp_path / "scored.parquet"
    )
    assert stage.inputs["judge"] == folder


def test_what_is_no_judge_is_refused(tmp_path):
    with pytest.raises(InputError, match="no judge"):
        open_teacher(JudgeTeacherConfig(path=str(tmp_path)))
    base = make_base(tmp_path / "base")
    (base / "g2r.json").write_text('{"kind": "something"}')
    with pytest.raises(ArtifactError, match="describes no judge"):
        open_teacher(JudgeTeacherConfig(path=str(base)))
