"""The second stage: the exported judge rates as the judge does, and the bot says what it rates best."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.config import BotConfig, IndexConfig
from g2r.dialogue import Candidate, Example
from g2r.errors import ArtifactError, ConfigError
from g2r.judge.export import export_judge, same_first
from g2r.judge.model import Judge
from g2r.rerank import Reranker, RerankRecord
from tiny_judges import NOUNS, make_base
from word_encoder import WordEncoder

LISTS = [
    (
        (f"we like {noun}", "so so", f"what of {noun} ?")[i % 3 :],
        tuple(f"{w} {noun} " * n for n, w in enumerate(("good", "poor", "fine"), 1)),
    )
    for i, noun in enumerate(NOUNS[:12])
]
RESPONSES = [f"{word} {noun} and we" for word in ("good", "poor") for noun in NOUNS[:10]]
CONTEXT = ("we like thing3", "so so", "what of thing3 ?")


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return Judge.load(make_base(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def folder(judge, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "judge"
    export_judge(judge, folder, lists=LISTS)
    return folder


def test_the_graph_rates_as_the_judge_does(judge, folder):
    graph = Reranker.load(folder, precision="fp32")
    for context, responses in LISTS:
        np.testing.assert_allclose(
            graph.scores(context, responses), judge.score(context, responses), atol=1e-3
        )
    many = [RESPONSES[i % 20] for i in range(45)]
    np.testing.assert_allclose(graph.scores(CONTEXT, many), judge.score(CONTEXT, many), atol=1e-3)
    assert graph.scores(CONTEXT, []).shape == (0,)


def test_what_was_measured_is_on_record_and_decides(folder):
    record = RerankRecord.read(folder)
    fp32, int8 = (Reranker.load(folder, precision=p) for p in ("fp32", "int8"))
    assert record.int8_same_first == same_first(fp32, int8, LISTS)
    assert record.precision == ("int8" if record.int8_same_first >= 0.95 else "fp32")
    assert record.lists == 12
    assert record.fp32_difference < 0.01
    assert Reranker.load(folder).precision == record.precision
    difference = np.abs(int8.scores(CONTEXT, RESPONSES) - fp32.scores(CONTEXT, RESPONSES)).max()
    assert 0 < difference < 1


def copy_graph(folder, monkeypatch):
    """The export's slow part gives the graph that was exported before."""
    monkeypatch.setattr(
        "g2r.judge.export.write_graph", lambda *arguments: shutil.copy(folder / "model.onnx", arguments[-1])
    )


def test_without_lists_fp32_is_served(judge, folder, tmp_path, monkeypatch):
    copy_graph(folder, monkeypatch)
    measured = export_judge(judge, tmp_path / "judge")
    assert (measured["precision"], measured["int8_same_first"]) == ("fp32", None)


def test_a_graph_of_another_model_is_refused(folder, tmp_path, monkeypatch):
    copy_graph(folder, monkeypatch)
    with pytest.raises(ArtifactError, match="rates otherwise than the judge"):
        export_judge(Judge.load(make_base(tmp_path / "other", seed=5)), tmp_path / "judge")
    assert not (tmp_path / "judge").exists()


def test_what_is_no_exported_judge_is_refused(folder, tmp_path):
    with pytest.raises(ArtifactError, match=r"no exported judge in .* make it with g2r judge export"):
        Reranker.load(tmp_path)
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / "model.onnx").write_text("no graph")
    with pytest.raises(ArtifactError, match="no graph that can be run"):
        Reranker.load(tmp_path / "broken", precision="fp32").scores(CONTEXT, ["good"])
    (tmp_path / "broken" / "g2r.json").write_text('{"kind": "judge"}')
    with pytest.raises(ArtifactError, match="describes no exported judge"):
        Reranker.load(tmp_path / "broken")


