"""Whatever is sent is refused in one clear line: no failure, no trace, no path."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from server_checks import ASKING, HOLDER, ROUTES, refused


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
