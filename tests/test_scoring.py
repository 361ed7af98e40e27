import math
from dataclasses import replace

import pytest

from g2r import scoring
from g2r.config import GenerateConfig
from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import ConfigError, TeacherError
from g2r.generation import generate
from g2r.scoring import merge_duplicates, score
from tiny_models import make_teacher
from toy_teacher import ToyTeacher


def example(context, *texts, source="human"):
    return Example(context, tuple(Candidate(text, source, original=i == 0) for i, text in enumerate(texts)))


class Judge(ToyTeacher):
    """Rates with the number of words; knows nothing of what begins with a question mark."""

    def __init__(self):
        super().__init__()
        self.score_kinds = frozenset({"judge"})

    def score(self, contexts, responses):
        return [
            [Scores() if t.startswith("?") else Scores(judge=float(len(t.split()))) for t in group]
            for group in responses
        ]


def test_ll_and_mi_are_their_definitions():
    examples = [example(("tea or rain",), "tea please", "the sun"), example(("why",), "the sun")]
    result = score(examples, ToyTeacher())
    for got in result:
        for candidate in got.candidates:
            conditional = ToyTeacher.ll(got.context, candidate.text)
            alone = ToyTeacher.ll((), candidate.text)
            assert candidate.scores.ll_sum == conditional.ll_sum
            assert candidate.scores.tokens == conditional.tokens
            assert candidate.scores.mi == pytest.approx(
                conditional.ll_sum / conditional.tokens - alone.ll_sum / alone.tokens
            )
    assert result.counts == {"scored": 3, "unknown": 0, "scored_before": 0, "duplicates_merged": 0}


def test_a_response_is_scored_without_context_once_however_often_it_stands():
    teacher = ToyTeacher()
    score([example((f"turn {i}",), "the same", f"other {i}") for i in range(4)], teacher)
    assert teacher.calls == [8, 5]


def test_a_list_never_mixes_two_forms_of_log_likelihood():
    teacher = ToyTeacher()
    teacher.own_likelihoods_differ = True
    examples = generate([example(("hi there",), "hello you")], teacher, responses_per_context=3)
    alone = [replace(e, candidates=e.candidates[1:]) for e in examples]
    teacher.calls.clear()
    score(examples, teacher, scores=("ll",))
    score(alone, teacher, scores=("ll",))
    assert teacher.calls == [4]


def test_what_the_same_teacher_wrote_and_scored_is_not_scored_again():
    teacher = ToyTeacher()
    examples = generate([example(("hi there",), "hello you")], teacher, responses_per_context=3)
    teacher.calls.clear()
    result = score(examples, teacher)
    assert teacher.calls == [1, 4]
    assert result.counts["scored_before"] == 3
    assert result.items == score(_without_scores(examples), ToyTeacher()).items


def _without_scores(examples):
    return [replace(e, candidates=tuple(replace(c, scores=Scores()) for c in e.candidates)) for e in examples]


def test_scores_of_another_teacher_are_replaced():
    foreign = Candidate("hello you", "other", scores=Scores(ll_sum=-1.0, tokens=1, mi=5.0, judge=9.0))
    (result,) = score([Example(("hi",), (foreign,))], ToyTeacher())
    expected = ToyTeacher.ll(("hi",), "hello you")
    scores = result.candidates[0].scores
    assert (scores.ll_sum, scores.tokens) == (expected.ll_sum, expected.tokens)
    assert scores.mi != 5.0
    assert scores.judge == 9.0  # not asked for, so left alone


def test_a_judge_rates_and_what_it_does_not_know_is_counted():
    result = score([example(("hi",), "hello to you", "? no")], Judge(), scores=("judge",))
    assert [c.scores for c in result[0].candidates] == [Scores(judge=3.0), Scores()]
    assert result.counts["scored"] == 1
    assert result.counts["unknown"] == 1


def test_a_teacher_that_knows_nothing_at_all_is_an_error():
    with pytest.raises(TeacherError, match="gave no score for any of 1 candidates"):
        score([example(("hi",), "? no")], Judge(), scores=("judge",))


