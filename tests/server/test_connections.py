"""Connections: how many, how slow, how large a head; by sockets against a real server."""

import json
import socket
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from bot_server import word_bot
from g2r.config import ServeConfig
from g2r.server.app import create_app
from g2r.server.connections import bounded
from local_server import serving

MOST = 3
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def refusals() -> Counter[str]:
    return Counter()


@pytest.fixture
def address(refusals: Counter[str]) -> Iterator[tuple[str, int]]:
    config = ServeConfig(max_connections=MOST, timeout_s=1.0)
    protocol = bounded(config, lambda reason: refusals.update([reason]))
    with serving(create_app(word_bot(), config), http=protocol) as url:
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)


def heard(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def parsed(answer: bytes) -> tuple[int, dict[str, str], str]:
    """Status, headers, and the message of a refusal."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert int(headers["content-length"]) == len(body)
    return int(first.split()[1]), headers, json.loads(body)["error"]["message"]


def test_one_connection_too_many_is_told_to_come_again(
    address: tuple[str, int], refusals: Counter[str]
) -> None:
    with ExitStack() as stack:
        for _ in range(MOST):
            held = stack.enter_context(closing(socket.create_connection(address, timeout=20)))
            held.sendall(HEAD + b"\r\n")
            assert b"200 OK" in held.recv(4096)
        for sends in (b"", HEAD + b"\r\n", HEAD + b"Content-Length: 9000000\r\n\r\n" + b"x" * 100_000):
            with socket.create_connection(address, timeout=20) as late:
                late.sendall(sends)
                status, headers, message = parsed(heard(late))
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
            assert len(headers["x-request-id"]) == 32
            assert "connections" in message
    assert refusals == {"connections": 3}
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/healthz", timeout=20) as answer:
        assert answer.status == 200


def test_who_never_ends_a_head_is_not_waited_for(address: tuple[str, int], refusals: Counter[str]) -> None:
    for sends in (b"", HEAD):
        with socket.create_connection(address, timeout=20) as slow:
            slow.sendall(sends)
            status, headers, message = parsed(heard(slow))
        assert (status, len(headers["x-request-id"])) == (408, 32)
        assert "in time" in message
    with socket.create_connection(address, timeout=20) as endless:
        endless.sendall(HEAD + b"X-More: " + b"x" * 70_000)
        assert parsed(heard(endless))[0] == 431
    assert refusals == {"timeout": 2, "too_large": 1}


def test_what_is_no_request_is_told_so_and_a_second_request_is_served(
    address: tuple[str, int], refusals: Counter[str]
) -> None:
    with socket.create_connection(address, timeout=20) as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"\r\n")
            assert b"200 OK" in connection.recv(4096)
        connection.sendall(b"nonsense\r\n\r\n")
        status, headers, message = parsed(heard(connection))
    assert (status, message, headers["content-type"]) == (
        400,
        "what was sent is no request of HTTP/1.1",
        "application/json",
    )
    assert refusals == {"invalid": 1}
