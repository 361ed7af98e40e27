"""What is said where the bot abstains: a line, a real LLM endpoint on loopback in good and bad days; and its log."""

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bot_server import bot_server, save_bot, word_bot
from g2r.bot import Bot
from g2r.confidence import Calibration, Weight
from g2r.config import BotConfig, ServeConfig, parse_config
from g2r.dialogue import content_id
from g2r.errors import ConfigError
from g2r.misses import MISSES_FILE, Miss, read_misses
from g2r.server.app import create_app
from g2r.server.live import LiveBot
from servers import MODEL, ToyServer, free_address, toy_server

NEAR, FAR = "let us talk about tea", "what is it that people do on long evenings"
LINE = "I would rather not say."
SAID = "They read, mostly. And you?"


@pytest.fixture(scope="module")
def llm() -> Iterator[ToyServer]:
    with toy_server() as server:
        yield server


def wary_bot() -> Bot:
    """A bot that abstains from what is far from its topics."""
    bot = word_bot()
    return Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(min_score=1.0))


@contextmanager
def serving(bot: Bot, home: Path | None, **options: Any) -> Iterator[TestClient]:
    config = ServeConfig(fallback_line=LINE, max_delay_ms=1e6, **options)
    with TestClient(create_app(LiveBot(bot, home=home), config)) as client:
        yield client


def by_llm(llm: ToyServer, **options: Any) -> dict[str, Any]:
    return {"fallback": "llm", "fallback_url": llm.base_url, "fallback_model": MODEL, **options}


