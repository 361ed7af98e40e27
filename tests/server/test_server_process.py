"""The server as a process, and the clients people have: the OpenAI SDK, curl, kill -9, SIGTERM, too many at once."""

import http.client
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

import g2r.bot
from bot_server import KEY, TOPICS, BotServer, bot_server, save_bot
from g2r.bank import ResponseBank
from g2r.cli import main
from g2r.dialogue import content_id
from word_encoder import WordEncoder

SECRET = "zanzibar"
PATIENT = ("--max-delay-ms", "1000000")


def id_of(topic: str, source: str = "human") -> str:
    return content_id(f"{topic} is what I think about most, by {source}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BotServer]:
    """One server for the tests that leave it as it was."""
    folder = save_bot(tmp_path_factory.mktemp("served") / "bot")
    with bot_server(folder, "--max-turn-characters", "20000", *PATIENT) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: BotServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.address}/v1", api_key="any", max_retries=0, timeout=20)


def status_of(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1])


def test_the_openai_sdk(client: openai.OpenAI, server: BotServer) -> None:
    messages: Any = [
        {"role": "system", "content": "you only ever talk about rain"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hello to you"},
        {"role": "user", "content": [{"type": "text", "text": "let us"}, {"type": "text", "text": "talk"}]},
        {"role": "user", "content": "about tea"},
    ]
    expected = server.reply("hello", "hello to you", "let us talk about tea", candidates=3)
    completion = client.chat.completions.create(
        model="gpt-4o", messages=messages, n=3, temperature=0.3, max_tokens=5, seed=1, user="x"
    )
    assert [choice.message.content for choice in completion.choices] == [
        c["text"] for c in expected["candidates"]
    ]
    assert (completion.choices[0].finish_reason, completion.choices[0].message.role) == ("stop", "assistant")
    assert completion.object == "chat.completion"
    assert completion.model == "g2r"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 0
    assert completion._request_id
    trace = (completion.model_extra or {})["g2r"]
    for name in ("response_id", "bank_version", "abstained"):
        assert trace[name] == expected[name]
    assert [model.id for model in client.models.list()] == ["g2r"]
    assert client.models.retrieve("g2r").id == "g2r"


def test_the_openai_sdk_streams(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "let us talk about snow"}]
    whole = client.chat.completions.create(model="g2r", messages=messages)
    with client.chat.completions.create(
        model="g2r", messages=messages, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content != ""
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices] == [None, None, "stop"]
    with client.chat.completions.stream(model="g2r", messages=messages) as events:
        assert events.get_final_completion().choices[0].message.content == whole.choices[0].message.content


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "of nobody"),
        ([{"role": "system", "content": "hi"}], "of nobody"),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "of assistant"),
        ([{"role": "user", "content": ""}], "blank last turn"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "'image_url'"),
        ([{"role": "wizard", "content": "hi"}], "role"),
    ],
)
def test_what_the_sdk_is_told_of_a_wrong_conversation(
    client: openai.OpenAI, messages: Any, says: str
) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match=says):
        client.chat.completions.create(model="g2r", messages=messages)