def test_asking_for_what_the_teacher_cannot_give_names_what_it_can():
    with pytest.raises(TeacherError, match="cannot give ll, mi; set scores to judge, or"):
        score([example(("hi",), "yes")], Judge())
    with pytest.raises(TeacherError, match="cannot give judge; set scores to ll or mi, or"):
        score([example(("hi",), "yes")], ToyTeacher(), scores=("ll", "judge"))
    mute = ToyTeacher()
    mute.score_kinds = frozenset()
    with pytest.raises(TeacherError, match="gives no scores at all"):
        score([example(("hi",), "yes")], mute)
    with pytest.raises(ConfigError, match="did you mean 'scores'"):
        score([], ToyTeacher(), score=("ll",))


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_scores_that_are_not_finite_name_the_context(value):
    class Broken(ToyTeacher):
        def score(self, contexts, responses):
            return [[Scores(ll_sum=value, tokens=1) for _ in group] for group in responses]

    with pytest.raises(TeacherError, match=r"ll_sum=.* for 'yes' after \['hi'\]"):
        score([example(("hi",), "yes")], Broken())


def test_a_wrong_number_of_scores_is_an_error():
    class Short(ToyTeacher):
        def score(self, contexts, responses):
            return [group[1:] for group in super().score(contexts, responses)]

    with pytest.raises(TeacherError, match=r"gave \[1\] scores, expected \[2\]"):
        score([example(("hi",), "yes", "no")], Short())


def test_duplicates_keep_one_with_its_best_scores():
    copies = (
        Candidate("yes", "toy", scores=Scores(ll_sum=-4.0, tokens=4, judge=3.0)),
        Candidate("no", "toy"),
        Candidate("yes", "human", original=True, scores=Scores(judge=8.0)),
        Candidate("yes", "toy", scores=Scores(ll_sum=-9.0, tokens=3, mi=0.5)),
    )
    merged = merge_duplicates(Example(("hi",), copies))
    best = Scores(ll_sum=-4.0, tokens=4, mi=0.5, judge=8.0)
    assert merged.candidates == (
        Candidate("yes", "human", original=True, scores=best),
        Candidate("no", "toy"),
    )
    assert score([Example(("hi",), copies)], ToyTeacher()).counts["duplicates_merged"] == 2


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "CONTEXTS_PER_UNIT", 2)
    monkeypatch.setattr(scoring, "RESPONSES_PER_UNIT", 3)
    examples = [example((f"turn {i}",), f"reply {i}", "yes") for i in range(5)]
    whole = score(examples, ToyTeacher())

    class Fails(ToyTeacher):
        def score(self, contexts, responses):
            if len(self.calls) == stop:
                raise TeacherError("out of memory")
            return super().score(contexts, responses)

    for stop in range(5):  # three units with contexts, two without
        journal = tmp_path / f"journal{stop}"
        with pytest.raises(TeacherError, match="out of memory"):
            score(examples, Fails(), journal=journal)
        teacher = ToyTeacher()
        assert score(examples, teacher, journal=journal) == whole
        assert len(teacher.calls) == 5 - stop


def test_a_journal_of_other_responses_is_not_used(tmp_path):
    """What the teacher scored as it wrote is not asked for again, but its texts are scored without context."""

    def examples(text):
        scored = Candidate(text, "toy", scores=Scores(ll_sum=-3.0, tokens=3))
        return [Example(("hi",), (Candidate("hello", "human", original=True), scored))]

    journal = tmp_path / "journal"
    score(examples("zzz zzz zzz"), ToyTeacher(), journal=journal)
    assert score(examples("an apple"), ToyTeacher(), journal=journal) == score(
        examples("an apple"), ToyTeacher()
    )


def test_with_a_real_model_generation_and_scoring_agree(tmp_path):
    from g2r.teachers.transformers import TransformersTeacher

    teacher = TransformersTeacher(make_teacher(tmp_path / "bart", "bart"))
    examples = [example(("i like dogs", "why ?"), "i love dogs"), example(("it was fun",), "really ?")]
    written = generate(examples, teacher, settings=GenerateConfig(max_tokens=12, responses_per_context=6))
    kept = score(written, teacher)
    fresh = score(_without_scores(written), teacher)
    for a, b in zip(kept, fresh, strict=True):
        for x, y in zip(a.candidates, b.candidates, strict=True):
            assert x.scores.ll_sum == pytest.approx(y.scores.ll_sum, abs=1e-4)
            assert x.scores.mi == pytest.approx(y.scores.mi, abs=1e-4)
    assert kept.counts["scored_before"] > 0
