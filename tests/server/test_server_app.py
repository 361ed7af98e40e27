"""The application in this process: shapes of answers, time limits, faults, logs, metrics, health."""

import asyncio
import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import g2r.server
from bot_server import KEY, TOPICS, SlowEncoder, word_bot
from g2r.bot import Bot
from g2r.config import BotConfig, ServeConfig
from g2r.errors import DependencyError
from g2r.server.app import create_app
from g2r.server.logs import JsonFormatter
from g2r.server.service import Said
from server_checks import ASKING, FAR, HOLDER, LIMITS, TEA, refused


def test_a_reply_with_its_reasons(client: TestClient, bot: Bot) -> None:
    answer = client.post("/reply", json={**ASKING, "candidates": 3})
    assert answer.status_code == 200
    told = answer.json()
    expected = bot.reply(ASKING["turns"], candidates=3)
    assert set(told) >= {
        "text", "response_id", "score", "confidence", "abstained", "candidates", "timings_ms", "bank_version",
        "bank_revision",
    }  # fmt: skip
    assert (told["text"], told["response_id"]) == (expected.text, TEA)
    assert told["score"] == pytest.approx(expected.score)
    assert (told["confidence"], told["abstained"]) == (None, False)
    assert (told["bank_version"], told["bank_revision"]) == (bot.bank.version, 0)
    assert len(told["candidates"]) == 3
    first = told["candidates"][0]
    assert first.pop("score") == pytest.approx(
        first.pop("response_score") + first.pop("context_score"), abs=1e-5
    )
    why = {
        "text": expected.text,
        "response_id": TEA,
        "sources": ["human"],
        "contexts": [{"turns": ["let us talk about tea"], "ll": None, "mi": None, "judge": None}],
        "tags": ["calm"],
        "rating": None,
    }
    assert {name: first[name] for name in why} == why
    timings = told["timings_ms"]
    assert list(timings) == ["queue", "encode", "search", "rules", "total"]
    phases = sum(timings[phase] for phase in ("queue", "encode", "search", "rules"))
    assert timings["total"] == pytest.approx(phases, abs=0.01)
    assert len(answer.headers["x-request-id"]) == 32


def test_tags_choose_and_exclude(client: TestClient) -> None:
    calm = client.post("/reply", json={"turns": ["rain"], "tags": ["calm"]}).json()
    assert [c["response_id"] for c in calm["candidates"]] == [TEA]
    lively = client.post("/reply", json={**ASKING, "without": ["calm"]}).json()
    assert TEA not in [c["response_id"] for c in lively["candidates"]]
    nobody = client.post("/reply", json={**ASKING, "tags": ["unheard of"]}).json()
    assert (nobody["text"], nobody["response_id"], nobody["score"], nobody["abstained"]) == (
        "",
        None,
        None,
        True,
    )
    both = {
        "messages": [{"role": "user", "content": "rain"}],
        "metadata": {"tags": "calm", "without": "x, y"},
    }
    assert client.post("/v1/chat/completions", json=both).json()["g2r"]["response_id"] == TEA


def test_conversations_never_mix(client: TestClient) -> None:
    """Asked at the same time each gets the reply that it gets alone; what one said binds no other."""
    service = client.app.state.service  # type: ignore[attr-defined]
    alone = {t: client.post("/reply", json={"turns": [f"{t} is nice"]}).json()["text"] for t in TOPICS}
    assert len(set(alone.values())) == len(TOPICS)

    async def together() -> list[Said]:
        asked = (service.reply([f"{topic} is nice"], candidates=1) for topic in TOPICS)
        return await asyncio.gather(*asked)

    assert [said.reply.text for said in client.portal.call(together)] == list(alone.values())  # type: ignore[union-attr]
    answered = client.post("/reply", json={"turns": ["tea is nice", alone["tea"], "tea is nice"]}).json()
    assert answered["text"] != alone["tea"]
    assert client.post("/reply", json={"turns": ["tea is nice"]}).json()["text"] == alone["tea"]


def test_a_log_that_is_damaged_while_it_serves_is_named_to_the_operator_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bot = word_bot()
    bot.save(tmp_path / "bot")
    log = tmp_path / "bot" / "bank" / "log.jsonl"
    caplog.set_level(logging.INFO, "g2r.server")
    with TestClient(create_app(bot, LIMITS, admin_key=KEY)) as client:
        client.post("/admin/bank/ban", json={"response_id": TEA}, headers=HOLDER)
        whole = log.read_text()
        log.write_text(whole + "nonsense\n")
        answer = client.post("/reply", json=ASKING)
        refused(answer, 503)
        assert str(tmp_path) not in answer.text
        [record] = [record for record in caplog.records if record.getMessage() == "damaged"]
        assert str(tmp_path) not in refused(client.get("/readyz"), 503)
        assert client.get("/healthz").status_code == 200
        assert str(log) in record.fields["error"]  # type: ignore[attr-defined]
        log.write_text(whole)
        assert client.get("/readyz").status_code == 200
        mended = client.post("/reply", json=ASKING)
        assert mended.status_code == 200
        assert mended.json()["response_id"] != TEA


