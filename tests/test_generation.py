import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2r import generation
from g2r.artifacts import read_examples, write_examples
from g2r.config import GenerateConfig
from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import ConfigError, TeacherError
from g2r.generation import generate, is_degenerate, unusable
from g2r.teachers.base import Sample
from toy_teacher import WORDS, ToyTeacher

KILLED_SCRIPT = """
import random, sys
from pathlib import Path
from g2r import {stage} as module
from g2r.artifacts import read_examples, write_examples
from g2r.dialogue import Candidate, Example
from toy_teacher import WORDS, ToyTeacher

module.CONTEXTS_PER_UNIT = 4
module.RESPONSES_PER_UNIT = 10
rng = random.Random(0)
examples = [
    Example((f"do you like {{rng.choice(WORDS)}} {{i}}?",), (Candidate(f"i like {{i % 50}}", "human", True),))
    for i in range(160)
]
out, pause = Path(sys.argv[1]), float(sys.argv[2])
journal = out.with_name("journal")
result = module.{verb}(examples, ToyTeacher(pause=pause), journal=journal)
write_examples(result, out)
journal.unlink()
"""


class Scripted(ToyTeacher):
    """Says what it is given."""

    def __init__(self, samples):
        super().__init__()
        self.samples = samples

    def generate(self, contexts, settings, *, seed):
        return [self.samples.get(context[-1], []) for context in contexts]


def example(*turns, human="nice to hear that"):
    return Example(turns, (Candidate(human, "human", original=True),), dialogue_id="d", split="valid")


def test_responses_join_the_candidates_with_their_scores():
    scores = Scores(ll_sum=-3.5, tokens=4)
    teacher = Scripted({"hi": [Sample("hello to you", scores), Sample("good morning", Scores(judge=7))]})
    (result,) = generate([example("hi")], teacher)
    assert result.candidates == (
        Candidate("nice to hear that", "human", original=True),
        Candidate("hello to you", "toy", scores=scores),
        Candidate("good morning", "toy", scores=Scores(judge=7)),
    )
    assert (result.dialogue_id, result.split) == ("d", "valid")


def test_every_sample_is_kept_or_counted_as_dropped():
    samples = {
        "do you like tea": [
            Sample("yes I do,  a lot"),
            Sample("Yes, I do: a lot!"),  # repeated
            Sample("Nice to hear that."),  # repeats the human's
            Sample("do you like tea?"),  # echo
            Sample("and then the", finished=False),
            Sample("  "),
            Sample("yes"),
            Sample("one " + "two three four five six " * 13),
            Sample("i like it i like it i like it"),
        ],
        "bye": [Sample(""), Sample("bye")],
    }
    result = generate([example("do you like tea"), example("bye")], Scripted(samples))
    assert [c.text for c in result[0].candidates] == ["nice to hear that", "yes I do, a lot"]
    assert result.counts == {
        "generated": 11,
        "kept": 1,
        "contexts_without_response": 1,
        "dropped_truncated": 1,
        "dropped_empty": 2,
        "dropped_short": 2,
        "dropped_long": 1,
        "dropped_degenerate": 1,
        "dropped_echo": 1,
        "dropped_repeated": 2,
    }


def test_a_text_changed_by_cleaning_loses_the_log_likelihood_of_its_tokens():
    given = Scores(ll_sum=-3.0, tokens=3, judge=6)
    (result,) = generate([example("hi")], Scripted({"hi": [Sample("hello\nto you", given)]}))
    assert result.candidates[1].scores == Scores(judge=6)
    assert result.candidates[1].text == "hello to you"


def test_a_context_that_stands_twice_is_written_for_once():
    teacher = ToyTeacher()
    result = generate([example("hi there"), example("hi there", human="hello")], teacher)
    assert teacher.calls == [1]
    assert result[0].candidates[1:] == result[1].candidates[1:]


def test_options_change_single_settings():
    teacher = ToyTeacher()
    settings = GenerateConfig(responses_per_context=2, seed=1)
    few = generate([example("hi")], teacher, settings=settings)
    more = generate([example("hi")], teacher, settings=settings, responses_per_context=4)
    assert (few.counts["generated"], more.counts["generated"]) == (2, 4)
    assert few[0].candidates[1].text == more[0].candidates[1].text
    with pytest.raises(ConfigError, match="did you mean 'responses_per_context'"):
        generate([example("hi")], teacher, responses_per_contexts=4)


def test_a_teacher_that_says_nothing_at_all_is_an_error():
    with pytest.raises(TeacherError, match="wrote nothing for any of 2 contexts"):
        generate([example("hi"), example("bye")], Scripted({"hi": [Sample(" ")]}))


