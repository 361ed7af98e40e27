"""Systems of a comparison reply by the rules of the run's own bot."""

import json

import pytest
import yaml

from byte_students import make_student
from g2r.artifacts import write_examples
from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.config import BotConfig, EvaluateConfig, IndexConfig, ReportConfig, RunConfig
from g2r.dialogue import Candidate, Example
from g2r.errors import InputError
from g2r.evaluation.comparison import write_comparison
from g2r.evaluation.grid import Banks, bots_of
from g2r.evaluation.rules import ReplyRules
from g2r.evaluation.systems import BotSystem
from g2r.index.building import build_bank
from g2r.pipeline import evaluate_stage, stages
from second_stages import Longest
from word_encoder import WordEncoder

TOPICS = ("rain", "food", "dogs", "films", "work", "songs")
EXAMPLES = [
    Example(
        ("hello there", f"so what about the {topic} of number {i}"),
        (
            Candidate(f"well the {topic} of number {i} is fine with me", "human", original=True),
            Candidate(f"so what about the {topic} of number {i} then", "teacher"),
        ),
        f"{split}-{i}",
        split,
    )
    for split in ("test", "train")
    for i, topic in enumerate(TOPICS * 4)
]
CONTEXTS = [e.context for e in EXAMPLES if e.split == "test"]
TAG = "odd"


@pytest.fixture(scope="module")
def banks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("banks") / "bank"
    config = IndexConfig(min_recall_at_1=0, min_recall_at_10=0)
    build_bank(ResponseBank.from_examples(EXAMPLES), WordEncoder(), config, folder)
    bank = ResponseBank.load(folder)
    for row in range(0, len(bank), 3):
        bank.tag(bank.response_id(row), TAG)
    return {"bank": folder}


def said(banks, rules, contexts=CONTEXTS):
    loaded = Banks.load(banks, responses=None, seed=0, without=rules.config.without)
    system = bots_of(WordEncoder(), loaded, contexts, rules)["bank"]
    return [system.reply(context).text for context in contexts]


def test_students_reply_by_the_second_stage_the_repeat_rule_and_the_tags_of_the_run(banks):
    plain = said(banks, ReplyRules())
    config = BotConfig(rerank=5, repeat_likeness=0.4, without=(TAG,))
    own = said(banks, ReplyRules(config, Longest()))
    bank = ResponseBank.load(banks["bank"])
    loaded = Banks.load(banks, responses=None, seed=0)
    index = bots_of(WordEncoder(), loaded, CONTEXTS, ReplyRules())["bank"]._bot.index
    bot = Bot(WordEncoder(), bank, index, config=config, reranker=Longest())
    assert own == [bot.reply(context).text for context in CONTEXTS]
    assert own != plain
    assert said(banks, ReplyRules(BotConfig(repeat_likeness=0.4))) != plain


def test_the_first_stage_is_the_student_alone(banks):
    loaded = Banks.load(banks, responses=None, seed=0)
    rules = ReplyRules(BotConfig(rerank=5), Longest())
    system = bots_of(WordEncoder(), loaded, CONTEXTS, rules)["bank"]
    assert isinstance(system, BotSystem)
    alone = [system.first_stage().reply(context).text for context in CONTEXTS]
    assert alone == said(banks, ReplyRules()) != [system.reply(context).text for context in CONTEXTS]


def test_nobody_abstains_and_a_missing_judge_is_told(tmp_path):
    asked = BotConfig(rerank=7, min_score=0.9, min_confidence=0.5, repeat_likeness=0.6)
    rules = ReplyRules.of(asked, tmp_path / "judge")
    assert rules.config == BotConfig(repeat_likeness=0.6)
    assert rules.note.startswith("Second stage: not computed, rerank is 7")
    assert ReplyRules.of(BotConfig(), tmp_path / "judge") == ReplyRules()


