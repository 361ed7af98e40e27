"""The application in this process: shapes of answers, limits, the key, and that nothing sent makes it fail."""

import asyncio
import importlib.util
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import g2r.server
from bot_server import KEY, TOPICS, SlowEncoder, word_bot
from g2r.bot import Bot
from g2r.config import BotConfig, ServeConfig
from g2r.dialogue import content_id
from g2r.errors import DependencyError
from g2r.server.app import create_app
from g2r.server.logs import JsonFormatter

LIMITS = ServeConfig(
    max_body_bytes=200_000, max_turns=50, max_turn_characters=2_000, max_candidates=5, max_delay_ms=1e6
)
HOLDER = {"Authorization": f"Bearer {KEY}"}
ASKING = {"turns": ["do you like tea"]}
TEA = content_id("tea is what I think about most, by human")
FAR = "what is it that people do with words on long evenings"
ROUTES = [
    ("POST", "/admin/bank/ban"),
    ("POST", "/admin/bank/unban"),
    ("POST", "/admin/bank/tag"),
    ("POST", "/admin/bank/untag"),
    ("POST", "/admin/bank/add"),
    ("GET", "/admin/bank/list"),
    ("GET", "/admin/bank/show"),
    ("GET", "/admin/bank/log"),
    ("POST", "/admin/swap"),
]


@pytest.fixture
def bot() -> Bot:
    return word_bot()


@pytest.fixture
def client(bot: Bot) -> Iterator[TestClient]:
    with TestClient(create_app(bot, LIMITS, admin_key=KEY), raise_server_exceptions=False) as client:
        yield client


