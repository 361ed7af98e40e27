"""Structured logs: one JSON object a line on stderr, without what was said unless it is asked for."""

import json
import logging
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("g2r.server")

REQUEST_ID = "X-Request-ID"
_LONGEST_PATH = 100
_noted: ContextVar[dict[str, Any] | None] = ContextVar("noted", default=None)


def note(**fields: Any) -> None:
    """Add fields to the log line of the request that is being served."""
    noted = _noted.get()
    if noted is not None:
        noted.update(fields)


def log(event: str, **fields: Any) -> None:
    """Write one line."""
    logger.info(event, extra={"fields": fields})


def request_id() -> str:
    """The id of the request that is being served, a new one outside of any."""
    noted = _noted.get()
    return str(noted["request_id"]) if noted else uuid.uuid4().hex


class JsonFormatter(logging.Formatter):
    """A record as one JSON object. Of an exception it gives type and places, not its message, which may quote
    a conversation; with `text` the message too."""

    def __init__(self, *, text: bool) -> None:
        super().__init__()
        self._text = text

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = _describe(record.exc_info[1], text=self._text)
        return json.dumps(line)


def _describe(error: BaseException, *, text: bool) -> Mapping[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    described: dict[str, Any] = {"type": type(error).__name__, "places": places}
    return {**described, "message": str(error)} if text else described


def write_logs(*, text: bool) -> None:
    """Send the lines of this server and of uvicorn to stderr, for the whole process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(text=text))
    for name in ("g2r.server", "uvicorn"):
        chosen = logging.getLogger(name)
        chosen.handlers, chosen.propagate = [handler], False
        chosen.setLevel(logging.INFO)


class RequestLog:
    """ASGI middleware: an id for each request, told in `X-Request-ID`, and one line when it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        fields: dict[str, Any] = {"request_id": uuid.uuid4().hex, "status": 500}
        _noted.set(fields)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields["status"] = message["status"]
                given = (REQUEST_ID.lower().encode(), fields["request_id"].encode())
                message = {**message, "headers": [*message["headers"], given]}
            await send(message)

        start = time.perf_counter()
        try:
            await self.app(scope, receive, told)
        finally:
            taken = round(1000 * (time.perf_counter() - start), 3)
            log("request", method=scope["method"], path=scope["path"][:_LONGEST_PATH], ms=taken, **fields)