def reply(client: TestClient, *turns: str, **options: Any) -> dict[str, Any]:
    answer = client.post("/reply", json={"turns": turns, **options})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def count(client: TestClient, name: str) -> float:
    """The sum of a metric over its labels."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_without_fallback_nothing_is_said_and_the_miss_is_logged_without_its_text(tmp_path: Path):
    with serving(wary_bot(), tmp_path) as client:
        told = reply(client, FAR)
        assert (told["text"], told["source"], told["abstained"]) == ("", None, True)
        assert "fallback" not in told["timings_ms"]
        near = reply(client, NEAR)
        assert (near["source"], near["abstained"]) == ("bank", False)
    [miss] = read_misses(tmp_path / MISSES_FILE)
    best = told["candidates"][0]
    assert miss == Miss(
        (), best["response_id"], best["score"], None, told["bank_version"], "none", at=miss.at
    )
    assert "evenings" not in (tmp_path / MISSES_FILE).read_text()


def test_the_safe_line_is_marked_in_both_protocols(tmp_path: Path):
    with serving(wary_bot(), tmp_path, fallback="line", grow=True) as client:
        told = reply(client, FAR)
        assert (told["text"], told["response_id"], told["abstained"]) == (LINE, None, True)
        assert told["source"] == "fallback"
        asked = {"messages": [{"role": "user", "content": FAR}], "n": 3}
        completion = client.post("/v1/chat/completions", json=asked).json()
        assert [choice["message"]["content"] for choice in completion["choices"]] == [LINE]
        assert (completion["g2r"]["source"], completion["g2r"]["abstained"]) == ("fallback", True)
        streamed = client.post("/v1/chat/completions", json={**asked, "stream": True}).text
        assert json.dumps(LINE) in streamed
        assert count(client, "g2r_fallbacks_total") == 3
        assert count(client, "g2r_abstentions_total") == 3
    misses = read_misses(tmp_path / MISSES_FILE)
    assert [(miss.turns, miss.fallback, miss.proposed) for miss in misses] == [((FAR,), "line", "")] * 3


def test_the_llm_answers_and_its_answer_is_proposed_not_served(
    tmp_path: Path, llm: ToyServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SOME_KEY", "a key for the llm")
    llm.behave(said=[f"  {SAID}\n"])
    bot = wary_bot()
    size = len(bot.bank)
    with serving(bot, tmp_path, **by_llm(llm, fallback_key_env="SOME_KEY", grow=True)) as client:
        told = reply(client, "hi", "hello", FAR)
        assert (told["text"], told["source"], told["response_id"]) == (SAID, "fallback", None)
        assert told["timings_ms"]["fallback"] > 0
        assert told["timings_ms"]["total"] >= told["timings_ms"]["fallback"]
        reply(client, NEAR)
        seen = llm.seen()
        assert seen["requests"] == 1
        assert seen["keys"] == ["Bearer a key for the llm"]
        assert [m["role"] for m in seen["bodies"][0]["messages"]] == ["system", "user", "assistant", "user"]
        assert seen["bodies"][0]["messages"][-1]["content"] == FAR
        assert (len(bot.bank), bot.bank.log) == (size, ())
    [miss] = read_misses(tmp_path / MISSES_FILE)
    assert (miss.turns, miss.fallback) == (("hi", "hello", FAR), "llm")
    assert (miss.proposed, miss.source) == (SAID, MODEL)


def test_the_llms_answer_is_not_kept_where_texts_are_not(tmp_path: Path, llm: ToyServer):
    llm.behave(said=[SAID])
    with serving(wary_bot(), tmp_path, **by_llm(llm)) as client:
        assert reply(client, FAR)["text"] == SAID
    [miss] = read_misses(tmp_path / MISSES_FILE)
    assert (miss.turns, miss.fallback, miss.proposed, miss.source) == ((), "llm", "", "")


@pytest.mark.parametrize(
    "behaviour",
    [
        {"faults": ["500"]},
        {"faults": ["401"]},
        {"faults": ["429"], "retry_after": "3"},
        {"faults": ["hang"]},
        {"faults": ["drop"]},
        {"faults": ["malformed"]},
        {"faults": ["shapeless"]},
        {"faults": ["empty"]},
        {"said": ["  "]},
        {"said": [SAID], "finish_reason": "length"},
        {"said": ["Tea is what I think about most by human!"]},  # a near duplicate of what is banned
    ],
    ids=str,
)
def test_where_the_llm_fails_the_safe_line_is_said_once_asked(
    tmp_path: Path, llm: ToyServer, behaviour: dict[str, Any]
):
    bot = wary_bot()
    bot.bank.ban(content_id("tea is what I think about most, by human"))
    llm.behave(**behaviour)
    late = {"fallback_timeout_s": 0.3} if behaviour == {"faults": ["hang"]} else {"fallback_timeout_s": 20}
    with serving(bot, tmp_path, **by_llm(llm, **late)) as client:
        told = reply(client, FAR)
        assert (told["text"], told["source"]) == (LINE, "fallback")
        assert count(client, "g2r_fallback_failures_total") == 1
    assert llm.seen()["requests"] == 1
    assert [miss.fallback for miss in read_misses(tmp_path / MISSES_FILE)] == ["line"]


def test_where_nobody_listens_the_safe_line_is_said(tmp_path: Path):
    options = {"fallback": "llm", "fallback_url": free_address(), "fallback_model": MODEL}
    with serving(wary_bot(), tmp_path, **options) as client:
        assert reply(client, FAR)["text"] == LINE


@pytest.mark.parametrize("rules", [{"tags": ["calm"]}, {"without": ["loud"]}])
def test_an_llm_that_cannot_obey_the_tags_is_not_asked(tmp_path: Path, llm: ToyServer, rules: dict[str, Any]):
    llm.behave(said=[SAID])
    with serving(wary_bot(), tmp_path, **by_llm(llm)) as client:
        assert reply(client, FAR, **rules)["text"] == LINE
    assert llm.seen()["requests"] == 0


def test_an_endpoint_elsewhere_needs_its_key_before_the_server_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    config = ServeConfig(
        fallback="llm",
        fallback_model="m",
        fallback_url="https://llm.example.com/v1",
        fallback_key_env="SOME_KEY",
    )
    with pytest.raises(ConfigError, match="SOME_KEY is not set"):
        create_app(wary_bot(), config)
    with pytest.raises(ConfigError, match="needs a fallback_model"):
        parse_config(ServeConfig, {"fallback": "llm"}, where="serve")


def test_a_calibrated_bot_tells_its_confidence_and_hands_over_under_the_one_asked_for(tmp_path: Path):
    bot = word_bot()
    made = Calibration(
        origin=bot.origin,
        good=6,
        certainty=0.95,
        weights={"score": Weight(weight=1, mean=0, spread=1)},
        knots=((0.0, 0.0), (2.0, 1.0)),
    )
    sure = Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(min_confidence=0.5), calibration=made)
    with serving(sure, tmp_path, fallback="line") as client:
        near, far = reply(client, NEAR), reply(client, FAR)
        assert (near["confidence"], near["source"]) == (pytest.approx(min(1, near["score"] / 2)), "bank")
        assert near["confidence"] > 0.5 > far["confidence"]
        assert (far["text"], far["abstained"]) == (LINE, True)
        asked = {"messages": [{"role": "user", "content": FAR}]}
        trace = client.post("/v1/chat/completions", json=asked).json()["g2r"]
        assert trace["confidence"] == pytest.approx(far["confidence"])
    assert [miss.confidence for miss in read_misses(tmp_path / MISSES_FILE)] == [far["confidence"]] * 2


def test_a_bot_without_a_folder_answers_without_a_log():
    with serving(wary_bot(), None, fallback="line") as client:
        assert reply(client, FAR)["text"] == LINE


def test_a_server_that_is_stopped_has_written_every_miss(tmp_path: Path):
    folder = save_bot(tmp_path / "bot")
    (folder / "bot.json").write_text('{"min_score": 1.0}')
    with bot_server(folder, "--fallback", "line", "--fallback-line", LINE, "--grow") as server:
        for number in range(30):
            assert server.reply(f"{FAR} {number}")["text"] == LINE
        assert server.stop() == 0
        assert "evenings" not in "".join(server.lines)
    assert [miss.turns[0].split()[-1] for miss in read_misses(folder / MISSES_FILE)] == [
        str(number) for number in range(30)
    ]


def test_to_those_over_the_limit_of_the_llm_the_safe_line_is_said_at_once(tmp_path: Path):
    with ExitStack() as running, ThreadPoolExecutor(1) as pool:
        llm = running.enter_context(toy_server())
        llm.behave(said=[SAID], faults=["hang"])
        with serving(wary_bot(), tmp_path, **by_llm(llm, max_fallbacks=1, fallback_timeout_s=60)) as client:
            waiting = pool.submit(reply, client, FAR)
            while not llm.seen()["requests"]:
                time.sleep(0.01)
            assert [reply(client, FAR)["text"] for _ in range(3)] == [LINE] * 3
            assert llm.seen()["requests"] == 1
            assert not waiting.done()
            running.close()
            assert waiting.result(timeout=30)["text"] == LINE


def test_why_misses_are_lost_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "g2r.server")
    with serving(wary_bot(), tmp_path, max_misses_bytes=0) as client:
        for _ in range(3):
            reply(client, FAR)
            while not count(client, "g2r_lost_misses_total"):
                time.sleep(0.01)
        service = client.app.state.service
    assert service.metrics.lost_misses._value.get() == 3
    [record] = [record for record in caplog.records if record.getMessage() == "misses lost"]
    assert "more than 0 bytes" in record.fields["error"]
    assert not (tmp_path / MISSES_FILE).exists()
