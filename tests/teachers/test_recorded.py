import json

import pytest

from g2r.config import GenerateConfig, RecordedTeacherConfig, SourceConfig
from g2r.dialogue import NO_SCORES, Candidate, Example, Scores
from g2r.errors import InputError, TeacherError
from g2r.generation import generate
from g2r.reading import read_dialogues
from g2r.teachers import Teacher, open_teacher
from g2r.teachers.recorded import RecordedTeacher

RECORD = {
    "turns": ["hi", "yo", "sup"],
    "human": "nm",
    "responses": ["all good", "fine!", "so so"],
    "scores": [2, 8, 7, 5],
}


@pytest.fixture
def opened(tmp_path):
    def opened(*rows, **fields):
        file = tmp_path / "record.jsonl"
        file.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
        return open_teacher(RecordedTeacherConfig(path=str(file), **fields))

    return opened


def test_it_replays_responses_in_order_with_their_scores(opened):
    teacher = opened(RECORD, name="big-model")
    assert isinstance(teacher, Teacher)
    assert (teacher.name, teacher.score_kinds) == ("big-model", {"judge"})
    known, unknown = teacher.generate(
        [("hi", "yo", "sup"), ("else",)], GenerateConfig(responses_per_context=2), seed=0
    )
    assert [(s.text, s.scores.judge, s.finished) for s in known] == [
        ("all good", 8, True),
        ("fine!", 7, True),
    ]
    assert unknown == []


def test_it_scores_what_is_on_record_and_the_human_reply(opened):
    scores = opened(RECORD).score([("hi", "yo", "sup"), ("else",)], [["fine!", "nm", "new"], ["fine!"]])
    assert scores == [[Scores(judge=7), Scores(judge=2), NO_SCORES], [NO_SCORES]]


def test_contexts_and_responses_are_found_by_their_cleaned_form(opened):
    teacher = opened({**RECORD, "turns": [" hi\n", "", "yo ", "sup"]})
    assert teacher.covers(("hi", "yo", "sup"))
    assert teacher.score([("hi ", "yo", "sup")], [[" fine! "]]) == [[Scores(judge=7)]]


def test_a_release_teaches_with_its_log_likelihoods(opened):
    infos = {"ll": -1.5, "mi": 0.25}
    rows = [
        {"context": ["hi"], "response": "hello", "source": "blender", "score_infos": infos},
        {"context": ["hi"], "response": "yo", "source": "original", "score_infos": {"ll": -3.0, "mi": -0.5}},
    ]
    teacher = opened(*rows)
    assert teacher.score_kinds == {"ll"}
    assert [s.text for s in teacher.generate([("hi",)], GenerateConfig(), seed=0)[0]] == ["hello"]
    [[hello, yo]] = teacher.score([("hi",)], [["hello", "yo"]])
    assert (hello.ll, hello.mi, yo.ll, yo.mi) == (-1.5, 0.25, -3.0, -0.5)


def test_a_batch_without_known_contexts_is_nothing_unusual(opened):
    teacher = opened(RECORD)
    assert teacher.generate([("else",)], GenerateConfig(), seed=0) == [[]]
    assert teacher.generate([], GenerateConfig(), seed=0) == teacher.score([], []) == []


def test_contexts_longer_than_the_record_name_its_history(opened):
    teacher = opened(RECORD)
    longer = [("well", "hi", "yo", "sup")]
    for call in (
        lambda: teacher.generate(longer, GenerateConfig(), seed=0),
        lambda: teacher.score(longer, [["fine!"]]),
    ):
        with pytest.raises(TeacherError, match=r"none of 1 contexts of up to 4 turns .* with history=3"):
            call()


def test_what_one_teacher_wrote_can_be_replayed():
    example = Example(
        ("hi",), (Candidate("yo", "human", True), Candidate("hey", "bot", scores=Scores(-4.0, 2)))
    )
    teacher = RecordedTeacher([example], name="bot")
    [[sample]] = teacher.generate([("hi",)], GenerateConfig(), seed=0)
    assert (sample.text, sample.scores.ll) == ("hey", -2.0)
    assert teacher.score_kinds == {"ll"}


def test_a_context_on_record_twice_is_one(opened):
    teacher = opened(RECORD, {**RECORD, "responses": ["fine!", "new"], "scores": [2, 7, 9]})
    [samples] = teacher.generate([("hi", "yo", "sup")], GenerateConfig(), seed=0)
    assert [s.text for s in samples] == ["all good", "fine!", "so so", "new"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**RECORD, "scores": [1, 2]}, r"line 2, field scores: got 2 scores for 4 replies"),
        ({**RECORD, "scores": [1, 2, None, 3]}, r"line 2, field scores\[2\]: got nothing, expected a finite"),
        (
            json.dumps({**RECORD, "scores": [1, 2, float("nan"), 3]}),
            r"line 2, field scores\[2\]: got float nan",
        ),
        ({**RECORD, "responses": ["a", 4, "c"]}, r"line 2, field responses\[1\]: got int 4"),
        ({"responses": ["a"]}, r"line 2, field context: got nothing, expected a list"),
        ({"turns": ["a", "b"]}, "holds dialogues without a teacher's responses"),
    ],
)
def test_malformed_records_are_refused(opened, row, message):
    with pytest.raises(InputError, match=message):
        opened(RECORD, row)


def test_missing_and_wrong_files(tmp_path):
    with pytest.raises(InputError, match="no file"):
        open_teacher(RecordedTeacherConfig(path=str(tmp_path / "gone.jsonl")))
    with pytest.raises(InputError, match="is no record; expected JSON Lines"):
        open_teacher(RecordedTeacherConfig(path="hf:someone/chats"))
    with pytest.raises(TeacherError, match="the record of teacher 'recorded' is empty"):
        RecordedTeacher([])


def test_the_packaged_record_joins_the_examples_of_chitchat():
    teacher = open_teacher(RecordedTeacherConfig(path="chitchat"))
    assert (teacher.name, teacher.score_kinds, teacher.history) == ("recorded-llm", {"judge"}, 4)
    test = read_dialogues(SourceConfig(path="chitchat", split="test"))
    assert sum(teacher.covers(e.context) for e in test) == 200
    taught = generate(test, teacher)
    assert taught.counts["generated"] == 1000
    written = [c for e in taught for c in e.candidates if not c.original]
    assert len(written) == taught.counts["kept"] > 950
    assert all(c.source == "recorded-llm" and 0 <= c.scores.judge <= 10 for c in written)
