"""The systems that are timed: they reply, and their phases are what the reply took."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from byte_students import make_student
from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.config import BotConfig
from g2r.encoder import OnnxEncoder
from g2r.export import export
from g2r.latency.banks import bank_of
from g2r.latency.systems import Bm25Rival, PhasedEncoder, PlainRival, TimedBot
from g2r.student import BiEncoder
from second_stages import Longest

TEXTS = [f"well {word} is fine with me" for word in ("tea", "rain", "music", "bread", "the sea", "a train")]
CONTEXT = ("hi there", "hello", "do you like music?")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> BiEncoder:
    return make_student(str(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def encoder(student: BiEncoder, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    folder: Path = tmp_path_factory.mktemp("student") / "onnx"
    export(student, folder)
    return OnnxEncoder.load(folder, precision="fp32", threads=1)


@pytest.fixture(scope="module")
def bank() -> ResponseBank:
    return bank_of(TEXTS)


def phases(spent: Mapping[str, float]) -> list[str]:
    """The names, once it is sure that the phases fit into the whole."""
    parts = sum(ms for phase, ms in spent.items() if phase != "total")
    assert all(ms >= 0 for ms in spent.values())
    assert parts <= spent["total"] + 0.01
    return list(spent)


def test_tokens_and_vectors_apart_are_what_they_are_together(encoder: OnnxEncoder) -> None:
    contexts = [CONTEXT, ("hi",)]
    tokens = encoder.tokenize_contexts(contexts)
    np.testing.assert_array_equal(encoder.encode_tokens(tokens), encoder.encode_contexts(contexts))
    np.testing.assert_array_equal(
        PhasedEncoder(encoder).encode_contexts(contexts), encoder.encode_contexts(contexts)
    )


def test_a_bot_tells_tokenise_encode_search_rules(
    encoder: OnnxEncoder, student: BiEncoder, bank: ResponseBank
) -> None:
    for inner, expected in ((encoder, ["tokenise", "encode"]), (student, ["encode"])):
        phased = PhasedEncoder(inner)
        system = TimedBot("bot", Bot.build(phased, bank), phased)
        assert phases(system.reply(CONTEXT)) == [*expected, "search", "rules", "total"]
        system.reply_batch([CONTEXT, ("hi",)])


def test_a_reranker_gets_the_best_candidates(encoder: OnnxEncoder, bank: ResponseBank) -> None:
    phased, reranker = PhasedEncoder(encoder), Longest()
    plain = Bot.build(phased, bank)
    bot = Bot(phased, bank, plain.index, config=BotConfig(rerank=3), reranker=reranker)
    assert phases(TimedBot("bot", bot, phased).reply(CONTEXT))[-2:] == ["rerank", "total"]
    assert reranker.asked == (CONTEXT, [c.text for c in plain.candidates(CONTEXT, 3)])


def test_rivals_reply_over_the_same_texts(student: BiEncoder) -> None:
    keys = student.encode_responses(TEXTS)
    plain = PlainRival("plain", student, keys, TEXTS, device="cpu")
    assert phases(plain.reply(CONTEXT)) == ["encode", "search", "total"]
    words = Bm25Rival("BM25", TEXTS)
    assert phases({**words.reply(CONTEXT), "search": 0.0}) == ["search", "total"]
    for system in (plain, words):
        system.reply_batch([CONTEXT, ("hi",)])