def test_curl(server: BotServer) -> None:
    def curl(*arguments: str) -> str:
        command = ["curl", "--silent", "--max-time", "20", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    json_header = ("-H", "Content-Type: application/json")
    told = curl(f"{server.address}/reply", *json_header, "-d", '{"turns": ["let us talk about tea"]}')
    assert json.loads(told)["response_id"] == id_of("tea")
    streamed = curl(
        "-N", f"{server.address}/v1/chat/completions", *json_header,
        "-d", '{"messages": [{"role": "user", "content": "tea"}], "stream": true}',
    )  # fmt: skip
    assert streamed.startswith("data: {")
    assert streamed.endswith("data: [DONE]\n\n")
    assert "g2r_replies_total" in curl(f"{server.address}/metrics")
    assert curl(f"{server.address}/").startswith("<!doctype html>")
    unauthorized = curl("-o", "/dev/null", "-w", "%{http_code}", f"{server.address}/admin/bank/list")
    assert unauthorized == "401"


RAW = [
    b"nonsense\r\n\r\n",
    b"POST /reply HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n",
    b"POST /reply HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
    b"POST /reply HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /%00%ff%fe/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /admin/bank/show?response_id=%ff%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /admin/bank/list?limit=1e99 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    + KEY.encode()
    + b"\r\n\r\n",
    b"BREW /reply HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("raw", RAW)
def test_bytes_that_are_no_request(server: BotServer, raw: bytes) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(raw)
        answer = connection.recv(4096)
        while b'"error"' not in answer and (more := connection.recv(4096)):
            answer += more
    assert 400 <= status_of(answer) < 500
    assert b"Traceback" not in answer
    assert b"x-request-id: " in answer.lower()
    assert b'"error"' in answer
    assert server.call("/healthz")[0] == 200


def test_long_and_strange_conversations(server: BotServer) -> None:
    assert server.reply("tea " * 4_000)["text"]
    assert server.reply(*["hello"] * 499, "tea")["text"]
    assert server.call("/reply", {"turns": ["tea"] * 10_000})[0] == 422
    assert server.call("/reply", {"turns": ["word " * 10_000]})[0] == 422
    assert server.call("/reply", b"[" * 200_000)[0] == 400
    assert server.call("/reply", b"x" * 10_000_000)[0] == 413
    for turn in ("שלום, מה שלומך?", "\u202eاهلا", "🙂🙃" * 100, "a\u0000b\u001b[31m", "e\u0301\u200d"):
        assert server.reply(turn)["text"]


def test_logs_tell_all_but_what_was_said(server: BotServer) -> None:
    reply = server.reply(f"{SECRET} and tea")
    server.call("/reply", {"turns": [SECRET, 3]})
    server.call("/reply", {SECRET: 1})
    server.call("/v1/chat/completions", {"messages": [{"role": "user", "content": SECRET}]})
    server.call("/admin/bank/show?response_id=" + SECRET)
    await_line(server, "/the-last-one")
    written = "".join(server.lines)
    assert SECRET not in written
    assert reply["text"] not in written
    events = server.events()
    assert all({"at", "level", "event"} <= set(line) for line in events)
    [line] = [line for line in events if line.get("timings_ms") == reply["timings_ms"]]
    assert (line["path"], line["status"], line["method"]) == ("/reply", 200, "POST")
    assert (line["response_id"], line["bank_version"]) == (reply["response_id"], reply["bank_version"])
    assert [line["status"] for line in events[-4:]] == [422, 200, 422, 404]


def await_line(server: BotServer, path: str) -> None:
    """Ask for `path` and wait for its line in the log, which comes after those of all that was asked before."""
    server.call(path)
    for _ in range(2000):
        if any(line.get("path") == path for line in server.events()):
            return
        time.sleep(0.01)
    raise AssertionError(f"no line for {path}")


def test_too_many_at_once_are_refused_at_once_and_the_others_answered(tmp_path: Path) -> None:
    folder = save_bot(tmp_path / "bot")
    options = ("--max-queue", "4", "--max-batch", "2", *PATIENT)

    def ask(server: BotServer) -> tuple[int, str | None]:
        body = json.dumps({"turns": ["let us talk about tea"]}).encode()
        request = urllib.request.Request(
            f"{server.address}/reply", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)["response_id"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Retry-After"]

    with bot_server(folder, *options, seconds_a_batch=0.5) as server, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, [server] * 16))
        assert set(answers) == {(200, id_of("tea")), (503, "1")}
        assert answers.count((200, id_of("tea"))) >= 5
        assert ask(server) == (200, id_of("tea"))
        with urllib.request.urlopen(f"{server.address}/metrics", timeout=20) as page:
            refused = answers.count((503, "1"))
            assert f'g2r_refused_total{{reason="overloaded"}} {float(refused)}' in page.read().decode()


def test_sigterm_finishes_what_was_accepted(tmp_path: Path) -> None:
    folder = save_bot(tmp_path / "bot")
    with bot_server(folder, *PATIENT, seconds_a_batch=1.0) as server, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(server.reply, f"let us talk about {topic}") for topic in TOPICS[:8]]
        await_queue(server, 7)
        server.process.terminate()
        assert [reply.result()["response_id"] for reply in asked] == [id_of(topic) for topic in TOPICS[:8]]
        assert server.process.wait(timeout=30) == 0
        with pytest.raises(OSError, match="refused"):
            server.call("/healthz")


def await_queue(server: BotServer, length: int) -> None:
    for _ in range(400):
        with urllib.request.urlopen(f"{server.address}/metrics", timeout=20) as page:
            if f"g2r_queue_length {float(length)}" in page.read().decode():
                return
        time.sleep(0.005)
    raise AssertionError(f"there were never {length} in the queue")


