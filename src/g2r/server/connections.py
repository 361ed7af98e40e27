"""Connections: how many may be open, and how long and large the head of a request may be.

The application sees a request when its head is whole; what a client does before that is bounded here.
"""

import asyncio
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from g2r.config import ServeConfig
from g2r.server.logs import REQUEST_ID, log
from g2r.server.refusals import RefusedError

_MOST_HEAD_BYTES = 2**16
_LINGER_S = 1.0
"""A refused client may still be sending: closed at once, the system would throw away what it was told."""


def bounded(config: ServeConfig, count: Callable[[str], None]) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol within the limits of `config`; `count` is told why one is refused."""

    class Bounded(HttpToolsProtocol):
        """One connection."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._head_bytes = 0
            self._late: asyncio.TimerHandle | None = None
            self._refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > config.max_connections:
                self._refuse(RefusedError.crowded())
            else:
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_is_whole()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            self._head_bytes += len(data)
            super().data_received(data)
            if self._late and self._head_bytes > _MOST_HEAD_BYTES:
                self._refuse(
                    RefusedError(431, f"the head has more than {_MOST_HEAD_BYTES} bytes", reason="too_large")
                )

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if not self._late:
                self._await_head()

        def on_headers_complete(self) -> None:
            self._head_is_whole()
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            self._refuse(RefusedError(400, "what was sent is no request of HTTP/1.1"))

        def _await_head(self) -> None:
            self._head_bytes = 0
            late = RefusedError(408, "the head of the request did not arrive in time", reason="timeout")
            self._late = self.loop.call_later(config.timeout_s, self._refuse, late)

        def _head_is_whole(self) -> None:
            if self._late:
                self._late.cancel()
                self._late = None

        def _refuse(self, refusal: RefusedError) -> None:
            """Answer, hear no more, and close when the client has had time to read it."""
            if self._refused or self.transport.is_closing():
                return
            self._refused = True
            self._head_is_whole()
            self._unset_keepalive_if_required()
            self.connections.discard(self)
            if self.cycle:  # a request whose body broke off: its answer has no place any more
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            count(refusal.reason)
            request_id = uuid.uuid4().hex
            log("refused", request_id=request_id, status=refusal.status, reason=refusal.reason)
            self.transport.write(_answer(refusal, request_id))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.loop.call_later(_LINGER_S, self.transport.close)

    return Bounded


def _answer(refusal: RefusedError, request_id: str) -> bytes:
    """A refusal as bytes of HTTP/1.1."""
    response = refusal.response()
    headers = {**response.headers, REQUEST_ID: request_id, "Connection": "close"}
    head = [
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}",
        *map(": ".join, headers.items()),
    ]
    return "\r\n".join([*head, "", ""]).encode() + bytes(response.body)
