"""The bank under control: who may change it, what a change does, what changes nothing."""

import hmac
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bot_server import KEY, TOPICS, save_bot, word_bot
from g2r.bank import BankResponse, table
from g2r.bot import Bot
from g2r.dialogue import content_id
from g2r.encoder import Vectors
from g2r.server.app import create_app
from g2r.server.live import LiveBot
from server_checks import ASKING, HOLDER, ROUTES, TEA, refused
from word_encoder import WordEncoder


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


def test_keys_of_all_lengths_are_compared_in_constant_time(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare_digest(a, b)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    given = [None, "Basic x", KEY, *(f"Bearer {'x' * length}" for length in range(100)), f"Bearer {KEY[:-1]}"]
    for header in given:
        headers = {} if header is None else {"Authorization": header}
        refused(client.get("/admin/bank/list", headers=headers), 401)
    assert len(compared) == len(given), "each is compared, whatever its length, and once"
    assert {(len(a), len(b)) for a, b in compared} == {(32, 32)}


@pytest.mark.parametrize("key", [f"{KEY}\n", f"  {KEY}\r\n"])
def test_the_line_end_of_a_file_of_secrets_is_no_part_of_the_key(bot: Bot, key: str) -> None:
    with TestClient(create_app(bot, admin_key=key)) as client:
        assert client.get("/admin/bank/list", headers=HOLDER).status_code == 200
        refused(client.get("/admin/bank/list"), 401)


@pytest.mark.parametrize("key", [None, "", " \n"])
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


class StuckEncoder(WordEncoder):
    """Cannot encode a response about sand until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck, self.go_on = threading.Event(), threading.Event()

    def encode_responses(self, responses: Sequence[str]) -> Vectors:
        if any("sand" in response for response in responses):
            self.stuck.set()
            assert self.go_on.wait(60)
        return super().encode_responses(responses)


def test_a_ban_waits_for_no_addition() -> None:
    made, encoder = word_bot(), StuckEncoder()
    bot = Bot(encoder, made.bank, made.index)
    bot.reply(["hi"])
    with TestClient(create_app(bot, admin_key=KEY)) as client, ThreadPoolExecutor(60) as pool:

        def post(action: str, **body: Any) -> Any:
            return pool.submit(client.post, f"/admin/bank/{action}", json=body, headers=HOLDER)

        adding = [post("add", texts=[f"sand number {number}"]) for number in range(50)]
        try:
            assert encoder.stuck.wait(20)
            assert post("ban", response_id=TEA).result(timeout=20).status_code == 200
            said = pool.submit(client.post, "/reply", json=ASKING).result(timeout=20).json()
            assert TEA not in [candidate["response_id"] for candidate in said["candidates"]]
            assert not any(answer.done() for answer in adding)
        finally:
            encoder.go_on.set()
        assert {answer.result(timeout=60).status_code for answer in adding} == {200}
    assert len(bot.bank) == len(TOPICS) + 50


def test_what_is_added_while_another_bot_takes_over_is_in_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("g2r.bot.open_encoder", lambda folder: WordEncoder())
    home, other = save_bot(tmp_path / "home"), save_bot(tmp_path / "other")
    live = LiveBot.open(home)
    used: list[Bot] = []

    def add(bot: Bot) -> None:
        used.append(bot)
        if len(used) == 1:
            live.adopt(live.load(str(other)))
        bot.add("opera")

    with TestClient(create_app(live, admin_key=KEY)) as client:
        client.portal.call(client.app.state.service.add, add)  # type: ignore[union-attr,attr-defined]
    assert used[0] is not used[1]
    assert live.bot is used[1]
    assert live.bot.bank.find(content_id("opera")) is not None


def test_a_page_of_tagged_responses_reads_no_others(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []

    def counted(row: Any) -> BankResponse:
        read.append(row)
        return response_of(row)

    response_of = table.response_of
    monkeypatch.setattr(table, "response_of", counted)
    page = client.get("/admin/bank/list", params={"tag": "calm"}, headers=HOLDER).json()
    assert [response["response_id"] for response in page["responses"]] == [TEA]
    assert len(read) == 1


def test_characters_that_turn_the_direction_of_writing_do_not_get_into_the_bank(
    client: TestClient, bot: Bot
) -> None:
    def add(**body: Any) -> Any:
        return client.post("/admin/bank/add", json=body, headers=HOLDER)

    turned = {
        "texts": ["fine\u202e, dna\u2069 you?"],
        "contexts": [["\u202dhi"]],
        "tags": ["a\u2066b"],
        "source": "x\u202e",
    }
    [response] = add(**turned, reason="\x1b[31mred").json()["responses"]
    assert (response["text"], response["sources"], response["tags"]) == ("fine, dna you?", ["x"], ["ab"])
    assert response["contexts"][0]["turns"] == ["hi"]
    assert bot.bank.log[0].reason == "[31mred"
    assert "expected text" in refused(add(texts=["\u202e\u2066"]), 422)
    assert "source" in refused(add(texts=["fine"], source="\u202e"), 422)
    assert client.post("/reply", json={"turns": ["do you like\u202e tea"]}).json()["response_id"] == TEA