def test_a_fault_of_ours_is_500_without_a_trace_and_the_next_reply_comes(
    client: TestClient, bot: Bot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError(f"secret words of {arguments}")

    with monkeypatch.context() as patched:
        patched.setattr(bot, "reply_batch", broken)
        answer = client.post("/reply", json=ASKING)
        message = refused(answer, 500)
        assert "secret" not in message
        assert len(answer.headers["x-request-id"]) == 32
        assert "ZeroDivision" not in message
    assert client.post("/reply", json=ASKING).status_code == 200
    assert "g2r_failures_total 1.0" in client.get("/metrics").text
    record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), None)
    try:
        broken("tea")
    except ZeroDivisionError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    assert "secret" not in JsonFormatter(text=False).format(record)
    line = json.loads(JsonFormatter(text=False).format(record))
    assert line["error"]["type"] == "ZeroDivisionError"
    assert "broken" in line["error"]["places"][-1]
    assert "secret words" in json.loads(JsonFormatter(text=True).format(record))["error"]["message"]


def test_every_answer_has_an_id(client: TestClient) -> None:
    answers = [
        client.get("/"), client.get("/docs"), client.get("/openapi.json"), client.get("/metrics"), client.get("/nowhere"),
        client.delete("/reply"), client.post("/reply", json=ASKING), client.post("/reply", json={}),
        client.post("/reply", content=b"x" * 300_000), client.get("/admin/bank/list"),
        client.post("/reply", content=b"x", headers={"Transfer-Encoding": "chunked"}),
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} == {200, 401, 404, 405, 413, 415, 422}
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    made = word_bot()
    slow = Bot(SlowEncoder(0.5), made.bank, made.index)
    with TestClient(create_app(slow, ServeConfig(timeout_s=0.05))) as client:
        answer = client.post("/reply", json=ASKING)
        assert "no answer within 0.05 s" in refused(answer, 503)
        assert answer.headers["retry-after"] == "1"
        assert 'g2r_refused_total{reason="timeout"} 1.0' in client.get("/metrics").text


def test_a_body_that_does_not_come_is_given_up(bot: Bot) -> None:
    app = create_app(bot, ServeConfig(timeout_s=0.05))
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": b'{"turns": ', "more_body": True}]

    async def receive() -> Any:
        return parts.pop() if parts else await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/reply", "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert [message["status"] for message in sent if "status" in message] == [408]
    assert b"in time" in sent[-1]["body"]


def test_what_is_said_is_logged_only_if_asked_for(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "g2r.server")
    for log_text in (False, True):
        caplog.clear()
        with TestClient(create_app(bot, ServeConfig(log_text=log_text))) as client:
            reply = client.post("/reply", json=ASKING).json()
        [record] = [record for record in caplog.records if record.getMessage() == "request"]
        line = json.loads(JsonFormatter(text=log_text).format(record))
        assert line["response_id"] == reply["response_id"]
        assert ("turns" in line, line.get("text") == reply["text"]) == (log_text, log_text)


def test_metrics_count_what_happened(bot: Bot) -> None:
    score = bot.reply(ASKING["turns"]).score
    assert score is not None
    shy = Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(min_score=score - 0.01))
    with TestClient(create_app(shy, LIMITS, admin_key=KEY)) as client:
        for turns in (["let us talk about tea"], ["do you like tea"], [FAR], []):
            client.post("/reply", json={"turns": turns})
        client.get("/admin/bank/log")
        client.post("/reply", content=b"x" * 300_000)
        client.post("/admin/bank/ban", json={"response_id": TEA}, headers=HOLDER)
        page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = page.text.splitlines()
    assert {line.split()[2] for line in lines if line.startswith("# TYPE")} == {
        line.split()[2] for line in lines if line.startswith("# TYPE g2r_")
    }
    for line in (
        "g2r_replies_total 2.0",
        "g2r_abstentions_total 1.0",
        'g2r_refused_total{reason="invalid"} 1.0',
        'g2r_refused_total{reason="unauthorized"} 1.0',
        'g2r_refused_total{reason="too_large"} 1.0',
        'g2r_bank_changes_total{action="ban"} 1.0',
        'g2r_reply_seconds_count{phase="total"} 3.0',
        'g2r_reply_seconds_count{phase="search"} 3.0',
        f'g2r_bank_info{{student="words-48",version="{bot.bank.version}"}} 1.0',
        f"g2r_bank_responses {float(len(TOPICS))}",
        "g2r_banned_responses 1.0",
        "g2r_queue_length 0.0",
    ):
        assert line in lines


def test_health_page_and_description(client: TestClient, bot: Bot) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/chat.js").headers["content-type"].startswith("text/javascript")
    refused(client.get("/redoc"), 404)
    for path in ("/docs", "/docs.js", "/docs.css"):
        page = client.get(path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "https://" not in page.text, "FastAPI's pages load scripts from elsewhere"
    described = client.get("/openapi.json").json()
    assert {"/reply", "/v1/chat/completions", "/v1/models", "/healthz", "/admin/swap"} <= set(
        described["paths"]
    )
    assert described["paths"]["/admin/swap"]["post"]["security"]
    refusal = described["paths"]["/reply"]["post"]["responses"]["422"]["content"]["application/json"][
        "schema"
    ]
    assert refusal == {"$ref": "#/components/schemas/ErrorBody"}
    with TestClient(create_app(bot)) as other:
        service = other.app.state.service  # type: ignore[attr-defined]
        other.portal.call(service.batcher.stop)  # type: ignore[union-attr]
        refused(other.get("/readyz"), 503)
        refused(other.post("/reply", json=ASKING), 503)
        assert other.get("/healthz").status_code == 200


def test_without_the_extra_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    with pytest.raises(DependencyError, match=r"pip install 'g2r\[serve\]'"):
        importlib.reload(g2r.server)