def refused(answer: Any, status: int) -> str:
    """The message of a refusal: one line in the shape of the OpenAI protocol, that leaks nothing."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    [(name, detail)] = answer.json().items()
    assert name == "error"
    assert set(detail) == {"message", "type", "param", "code"}
    message = detail["message"]
    assert message
    assert "\n" not in message
    assert len(message) <= 300
    for leak in (str(Path.cwd()), str(Path(__file__).parent), "Traceback", ".py", "site-packages"):
        assert leak not in message
    return str(message)


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
    """Asked at the same time, in one batch, each gets the reply that it gets alone."""
    alone = {t: client.post("/reply", json={"turns": [f"{t} is nice"]}).json()["text"] for t in TOPICS}
    answered = client.post("/reply", json={"turns": ["tea is nice", alone["tea"], "and rain is nice"]}).json()
    assert answered["text"] != alone["tea"]
    again = {t: client.post("/reply", json={"turns": [f"{t} is nice"]}).json()["text"] for t in TOPICS}
    assert again == alone


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 422, "the body"),
        (b"{", 400, "no JSON"),
        (b'{"turns": ["\xff\xfe"]}', 400, "UTF-8"),
        (b"[" * 100_000, 400, "nested"),
        (b'{"turns": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}", 400, "nested"),
        (b'{"turns": ["hi"], "candidates": ' + b"9" * 5_000 + b"}", 400, "no JSON"),
        (b'{"turns": ["hi"], "candidates": Infinity}', 422, "candidates"),
        (b'{"turns": ["hi"], "candidates": NaN}', 422, "candidates"),
        (b"null", 422, "the body"),
        (b"[]", 422, "the body"),
        (b'"hi"', 422, "the body"),
        (b"{}", 422, "turns: Field required"),
        (b'{"turns": null}', 422, "turns: "),
        (b'{"turns": "hi"}', 422, "got str"),
        (b'{"turns": {"0": "hi"}}', 422, "got dict"),
        (b'{"turns": ["hi", 3]}', 422, "turns.1: Input should be a valid string, got int"),
        (b'{"turns": ["hi", ["there"]]}', 422, "turns.1"),
        (b'{"turns": ["\\ud800"]}', 422, "turns.0"),
        (b'{"turns": ["hi"], "\\ud800": 1}', 422, "unicode"),
        (b'{"turns": ["hi"], "tag": ["x"]}', 422, "tag: "),
        (b'{"turns": ["hi"], "tags": "x"}', 422, "tags"),
        (b'{"turns": ["hi"], "candidates": 0}', 422, "candidates"),
        (b'{"turns": ["hi"], "candidates": 6}', 422, "at most 5"),
        (b'{"turns": ["hi"], "candidates": "many"}', 422, "candidates"),
        (b'{"turns": []}', 422, "no turns"),
        (b'{"turns": ["  \\u0000 \\n"]}', 422, "blank last turn"),
        (json.dumps({"turns": ["hi"] * 51}).encode(), 422, "51 of them, expected at most 50"),
        (json.dumps({"turns": ["hi"] * 10_000}).encode(), 422, "10000 of them"),
        (json.dumps({"turns": ["word " * 10_000]}).encode(), 422, "50000 characters, expected at most 2000"),
        (json.dumps({"turns": ["hi", "x" * 200_000]}).encode(), 413, "more than 200000 bytes"),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused_in_one_line(
    client: TestClient, body: bytes, status: int, says: str
) -> None:
    answer = client.post("/reply", content=body, headers={"Content-Type": "application/json"})
    assert says in refused(answer, status)
    assert client.post("/reply", json=ASKING).status_code == 200


def test_addresses_and_methods_and_types_that_are_wrong(client: TestClient) -> None:
    assert "no such address" in refused(client.get("/nothing/../../etc/passwd"), 404)
    refused(client.post("/reply/", json=ASKING), 404)
    refused(client.get("/reply"), 405)
    refused(client.delete("/"), 405)
    refused(client.get("/v1/models/other"), 404)
    answer = client.post("/reply", content=b'{"turns": ["hi"]}', headers={"Content-Type": "text/plain"})
    assert "Content-Type: application/json" in refused(answer, 415)


TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "שלום, מה שלומך?",
        "مرحبا",
        "\u202eabc",
        "🙂" * 500,
        "e\u0301",
        "\x00\x1b[31m",
        "a\u200db",
        "\ufeff",
        "\U0010ffff",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"turns": st.lists(TEXTS, max_size=4) | JSON}, optional={"candidates": JSON, "tags": JSON})
    .map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {
            "messages": JSON
            | st.lists(
                st.fixed_dictionaries(
                    {"role": st.sampled_from(["user", "assistant", "system", "tool", "x"]), "content": TEXTS | JSON}
                ),
                max_size=4,
            )
        },
        optional={"n": JSON, "stream": JSON, "metadata": JSON, "stream_options": JSON, "temperature": JSON},
    ).map(lambda value: json.dumps(value).encode())
)  # fmt: skip


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    BODIES, st.sampled_from([("POST", "/reply"), ("POST", "/v1/chat/completions"), *ROUTES]),
    st.text(max_size=8),
)  # fmt: skip
@example(
    b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "\\udfff"}]}]}',
    ("POST", "/v1/chat/completions"),
    "",
)
@example(b'{"path": "\\u0000"}', ("POST", "/admin/swap"), "")
@example(json.dumps({"path": "x" * 4000}).encode(), ("POST", "/admin/swap"), "")
def test_nothing_sent_makes_it_fail(
    client: TestClient, body: bytes, route: tuple[str, str], query: str
) -> None:
    method, path = route
    parameters = {"limit": query, "offset": query, "response_id": query} if method == "GET" else None
    answer = client.request(
        method, path, content=body, params=parameters, headers={**HOLDER, "Content-Type": "application/json"}
    )
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500
        refused(answer, answer.status_code)


def test_admin_routes_are_closed_without_the_key(client: TestClient) -> None:
    wrong = [
        None,
        "",
        "Bearer",
        "Bearer ",
        KEY,
        f"Basic {KEY}",
        "Bearer x",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        "Bearer é",
    ]
    for method, path in ROUTES:
        for value in wrong:
            headers = {} if value is None else {"Authorization": value.encode("latin-1")}
            answer = client.request(method, path, content=b"{", headers=headers)
            assert "Bearer KEY" in refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/admin/bank/list", headers={"Authorization": f"bearer  {KEY} "}).status_code == 200


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_there_are_no_admin_routes(bot: Bot, key: str | None) -> None:
    with TestClient(create_app(bot, admin_key=key)) as client:
        for method, path in ROUTES:
            refused(client.request(method, path, headers={"Authorization": "Bearer "}), 404)
        assert not any(path.startswith("/admin") for path in client.get("/openapi.json").json()["paths"])


def test_ban_allow_tag_and_look(client: TestClient) -> None:
    def call(action: str, **body: Any) -> Any:
        answer = client.post(f"/admin/bank/{action}", json={"response_id": TEA, **body}, headers=HOLDER)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def look(**query: Any) -> list[str]:
        page = client.get("/admin/bank/list", params=query, headers=HOLDER).json()
        assert page["total"] >= len(page["responses"])
        return [response["response_id"] for response in page["responses"]]

    first = client.post("/reply", json=ASKING).json()
    assert first["response_id"] == TEA
    banned = call("ban", reason="too dull")
    assert (banned["banned"], banned["bank_revision"]) == (True, 1)
    second = client.post("/reply", json=ASKING).json()
    assert TEA not in [c["response_id"] for c in second["candidates"]]
    assert second["bank_revision"] == 1
    assert look(banned=True) == [TEA]
    assert TEA not in look(banned=False)
    assert call("unban")["banned"] is False
    assert client.post("/reply", json=ASKING).json()["response_id"] == TEA
    assert call("tag", tags=["shy", "old"])["tags"] == ["calm", "old", "shy"]
    assert call("untag", tags=["old"])["tags"] == ["calm", "shy"]
    assert look(tag="shy") == look(contains="TEA IS") == [TEA]
    assert len(look(limit=3)) == 3
    assert look(limit=3, offset=len(TOPICS) - 1) == look()[-1:]
    shown = client.get("/admin/bank/show", params={"response_id": TEA}, headers=HOLDER).json()
    assert (shown["text"], shown["banned"], shown["tags"]) == (first["text"], False, ["calm", "shy"])
    log = client.get("/admin/bank/log", params={"limit": 3}, headers=HOLDER).json()
    assert (log["total"], [change["action"] for change in log["changes"]]) == (4, ["unban", "tag", "untag"])
    whole = client.get("/admin/bank/log", headers=HOLDER).json()["changes"]
    assert (whole[0]["reason"], whole[0]["response_id"]) == ("too dull", TEA)


def test_what_is_added_is_said(client: TestClient) -> None:
    def add(**body: Any) -> Any:
        return client.post("/admin/bank/add", json=body, headers=HOLDER)

    added = add(
        texts=["two lumps, please"], contexts=[["do you like tea"]], tags=["polite"], source="a person"
    )
    [response] = added.json()["responses"]
    assert (response["text"], response["sources"], response["tags"]) == (
        "two lumps, please",
        ["a person"],
        ["polite"],
    )
    said = client.post("/reply", json=ASKING).json()
    assert (said["text"], said["candidates"][0]["sources"]) == ("two lumps, please", ["a person"])
    assert "expected text" in refused(add(texts=["fine", " "]), 422)
    client.post("/admin/bank/ban", json={"response_id": response["response_id"]}, headers=HOLDER)
    assert "banned" in refused(add(texts=["Two lumps, please!"]), 422)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("bank/ban", {"response_id": "0" * 16}, 404),
        ("bank/tag", {"response_id": "0" * 16, "tags": ["x"]}, 404),
        ("bank/ban", {"response_id": "../../etc"}, 422),
        ("bank/ban", {"response_id": TEA, "reason": "x" * 1001}, 422),
        ("bank/tag", {"response_id": TEA, "tags": []}, 422),
        ("bank/tag", {"response_id": TEA, "tags": ["a,b"]}, 422),
        ("bank/add", {"texts": []}, 422),
        ("swap", {"path": "/nowhere"}, 422),
        ("swap", {"path": "/etc/passwd"}, 422),
        ("swap", {"path": "x" * 300}, 422),
        ("swap", {"path": ""}, 422),
    ],
)
def test_wrong_changes_change_nothing(
    client: TestClient, bot: Bot, path: str, body: dict[str, Any], status: int
) -> None:
    refused(client.post(f"/admin/{path}", json=body, headers=HOLDER), status)
    assert bot.bank.revision == 0
    assert client.post("/reply", json=ASKING).json()["response_id"] == TEA


def test_a_bank_whose_log_cannot_be_written_says_so_and_goes_on(tmp_path: Path) -> None:
    bot = word_bot()
    bot.save(tmp_path / "bot")
    (tmp_path / "bot" / "bank" / "log.jsonl").unlink(missing_ok=True)
    (tmp_path / "bot" / "bank" / "log.jsonl").mkdir()
    with TestClient(create_app(bot, admin_key=KEY)) as client:
        answer = client.post("/admin/bank/ban", json={"response_id": TEA}, headers=HOLDER)
        assert "nothing is changed" in refused(answer, 503)
        assert str(tmp_path) not in answer.text
        assert client.post("/reply", json=ASKING).json()["response_id"] == TEA


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
        assert str(log) in record.fields["error"]  # type: ignore[attr-defined]
        log.write_text(whole)
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