def test_hot_swaps_under_load_fail_no_request(tmp_path: Path) -> None:
    home, other = save_bot(tmp_path / "home"), save_bot(tmp_path / "other", source="teacher")
    versions = {ResponseBank.load(folder / "bank").version for folder in (home, other)}
    enough = threading.Event()

    def talk(server: BotServer, topic: str) -> list[tuple[str, str]]:
        """Ask until told to stop; which bank answered, with which response."""
        told = []
        while not enough.is_set():
            reply = server.reply(f"let us talk about {topic}")
            told.append((reply["bank_version"], reply["response_id"]))
        return told

    with bot_server(home, *PATIENT) as server, ThreadPoolExecutor(3) as pool:
        talks = {topic: pool.submit(talk, server, topic) for topic in TOPICS[:3]}
        for path in (other, home / "bank", other / "bank", home):
            status, swapped = server.call("/admin/swap", {"path": str(path)})
            assert (status, swapped["responses"]) == (200, len(TOPICS))
            assert server.reply("hi")["bank_version"] == swapped["bank_version"]
        enough.set()
        for topic, said in talks.items():
            assert {version for version, _ in said.result()} == versions
            assert {response for _, response in said.result()} == {id_of(topic), id_of(topic, "teacher")}
        for path in (tmp_path / "nowhere", home / "student"):
            assert server.call("/admin/swap", {"path": str(path)})[0] == 422
        assert server.stop() == 0
        statuses = {line["status"] for line in server.events() if line.get("path") == "/reply"}
        assert statuses == {200}


def test_acknowledged_changes_survive_kill_9(tmp_path: Path) -> None:
    """Bans and a swap go on while the process is killed; what was answered with 200 holds after each start."""
    home, other = save_bot(tmp_path / "home"), save_bot(tmp_path / "other")
    banned: set[str] = set()
    for target in (other, home):
        waiting = [id_of(topic) for topic in TOPICS if id_of(topic) not in banned]
        with bot_server(home, *PATIENT) as server, ThreadPoolExecutor(2) as pool:
            check_bans(server, banned)
            swapping: Future[bool] = pool.submit(changed, server, "swap", path=str(target))
            for number, response_id in enumerate(waiting[:4]):
                if number == 3:
                    pool.submit(server.process.kill)
                if changed(server, "bank/ban", response_id=response_id):
                    banned.add(response_id)
            served = target if swapping.result() else None
    assert len(banned) >= 4
    with bot_server(home) as server:
        check_bans(server, banned)
        server.stop()
    if served:
        [place] = [line["place"] for line in server.events() if line["event"] == "serving"]
        assert Path(place["bot"]).resolve() == served.resolve()


def changed(server: BotServer, action: str, **body: str) -> bool:
    """Ask for a change; whether it was acknowledged."""
    try:
        return server.call(f"/admin/{action}", body)[0] == 200
    except (OSError, ValueError, http.client.HTTPException):
        return False


def check_bans(server: BotServer, banned: set[str]) -> None:
    page = server.call("/admin/bank/list?banned=true")[1]
    assert banned <= {response["response_id"] for response in page["responses"]}
    for topic in TOPICS:
        reply = server.reply(f"let us talk about {topic}", candidates=len(TOPICS))
        assert banned.isdisjoint(candidate["response_id"] for candidate in reply["candidates"])


def test_a_ban_by_another_process_holds_in_the_running_server(server: BotServer) -> None:
    elsewhere = ResponseBank.load(Path(server.process.args[3]) / "bank")  # type: ignore[index]
    elsewhere.ban(id_of("bread"), by="somebody else")
    assert server.reply("let us talk about bread")["response_id"] != id_of("bread")
    assert server.call("/admin/bank/log")[1]["changes"][-1]["by"] == "somebody else"
    elsewhere.unban(id_of("bread"))
    assert server.reply("let us talk about bread")["response_id"] == id_of("bread")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bot", "--port", "taken"), "--port"),
        (("bot", "--host", "203.0.113.1"), "cannot listen on 203.0.113.1"),
        (("bot", "--port", "70000"), "port"),
        (("bot", "--max-queue", "0"), "max_queue"),
        (("gone",), "gone"),
        (("broken",), "swapped.json"),
    ],
)
def test_errors_before_the_start_are_one_line(
    tmp_path: Path,
    server: BotServer,
    arguments: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(g2r.bot, "open_encoder", lambda folder: WordEncoder())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("g2r.cli.base.errors.width", 200, raising=False)
    (save_bot(tmp_path / "broken") / "swapped.json").write_text("{")
    save_bot(tmp_path / "bot")
    given = [server.address.rsplit(":", 1)[1] if word == "taken" else word for word in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["serve", *given])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("g2r: ")
    assert err.count("\n") == 1
    assert says in err
