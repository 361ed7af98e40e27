"""What a request may be: bytes, seconds to arrive, turns, characters."""

import asyncio
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from g2r.config import ServeConfig
from g2r.dialogue import Context, check_turns
from g2r.server.refusals import RefusedError

_DRAINED = 2**24
"""Bytes of a body that is too long which are read and forgotten: most clients listen when they have sent it all."""


def check_conversation(turns: Sequence[str], candidates: int, config: ServeConfig) -> Context:
    """Return the turns, cleaned.

    Raises:
        RefusedError: there are too many, one is too long, or too many candidates are asked for.
        InputError: there are none, or the last one is blank.
    """
    if len(turns) > config.max_turns:
        raise RefusedError(
            422, f"turns: {len(turns)} of them, expected at most {config.max_turns}", param="turns"
        )
    for number, turn in enumerate(turns, 1):
        if len(turn) > config.max_turn_characters:
            raise RefusedError(
                422,
                f"turn {number} has {len(turn)} characters, expected at most {config.max_turn_characters}",
                param="turns",
            )
    if candidates > config.max_candidates:
        raise RefusedError(
            422,
            f"candidates: {candidates} asked for, expected at most {config.max_candidates}",
            param="candidates",
        )
    return check_turns(turns)


class BodyLimit:
    """ASGI middleware: a body is read whole before it is served, if it is small enough and comes in time."""

    def __init__(self, app: ASGIApp, *, config: ServeConfig, count: Callable[[str], None]) -> None:
        self.app = app
        self._config = config
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._config.timeout_s):
                body = await self._read(receive)
        except TimeoutError:
            await self._refuse(
                RefusedError(408, "the body did not arrive in time", reason="timeout"), scope, receive, send
            )
            return
        except RefusedError as refusal:
            await self._refuse(refusal, scope, receive, send)
            return
        if body is None:
            return
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return given.pop() if given else await receive()

        await self.app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None if the client has gone.

        Raises:
            RefusedError: it is too long.
        """
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            more = message.get("more_body", False) and size <= _DRAINED
            if size <= self._config.max_body_bytes:
                parts.append(part)
        if size > self._config.max_body_bytes:
            raise RefusedError(
                413,
                f"the body has more than {self._config.max_body_bytes} bytes; expected a shorter one",
                reason="too_large",
            )
        return b"".join(parts)

    async def _refuse(self, refusal: RefusedError, scope: Scope, receive: Receive, send: Send) -> None:
        self._count(refusal.reason)
        await refusal.response()(scope, receive, send)
