"""A moderation endpoint on loopback, as OpenAI's is."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from g2r.errors import VettingError
from g2r.vetting import Flag, open_classifier


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body, self.headers["Authorization"]))  # type: ignore[attr-defined]
        status, answer = self.server.answer(body["input"])  # type: ignore[attr-defined]
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.seen = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def result(text: str) -> dict[str, Any]:
    held = {"violence": "kill" in text, "sexual": False}
    return {
        "flagged": any(held.values()),
        "categories": held,
        "category_scores": {"violence": 0.98, "sexual": 0.9},
    }


def test_flagged_categories_become_flags(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    server.answer = lambda texts: (200, {"id": "1", "model": "m", "results": [result(t) for t in texts]})
    name = f"moderation:m@http://127.0.0.1:{server.server_port}/v1"
    texts = [f"text {n}" for n in range(40)] + ["kill it"]
    flags = open_classifier(name).flags(texts)
    assert flags == [[]] * 40 + [[Flag("violence", 0.98, f"{name} says violence")]]
    (path, first, key), (_, second, _) = server.seen
    assert (path, key) == ("/v1/moderations", "Bearer secret")
    assert first["input"] + second["input"] == texts
    assert first["model"] == "m"


def test_a_bare_flag_without_categories(server: Any) -> None:
    server.answer = lambda texts: (200, {"results": [{"flagged": True} for _ in texts]})
    (flags,) = open_classifier(f"moderation:m@http://127.0.0.1:{server.server_port}").flags(["x"])
    assert [(flag.label, flag.score) for flag in flags] == [("flagged", 1.0)]


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (404, {"error": {"message": "no such model"}}, "NotFoundError.*check its address"),
        (200, {"results": []}, "0 results for 1 texts"),
        (200, {"answer": 1}, "gave no moderation results"),
        (200, {"results": [{"categories": {}}]}, "gave no moderation results"),
        (200, [], "gave no moderation results"),
    ],
)
def test_what_an_endpoint_may_answer_instead(server: Any, status: int, answer: Any, says: str) -> None:
    server.answer = lambda texts: (status, answer)
    with pytest.raises(VettingError, match=says):
        open_classifier(f"moderation:m@http://127.0.0.1:{server.server_port}/v1").flags(["x"])
