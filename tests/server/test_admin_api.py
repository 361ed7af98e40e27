"""The bank under control: who may change it, what a change does, what changes nothing."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bot_server import KEY, TOPICS, word_bot
from g2r.bot import Bot
from g2r.server.app import create_app
from server_checks import ASKING, HOLDER, ROUTES, TEA, refused


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
