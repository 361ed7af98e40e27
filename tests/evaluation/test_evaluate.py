"""g2r evaluate on a small finished run: every tier that a machine without a network can compute."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from byte_students import make_student
from g2r.artifacts import write_examples
from g2r.bank import ResponseBank
from g2r.cli import main
from g2r.config import EvaluateConfig, IndexConfig, ReportConfig, RunConfig
from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import ConfigError, InputError
from g2r.evaluation.comparison import unleaked, write_comparison
from g2r.evaluation.exams import Exam
from g2r.evaluation.grid import Banks, Results, examine_student
from g2r.evaluation.learned.training import train_scorers
from g2r.evaluation.opening import open_panel, read_ids
from g2r.evaluation.polyencoder import PolyEncoder
from g2r.evaluation.rules import ReplyRules
from g2r.evaluation.scorers import MemoEncoder
from g2r.evaluation.selection import selection_lists
from g2r.index.building import build_bank
from g2r.judge.model import Judge
from g2r.student import BiEncoder
from g2r.teachers.base import Sample
from tiny_students import make_base
from word_encoder import WordEncoder

TOPICS = ("rain", "food", "dogs", "films", "work", "songs")
CONTEXTS = 24


def example(i, split):
    topic = TOPICS[i % 6]
    return Example(
        (f"hello there {i}", f"what about {topic} number {i} {split}"),
        (
            Candidate(f"I like {topic} very much, friend {i} of {split}", "human", original=True),
            Candidate(f"{topic} is fine {i}", "teacher", scores=Scores(judge=float(i % 5))),
            Candidate(f"no {topic} for me {i}", "teacher", scores=Scores(judge=float(i % 3 + 5))),
        ),
        f"{split}-{i}",
        split,
    )


EXAMPLES = [example(i, "test") for i in range(CONTEXTS)] + [example(i, "train") for i in range(60)]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Judged lists, adversarial pairs and ratings, as options of an evaluation."""
    folder = tmp_path_factory.mktemp("files")
    candidates = [f"{t} is fine {i}" for i, t in enumerate(TOPICS)]
    lists = [
        {
            "id": f"list-{i}",
            "turns": [f"so what of {i} dogs then"],
            "candidates": candidates,
            "scores": [1, 7, 3, 8, 0, i % 10],
        }
        for i in range(6)
    ] + [
        {
            "id": "seen",
            "turns": list(EXAMPLES[-1].context),
            "candidates": candidates,
            "scores": [9, 0, 0, 0, 0, 0],
        }
    ]
    ids = folder / "ids.txt"
    ids.write_text("# held out\nlist-1\nlist-2\n\nlist-4\nseen\n")
    return {
        "judged": write_lines(folder / "lists.jsonl", lists),
        "judged_ids": str(ids),
        "adversarial": write_lines(
            folder / "pairs.jsonl",
            [
                {"turns": ["do you like dogs"], "positives": ["I do"], "adversarial_negatives": ["hot dogs"], "random_negatives": ["at nine"]}
            ] * 3,
        ),
        "ratings": (
            write_lines(
                folder / "people.jsonl",
                [
                    {"turns": ["hi"], "response": f"well {'so ' * (i % 7)}it is {i}", "human_rating": [i % 5, (i + 1) % 5]}
                    for i in range(30)
                ],
            ),
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run with two students of two seeds and two banks, and its configuration."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    base = folder.parent / "base"
    make_student(str(base / "raw"), seed=9).save(base / "model")
    for seed, place in enumerate(
        ("student", "students/baseline", "students/student@1", "students/baseline@1")
    ):
        make_student(str(base / f"raw{seed}"), seed=seed).save(folder / place)
    config = RunConfig.model_validate(
        {
            "data": {"sources": ["starter"]},
            "train": {"base": str(base / "model")},
            "compare": {"baseline": {"responses": "original"}},
            "banks": {"human": {"responses": "human"}},
            "report": {"contexts": CONTEXTS, "side_by_side": 2},
            "seeds": [0, 1],
        }
    )
    write_examples(EXAMPLES, folder / "dialogues.parquet")
    for place, responses in (("bank", "both"), ("banks/human", "human")):
        index = IndexConfig(responses=responses, min_recall_at_1=0, min_recall_at_10=0)
        bank = ResponseBank.from_examples(EXAMPLES, config=index)
        build_bank(bank, BiEncoder.load(folder / "student"), index, folder / place)
    (folder / "config.yaml").write_text("# run: tiny\n" + yaml.safe_dump(config.model_dump(mode="json")))
    return folder, config


@pytest.fixture(scope="module")
def instruments(run, tmp_path_factory):
    """Trained scorers and a poly-encoder, as options."""
    folder, config = tmp_path_factory.mktemp("instruments"), run[1]
    train_scorers(EXAMPLES, base=config.train.base, output=folder / "scorers", contexts=60, epochs=1)
    PolyEncoder(BiEncoder.load(config.train.base), codes=2).save(folder / "poly")
    return {"scorers": str(folder / "scorers"), "poly_encoder": str(folder / "poly")}


def read(folder):
    tables = json.loads((folder / "tables.json").read_text())
    items = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return (folder / "summary.md").read_text(), tables, items


@pytest.fixture(scope="module")
def evaluated(run, files, instruments):
    folder, _ = run
    options = {k: v if isinstance(v, str) else ",".join(v) for k, v in {**files, **instruments}.items()}
    arguments = [part for k, v in options.items() for part in (f"--{k.replace('_', '-')}", v)]
    main(["evaluate", str(folder), "--rerank", "5", "--json", *arguments])
    return read(folder / "evaluation")


def test_the_command_measures_every_tier(evaluated):
    summary, tables, _ = evaluated
    for title in (
        "Choosing the original response",
        "Judged lists",
        "Adversarial pairs: adversarial",
        "Adversarial pairs: random",
        "Fidelity to judge: Spearman",
        "Fidelity to judge: KL",
        "Replies",
        "Differences in Dist-2",
        "Learned scorers against people",
        "Banks",
        "Leaks",
    ):
        assert f"## {title}\n" in summary
        assert title in tables
    assert "MLM and USL-H-style: not computed, no masked language model was given." in summary
    assert "the students' own base" in summary


def test_students_sit_the_judged_lists_by_every_key_beside_their_bounds(evaluated):
    _, tables, _ = evaluated
    judged = tables["Judged lists"]
    names = {row["name"] for row in judged["rows"]}
    for student in ("untrained base", "baseline", "student"):
        assert {student, f"{student}, context keys", f"{student}, both keys"} <= names
    assert "BM25" in names
    assert any(name.startswith("VUP") for name in names)
    assert any(name.startswith("poly-encoder") for name in names)
    assert judged["bounds"]["random choice"]["value"] == pytest.approx((2 / 6 * 3 + 1 / 6) / 4)
    assert judged["bounds"]["best possible"]["value"] == 1
    assert judged["reference"] == "baseline"
    by_name = {row["name"]: row for row in judged["rows"]}
    assert by_name["student"]["seeds"]["seeds"] == 2
    assert by_name["student"]["value"]["n"] == 4
    assert judged["without_leaks"]["student"]["n"] == 3


def test_learned_scores_stand_under_their_labels_and_agree_with_the_items(evaluated):
    summary, tables, items = evaluated
    titles = [title for title in tables if title.startswith("Learned score: ")]
    validations = {v["scorer"]: v for v in tables["Learned scorers against people"]["validations"]}
    for scorer in ("VUP", "NUP", "MaUdE-style"):
        beats = validations[scorer]["margin"]["low"] > 0
        assert f"Learned score: {scorer}{'' if beats else ' (no better than length and overlap)'}" in titles
    assert "Spearman's rho with people: people " in summary
    assert "on this run" in summary
    rows = {row["name"]: row for row in tables[next(t for t in titles if "NUP" in t)]["rows"]}
    for system in ("student", "original reply", "baseline, human bank"):
        values = [item["scores"][system]["NUP"] for item in items]
        assert rows[system]["value"]["value"] == pytest.approx(np.mean(values))


def test_items_hold_replies_with_scores_and_times(evaluated):
    _, tables, items = evaluated
    assert len(items) == CONTEXTS
    systems = set(items[0]["replies"])
    assert systems == {
        *(f"{s}{b}" for s in ("untrained base", "baseline", "student") for b in ("", ", human bank")),
        "original reply", "random reply", "BM25", "poly-encoder re-ranking 5",
    }  # fmt: skip
    for item in items:
        assert set(item["scores"]) == set(item["timings_ms"]) == systems
        assert {"encode", "search", "rules", "total"} <= set(item["timings_ms"]["student"])
        assert "rerank" in item["timings_ms"]["poly-encoder re-ranking 5"]
        assert item["scores"]["student"]["own"] is not None
        assert item["scores"]["original reply"]["own"] is None
        assert set(item["ranks"]["poly-encoder"]) == {"20"}
    assert {row["name"] for row in tables["Choosing the original response"]["rows"]} >= {
        "poly-encoder",
        "BM25",
    }


def test_it_is_up_to_date_the_second_time(run, files, instruments, evaluated, capsys):
    folder, _ = run
    before = (folder / "evaluation" / "manifest.json").read_bytes()
    options = {k: v if isinstance(v, str) else ",".join(v) for k, v in {**files, **instruments}.items()}
    arguments = [part for k, v in options.items() for part in (f"--{k.replace('_', '-')}", v)]
    main(["evaluate", str(folder), "--rerank", "5", "--json", *arguments])
    assert json.loads(capsys.readouterr().out)["skipped"] is True
    assert (folder / "evaluation" / "manifest.json").read_bytes() == before


class WordTeacher:
    """Writes the last word of the context, likes short responses."""

    name = "words"
    score_kinds = frozenset(["ll"])

    def generate(self, contexts, settings, *, seed):
        return [
            [Sample(f"{settings.beams} beams on {c[-1].split()[-1]}")] * settings.responses_per_context
            for c in contexts
        ]

    def score(self, contexts, responses):
        return [[Scores(ll_sum=-float(len(r)), tokens=1) for r in own] for own in responses]


def test_a_teacher_replies_refines_and_gives_the_oracle_gap(run, tmp_path):
    folder, config = run
    settings = EvaluateConfig(contexts=6, oracle_contexts=4, candidates=5)
    panel = replace(open_panel(settings, config, EXAMPLES), teacher=WordTeacher(), oracle_contexts=4)
    write_comparison(
        EXAMPLES,
        students={"student": folder / "student"},
        banks={"bank": folder / "bank"},
        base=config.train.base,
        config=settings,
        panel=panel,
        output=tmp_path / "report",
    )
    summary, tables, items = read(tmp_path / "report")
    assert {row["name"] for row in tables["Oracle gap"]["rows"]} == {"untrained base", "student"}
    assert all(row["value"]["value"] >= 0 for row in tables["Oracle gap"]["rows"])
    assert items[0]["replies"]["teacher greedy"].startswith("1 beams on")
    assert items[0]["replies"]["teacher beam 10"].startswith("10 beams on")
    hinted = items[0]["replies"]["student"].split()[-1]
    assert items[0]["replies"]["retrieve and refine"] == f"1 beams on {hinted}"
    assert "Judged lists: not computed, none were given." in summary


def test_one_context_and_systems_that_say_nothing_are_reported_as_not_computed(run, instruments, tmp_path):
    folder, config = run

    class Mute(WordTeacher):
        def generate(self, contexts, settings, *, seed):
            return [[] for _ in contexts]

    settings = EvaluateConfig(contexts=1, candidates=5, scorers=instruments["scorers"])
    write_comparison(
        EXAMPLES,
        students={"student": folder / "student"},
        banks={"bank": folder / "bank"},
        base=config.train.base,
        config=settings,
        panel=replace(open_panel(settings, config, EXAMPLES), teacher=Mute()),
        output=tmp_path / "report",
    )
    _, tables, (item,) = read(tmp_path / "report")
    assert item["replies"]["teacher greedy"] is None
    assert item["scores"]["teacher greedy"] == {"own": None, "VUP": None, "NUP": None, "MaUdE-style": None}
    row = next(r for r in tables["Choosing the original response"]["rows"] if r["name"] == "student")
    assert row["hits"]["5"] == {"not_computed": "an interval needs two contexts, got 1"}
    learned = next(values for title, values in tables.items() if title.startswith("Learned score: VUP"))
    assert all("not_computed" in row["value"] for row in learned["rows"])
    assert tables["Replies"]["teacher greedy"]["replies"] == 0
    assert "not_computed" in tables["Replies"]["teacher greedy"]["distinct_2"]


def test_judges_rate_and_rank(run, tmp_path):
    torch.manual_seed(0)
    Judge.load(make_base(tmp_path).parent / "plain").save(tmp_path / "my-judge")
    panel = open_panel(EvaluateConfig(judges=(str(tmp_path / "my-judge"),)), run[1], EXAMPLES)
    (judge,) = panel.rankers
    assert panel.scorers == (judge,)
    assert judge.name == "judge my-judge"
    assert panel.label(judge.name) == "judge my-judge (not validated)"
    contexts = [("i like topic1",), ("i like topic1",), ("what of topic2 please",)]
    responses = ["well answer1 for sure", "always answer2 !", "that is answer3"]
    expected = np.concatenate(
        [Judge.load(tmp_path / "my-judge").score(contexts[0], responses[:2]),
         Judge.load(tmp_path / "my-judge").score(contexts[2], responses[2:])]
    )  # fmt: skip
    assert judge.score(contexts, responses) == pytest.approx(expected, abs=1e-5)


def test_every_context_is_encoded_alone_and_once_so_that_its_time_is_known(run):
    folder, _ = run
    lists = selection_lists(EXAMPLES[:CONTEXTS], candidates=5)
    by_id = {e.context_id: e for e in EXAMPLES}
    results = Results(lists, [by_id[item.context_id] for item in lists])
    words = WordEncoder()
    banks = Banks.load({"bank": folder / "bank"}, responses=20, seed=0)
    examine_student(results, "words", MemoEncoder(words), banks, [], ReportConfig(candidates=5), ReplyRules())
    assert words.calls.count(1) == CONTEXTS
    assert len(results.replies["words"]) == len(results.selections["words"][0].ranks[5]) == CONTEXTS


def test_a_cut_bank_says_nothing_that_is_banned(run, tmp_path):
    folder, _ = run
    bank = ResponseBank.load(folder / "bank")
    bank.save(tmp_path / "bank")
    for row in range(0, len(bank), 2):
        bank.ban(bank.response_id(row))
    banks = Banks.load({"bank": tmp_path / "bank"}, responses=30, seed=0)
    allowed = {bank.text(row) for row in range(1, len(bank), 2)}
    assert len(banks.searched["bank"]) == 30
    assert set(banks.served) <= allowed
    whole = Banks.load({"bank": tmp_path / "bank"}, responses=None, seed=0)
    assert set(whole.served) == allowed
    other = Banks.load({"bank": tmp_path / "bank"}, responses=30, seed=1)
    assert set(other.served) != set(banks.served)
    for row in range(1, len(bank), 2):
        bank.ban(bank.response_id(row))
    with pytest.raises(InputError, match="responses of the bank are banned"):
        Banks.load({"bank": tmp_path / "bank"}, responses=30, seed=0)


def test_items_whose_context_was_trained_on_are_marked():
    contexts = (EXAMPLES[-1].context, ("never said before", "in any dialogue of this kind"))
    exam = Exam("e", "m", "", contexts, lambda scorer: np.zeros(2))
    assert unleaked([exam], EXAMPLES) == {"e": [False, True]}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"endpoint": "recorded:chitchat"}, ConfigError, "expected openai:MODEL"),
        ({"teacher": "run"}, ConfigError, "but the run names none"),
        ({"adversarial": "missing.jsonl"}, InputError, "no file missing.jsonl"),
        ({"judged": "LISTS", "judged_ids": "IDS"}, InputError, "has no list 'nowhere'"),
    ],
)
def test_wrong_options_are_named(run, files, tmp_path, changes, error, message):
    (tmp_path / "ids.txt").write_text("nowhere\n")
    named = {"LISTS": files["judged"], "IDS": str(tmp_path / "ids.txt")}
    settings = EvaluateConfig(**{k: named.get(v, v) for k, v in changes.items()})
    with pytest.raises(error, match=message):
        open_panel(settings, run[1], EXAMPLES)


def test_an_empty_list_of_ids_is_refused(tmp_path):
    (tmp_path / "ids.txt").write_text("# none\n\n")
    with pytest.raises(InputError, match="holds no id"):
        read_ids(tmp_path / "ids.txt")


@pytest.mark.parametrize("made", [True, False])
def test_what_is_no_finished_run_is_refused(tmp_path, capsys, made):
    if made:
        (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(tmp_path / "empty")])
    assert stopped.value.code == 1
    assert ("holds no run" if made else "cannot read") in capsys.readouterr().err
