"""What comes of wrong requests: `python benchmarks/malformed.py`, against a real `g2r serve` on this machine alone.

Three kinds: those that Schemathesis makes from the server's own OpenAPI description, valid ones and broken ones;
valid bodies with bytes changed, cut or doubled; and hand-made ones, sent as bytes over a socket. Every answer must
be one that a server in good health gives: no 5xx, no path and no trace, an X-Request-ID, and of a refusal one line
of JSON in OpenAI's shape. Afterwards the server must still reply. Prints counts by status; the exit status is 1 if
anything was wrong.

The bot is one of hashed words from the tests; it has an admin key, which most of the requests carry.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from bot_server import KEY, BotServer, bot_server, save_bot  # noqa: E402
from server_checks import ROUTES  # noqa: E402

LEAKS = ("Traceback", "site-packages", ".py", str(TESTS.parent), str(Path.home()), tempfile.gettempdir())
BODIES = {
    "/reply": {
        "turns": ["hi", "hello", "do you like tea"],
        "tags": ["calm"],
        "without": ["x"],
        "candidates": 3,
    },
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "n": 2, "stream": True},
    "/admin/bank/ban": {"response_id": "0123456789abcdef", "reason": "dull"},
    "/admin/bank/tag": {"response_id": "0123456789abcdef", "tags": ["calm"]},
    "/admin/bank/add": {"texts": ["fine"], "contexts": [["hi"]], "tags": ["calm"]},
    "/admin/swap": {"path": "nowhere"},
}


@dataclass
class Findings:
    """What was answered: statuses by kind of request, and every answer that was not as it must be."""

    statuses: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    def note(self, kind: str, what: str, status: int, headers: Mapping[str, str], body: str) -> None:
        self.statuses[kind][status] += 1
        self.wrong += [
            f"{kind}: {what}: {status}: {why}: {body[:200]!r}" for why in faults(status, headers, body)
        ]

    def table(self) -> str:
        """Counts by status as Markdown."""
        statuses = sorted({status for counts in self.statuses.values() for status in counts})
        rows = {**self.statuses, "all": sum(self.statuses.values(), Counter())}
        return "\n".join(
            [
                f"| requests | {' | '.join(map(str, statuses))} | sum |",
                f"|---|{'---:|' * (len(statuses) + 1)}",
                *(
                    f"| {kind} | {' | '.join(str(counts[status]) for status in statuses)} | {counts.total()} |"
                    for kind, counts in rows.items()
                ),
            ]
        )


def faults(status: int, headers: Mapping[str, str], body: str) -> Iterator[str]:
    """What is wrong with an answer."""
    if status >= 500 or status < 200:
        yield "failed"
    if "x-request-id" not in headers:
        yield "no X-Request-ID"
    if status < 400:
        return
    yield from (f"leaks {leak}" for leak in LEAKS if leak in body)
    try:
        detail = json.loads(body)["error"]
        if "\n" in detail["message"] or not detail["message"]:
            yield "not one line"
    except (ValueError, KeyError, TypeError):
        if body:  # an answer to HEAD has none
            yield "no JSON in OpenAI's shape"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--examples", type=int, default=40, help="of Schemathesis, each operation, each mode")
    parser.add_argument("--mutated", type=int, default=400, help="bodies with changed bytes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    findings = Findings()
    with tempfile.TemporaryDirectory() as scratch, bot_server(save_bot(Path(scratch) / "bot")) as server:
        for name, request in handmade():
            send(server, findings, "hand-made", name, request)
        draw = random.Random(options.seed)
        for number in range(options.mutated):
            path = draw.choice(list(BODIES))
            body = mutated(json.dumps(BODIES[path]).encode(), draw)
            send(server, findings, "changed bytes", f"{number} {path}", post(path, body))
        generated(server, findings, options.examples)
        alive = server.call("/healthz")[0] == server.call("/readyz")[0] == 200
        replies = server.call("/reply", {"turns": ["hi"]})[0] == 200
    print(findings.table())
    total = sum(counts.total() for counts in findings.statuses.values())
    print(
        f"\n{total} requests, {len(findings.wrong)} wrong answers; the server {'still replies' if alive and replies else 'IS GONE'}."
    )
    print("\n".join(findings.wrong[:20]))
    sys.exit(1 if findings.wrong or not (alive and replies) else 0)


def generated(server: BotServer, findings: Findings, examples: int) -> None:
    """Ask what Schemathesis makes of the OpenAPI description."""
    schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    quietly = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    def ask(operation: Any, mode: schemathesis.GenerationMode) -> None:
        @quietly
        @given(operation.as_strategy(generation_mode=mode))
        def ask_all(case: Any) -> None:
            answer = case.call(headers={"Authorization": f"Bearer {KEY}"})
            headers = {name.lower(): values[0] for name, values in answer.headers.items()}
            findings.note("Schemathesis", operation.label, answer.status_code, headers, answer.text)

        ask_all()

    for found in schema.get_all_operations():
        for mode in schemathesis.GenerationMode:
            with suppress(Unsatisfiable):  # without parameters and body nothing can be broken
                ask(found.ok(), mode)


def mutated(body: bytes, draw: random.Random) -> bytes:
    """A body with a few of its bytes changed, left out, doubled, or cut off."""
    changed = bytearray(body)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(changed) or 1)
        changes: list[Callable[[], bytes]] = [
            lambda: bytes([draw.randrange(256)]),
            lambda: b"",
            lambda p=place: bytes(changed[p : p + 8]) * 3,  # type: ignore[misc]
            lambda: draw.choice(
                [b"\x00", b"\xff\xfe", b"\\ud800", b'"', b"[", b"}", b"NaN", b"9" * 400, b"\xe2\x80\xae"]
            ),
        ]
        changed[place : place + 1] = draw.choice(changes)()
    return bytes(changed[: draw.randrange(len(changed) + 1)] if draw.random() < 0.2 else changed)


def post(
    path: str, body: bytes, *, kind: str = "application/json", head: str = "", method: str = "POST"
) -> bytes:
    """A request as bytes, with the key; `head` takes the place of its length."""
    length = head or f"Content-Length: {len(body)}\r\n"
    lines = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: {kind}\r\n"
    return f"{lines}{length}Connection: close\r\n\r\n".encode("latin-1") + body


def chunked(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


def handmade() -> Iterator[tuple[str, bytes]]:
    """Requests that somebody thought of."""
    texts = {
        "empty": "", "blank": " \u0000\t", "control": "a\u0000b\u001b[31m\u0007", "override": "\u202egnp.exe",
        "isolate": "\u2066\u2067x\u2069", "arabic": "مرحبا كيف حالك", "hebrew": "שלום, מה שלומך?", "emoji": "🙂👩\u200d👧" * 300,
        "combining": "e" + "\u0301" * 3000, "last": "\U0010ffff\ufffe", "bom": "\ufeff", "path": "../../etc/passwd",
        "markup": "<script>alert(1)</script>", "template": "{{7*7}} ${x} %s %n", "query": "'; DROP TABLE x; --",
        "long": "word " * 50_000,
    }  # fmt: skip
    for name, text in texts.items():
        yield f"text {name}", post("/reply", json.dumps({"turns": [text]}).encode())
        chat = {"messages": [{"role": "user", "content": text}]}
        yield f"chat {name}", post("/v1/chat/completions", json.dumps(chat).encode())
        yield (
            f"add {name}",
            post("/admin/bank/add", json.dumps({"texts": [text], "tags": [text[:90]]}).encode()),
        )
    odd = [
        b"", b"{", b"[]", b"null", b'"x"', b"NaN", b"\xff\xfe", b'{"turns": []}', b'{"turns": null}', b'{"turns": [[[]]]}',
        b'{"turns": ["hi"], "candidates": NaN}', b'{"turns": ["hi"], "candidates": 1e999}', b'{"turns": ["hi"], "candidates": -1}',
        b'{"turns": ["\\ud800"]}', b'{"turns": ["\xc3\x28"]}', b'{"turns": ["hi"], "turns": 3}', b'{"turns": ["hi"],}',
        b"[" * 100_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b'{"turns": ["hi"], "candidates": ' + b"9" * 5000 + b"}",
        json.dumps({"turns": ["hi"] * 10_000}).encode(), json.dumps({"messages": [{"role": "user", "content": "x"}] * 2000}).encode(),
        b"x" * 3_000_000, "\ufeff{}".encode(), '{"turns": ["hi"]}'.encode("utf-16"), b"\x1f\x8b\x08\x00" + b"x" * 50,
    ]  # fmt: skip
    for number, body in enumerate(odd):
        for path in BODIES:
            yield f"body {number} {path}", post(path, body)
        yield f"body {number} chunked", post("/reply", chunked(body), head="Transfer-Encoding: chunked\r\n")
    for kind in (
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/json; charset=utf-16",
        "é",
        ";;;",
    ):
        yield f"type {kind}", post("/reply", b'{"turns": ["hi"]}', kind=kind)
    for method, path in [*ROUTES, ("GET", "/"), ("GET", "/docs"), ("GET", "/metrics"), ("GET", "/v1/models")]:
        for other in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "HEAD"):
            if other != method:
                yield f"{other} {path}", post(path, b"{}", method=other)
    for query in (
        "limit=0",
        "limit=1e9",
        "limit=-1",
        "offset=99999999999999999999",
        "tag=%00",
        "contains=%ff%fe",
        "banned=maybe",
    ):
        yield f"query {query}", post(f"/admin/bank/list?{query}", b"", method="GET")
    for path in (
        "/%00",
        "/..%2f..%2fetc%2fpasswd",
        "/../../etc/passwd",
        "//x",
        "/docs.js/",
        "/" + "x" * 5000,
        "/v1/models/%f0%9f%99%82",
    ):
        yield f"path {path[:30]}", post(path, b"", method="GET")
    for head in (
        "Content-Length: -1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: nonsense\r\n",
        "X: " + "x" * 100_000 + "\r\n",
        "Expect: 200-maybe\r\nContent-Length: 0\r\n",
    ):
        yield f"head {head[:30]!r}", post("/reply", b"", head=head)
    yield "no request", b"nonsense\r\n\r\n"
    yield "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64


def send(server: BotServer, findings: Findings, kind: str, name: str, request: bytes) -> None:
    """Send bytes over a connection of their own, and note what comes back."""
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        with suppress(ConnectionError):  # refused before all of it was sent: the answer is there already
            connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    findings.note(kind, name, int(status.split()[1]), headers, body.decode(errors="replace"))


if __name__ == "__main__":
    main()