def test_a_bank_of_which_nothing_may_be_said_is_refused(banks):
    bank = ResponseBank.load(banks["bank"])
    allowed = {bank.text(row) for row in range(len(bank)) if row % 3}
    assert set(Banks.load(banks, responses=None, seed=0, without=(TAG,)).served) == allowed
    only = Banks.load(banks, responses=4, seed=0, without=(TAG,))
    assert set(only.served) <= allowed
    assert len(only.served) == 4
    for row in range(len(bank)):
        bank.tag(bank.response_id(row), "all")
    with pytest.raises(InputError, match="banned or tagged all; it has nothing to say"):
        Banks.load(banks, responses=None, seed=0, without=("all",))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose bot.json was changed after it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    base = folder.parent / "base"
    student = make_student(str(base / "raw"), seed=1)
    student.save(base / "model")
    student.save(folder / "student")
    config = RunConfig.model_validate(
        {
            "data": {"sources": ["starter"]},
            "train": {"base": str(base / "model")},
            "bot": {"repeat_likeness": 0.9},
            "report": {"contexts": 12, "candidates": 5},
        }
    )
    write_examples(EXAMPLES, folder / "dialogues.parquet")
    index = IndexConfig(min_recall_at_1=0, min_recall_at_10=0)
    build_bank(ResponseBank.from_examples(EXAMPLES), student, index, folder / "bank")
    bank = ResponseBank.load(folder / "bank")
    for row in range(0, len(bank), 2):
        bank.tag(bank.response_id(row), TAG)
    (folder / "config.yaml").write_text("# run: tiny\n" + yaml.safe_dump(config.model_dump(mode="json")))
    (folder / "bot.json").write_text(
        BotConfig(repeat_likeness=0.4, without=(TAG,), rerank=3, min_score=5.0).model_dump_json()
    )
    return folder, config


def test_evaluate_replies_as_the_bot_of_the_run_and_its_report_says_how(run, tmp_path):
    folder, config = run
    stage = evaluate_stage(config, folder, EvaluateConfig(contexts=12, candidates=5), tmp_path / "evaluation")
    assert stage.config["bot"]["repeat_likeness"] == 0.4
    stage.run()
    summary = (tmp_path / "evaluation" / "summary.md").read_text()
    assert "nothing of a likeness of 0.4 or more" in summary
    assert f"nothing tagged {TAG}" in summary
    assert "Second stage: not computed, rerank is 3" in summary
    bank = ResponseBank.load(folder / "bank")
    sayable = {bank.text(row) for row in range(1, len(bank), 2)}
    bot = Bot.load(folder, config=BotConfig(repeat_likeness=0.4, without=(TAG,)))
    for line in (tmp_path / "evaluation" / "results.jsonl").read_text().splitlines():
        item = json.loads(line)
        assert item["replies"]["student"] == bot.reply(item["turns"]).text
        assert {text for name, text in item["replies"].items() if name != "original reply"} <= {
            *sayable,
            None,
        }


def test_the_report_of_a_run_is_made_anew_under_other_rules(run):
    folder, config = run
    other = config.model_copy(update={"bot": BotConfig(top_k=8)})
    first, second = (stages(each, folder)[-1].config["bot"] for each in (config, other))
    assert first["repeat_likeness"] == 0.9
    assert second["top_k"] == 8


def test_controls_keep_to_the_repeat_rule_of_the_run(tmp_path, banks, run):
    write_comparison(
        EXAMPLES,
        students={"student": run[0] / "student"},
        banks={"bank": run[0] / "bank"},
        base=str(run[0] / "student"),
        config=ReportConfig(contexts=12, candidates=5),
        rules=ReplyRules(BotConfig(repeat_likeness=0.3)),
        output=tmp_path / "report",
    )
    items = [json.loads(line) for line in (tmp_path / "report" / "results.jsonl").read_text().splitlines()]
    assert not any("so what about" in (item["replies"]["BM25"] or "") for item in items)