def test_a_wrong_number_of_lists_is_an_error():
    class Short(ToyTeacher):
        def generate(self, contexts, settings, *, seed):
            return []

    with pytest.raises(TeacherError, match="answered 1 contexts with 0 lists"):
        generate([example("hi")], Short())


def test_no_examples_give_no_examples():
    assert len(generate([], ToyTeacher())) == 0


def test_progress_counts_contexts(monkeypatch):
    monkeypatch.setattr(generation, "CONTEXTS_PER_UNIT", 2)
    seen = []
    generate(
        [example(f"turn {i}") for i in range(5)],
        ToyTeacher(),
        progress=lambda d, t, note="": seen.append((d, t)),
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "CONTEXTS_PER_UNIT", 2)
    examples = [example(f"turn {i}") for i in range(6)]
    journal = tmp_path / "journal"

    class Fails(ToyTeacher):
        def generate(self, contexts, settings, *, seed):
            if len(self.calls) == 2:
                raise TeacherError("out of memory")
            return super().generate(contexts, settings, seed=seed)

    with pytest.raises(TeacherError, match="out of memory"):
        generate(examples, Fails(), journal=journal)
    teacher = ToyTeacher()
    resumed = generate(examples, teacher, journal=journal)
    assert teacher.calls == [2]
    assert resumed == generate(examples, ToyTeacher())


@pytest.mark.parametrize("change", ["seed", "teacher", "contexts"])
def test_a_journal_of_other_work_is_not_used(tmp_path, change):
    journal = tmp_path / "journal"
    examples = [example(f"turn {i}") for i in range(3)]
    generate(examples, ToyTeacher(), journal=journal)
    teacher = ToyTeacher(name="other" if change == "teacher" else "toy")
    generate(
        examples[: 2 if change == "contexts" else 3], teacher, journal=journal, seed=int(change == "seed")
    )
    assert teacher.calls != []


@pytest.mark.parametrize(("stage", "verb"), [("generation", "generate"), ("scoring", "score")])
def test_a_run_killed_at_random_moments_ends_in_the_same_bytes(tmp_path, stage, verb):
    script = tmp_path / "stage.py"
    script.write_text(KILLED_SCRIPT.format(stage=stage, verb=verb))
    command = [sys.executable, str(script)]
    environment = {"PYTHONPATH": str(Path(__file__).parent), "PATH": ""}
    whole, killed = tmp_path / "whole" / "out.parquet", tmp_path / "killed" / "out.parquet"
    subprocess.run([*command, str(whole), "0"], check=True, env=environment, timeout=120)
    rng = random.Random(stage)
    journal = killed.with_name("journal")
    outcomes = []
    while not outcomes or outcomes[-1] != 0:
        size = journal.stat().st_size if journal.exists() else 0
        process = subprocess.Popen([*command, str(killed), "0.01"], env=environment)
        if len(outcomes) < 4:  # let it begin some new work, then strike
            while process.poll() is None and (not journal.exists() or journal.stat().st_size <= size):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        outcomes.append(process.wait(timeout=120))
    assert -signal.SIGKILL in outcomes
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no no no", False),
        ("no no no no", True),
        ("ha, ha! Ha? ha", True),
        ("bye bye see you bye bye", False),
        ("i like it i like it", False),
        ("well i like it, i like it, i like it too", True),
        ("the cat and the dog and the bird and the cow", False),
        ("", False),
    ],
)
def test_degenerate_texts(text, expected):
    assert is_degenerate(text) is expected


@given(
    st.lists(st.sampled_from(WORDS[:3]), max_size=5),
    st.lists(st.sampled_from(WORDS[:3]), min_size=2, max_size=6),
    st.lists(st.sampled_from(WORDS[:3]), max_size=5),
)
def test_three_times_the_same_words_is_always_degenerate(before, words, after):
    assert is_degenerate(" ".join(before + words * 3 + after))


@given(st.lists(st.sampled_from(WORDS), unique=True))
def test_words_without_repetition_are_never_degenerate(words):
    assert not is_degenerate(" ".join(words))


def test_an_echo_of_any_turn_is_unusable():
    settings = GenerateConfig()
    context = ("I went to the sea with my sister last summer.", "how was it")
    echo = "i went to the sea with my sister last summer!"
    assert unusable(echo, True, context, set(), settings) == "echo"
    assert unusable("it was lovely by the sea", True, context, set(), settings) is None


def test_written_examples_can_be_read_back(tmp_path):
    result = generate([example("hi"), example("bye")], ToyTeacher())
    write_examples(result, tmp_path / "x.parquet")
    assert tuple(read_examples(tmp_path / "x.parquet")) == result.items