def test_it_needs_no_torch(folder):
    script = f"""
import sys
from g2r.rerank import Reranker
print(len(Reranker.load({str(folder)!r}).scores(("hi",), ["good", "poor"])), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


def make_bot(reranker=None, **config):
    examples = [Example((f"what of {r}",), (Candidate(r, "human", original=True),)) for r in RESPONSES]
    bank = ResponseBank.from_examples(examples, near_duplicates=1.0)
    return Bot.build(
        WordEncoder(), bank, index=IndexConfig(min_recall_at_1=0, min_recall_at_10=0)
    ), BotConfig(**config)


def with_config(bot, config, reranker):
    return Bot(bot.encoder, bot.bank, bot.index, config=config, reranker=reranker)


def test_the_bot_says_what_the_judge_rates_best(folder):
    plain, config = make_bot(rerank=8)
    reranker = Reranker.load(folder)
    first = plain.candidates(CONTEXT, 8)
    reply = with_config(plain, config, reranker).reply(CONTEXT, candidates=12)
    rated = reply.candidates[:8]
    ratings = dict(
        zip([c.text for c in first], reranker.scores(CONTEXT, [c.text for c in first]).tolist(), strict=True)
    )
    assert {c.text: c.rating for c in rated} == pytest.approx(ratings, abs=1e-4)
    assert reply.text == max(ratings, key=ratings.get)
    assert [c.score for c in rated] == sorted((c.rating for c in rated), reverse=True)
    assert [c.text for c in reply.candidates[8:]] == [c.text for c in plain.candidates(CONTEXT, 12)[8:]]
    assert all(c.rating is None for c in reply.candidates[8:])
    assert set(reply.timings_ms) == {"encode", "search", "rules", "rerank", "total"}


def test_how_many_are_shown_does_not_change_what_is_said(folder):
    plain, config = make_bot(rerank=8)
    bot = with_config(plain, config, Reranker.load(folder))
    shown = {n: bot.reply(CONTEXT, candidates=n) for n in (1, 3, 15)}
    assert len({reply.text for reply in shown.values()}) == 1
    assert {n: len(reply.candidates) for n, reply in shown.items()} == {1: 1, 3: 3, 15: 15}


def test_the_students_score_is_mixed_in_by_weight(folder):
    plain, config = make_bot(rerank=20, rerank_weight=2.5)
    reranker = Reranker.load(folder)
    own = {c.text: c.score for c in plain.candidates(CONTEXT, 20)}
    ratings = dict(zip(own, reranker.scores(CONTEXT, list(own)).tolist(), strict=True))
    reply = with_config(plain, config, reranker).reply(CONTEXT)
    assert reply.text == max(own, key=lambda text: ratings[text] + 2.5 * own[text])
    assert reply.score == pytest.approx(ratings[reply.text] + 2.5 * own[reply.text], abs=1e-4)
    assert reply.candidates[0].response_score == pytest.approx(own[reply.text], abs=1e-5)


def test_without_rerank_the_judge_is_not_asked(folder, monkeypatch):
    plain, config = make_bot()
    monkeypatch.setattr(Reranker, "scores", None)
    bot = with_config(plain, config, Reranker.load(folder))
    assert bot.reply(CONTEXT).candidates == plain.reply(CONTEXT).candidates


def test_to_rerank_without_a_judge_is_an_error():
    plain, config = make_bot(rerank=3)
    with pytest.raises(ConfigError, match="the bot has no second stage; make one with g2r ranker"):
        with_config(plain, config, None)


def test_a_saved_bot_brings_its_judge(folder, tmp_path, monkeypatch):
    plain, config = make_bot(rerank=8)
    bot = with_config(plain, config, Reranker.load(folder))
    bot.save(tmp_path / "bot")
    monkeypatch.setattr("g2r.bot.open_encoder", lambda path: WordEncoder())
    again = Bot.load(tmp_path / "bot")
    wanted = bot.reply(CONTEXT)
    assert replace(again.reply(CONTEXT), timings_ms={}) == replace(wanted, timings_ms={})
    assert RerankRecord.read(tmp_path / "bot" / "judge") == RerankRecord.read(folder)
