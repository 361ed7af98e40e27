"""The bank under control: ban, allow, tag, add, look, swap; only for who holds the key.

A change is on disk before its answer leaves, and holds from the next reply on.
"""

import hashlib
import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from g2r.bank import ResponseBank
from g2r.bank.finding import Wanted, rows_of
from g2r.bot import Bot
from g2r.server.logs import log
from g2r.server.models import (
    Added,
    AddRequest,
    BanRequest,
    Changed,
    ChangeOut,
    LogPage,
    ResponseId,
    ResponseOut,
    ResponsePage,
    Swapped,
    SwapRequest,
    TagRequest,
)
from g2r.server.refusals import RefusedError
from g2r.server.service import Service, service_of

_MOST = 1000
_BY = "admin API"
Limit = Annotated[int, Query(ge=1, le=_MOST)]


def admin_router(key: str) -> APIRouter:
    """The routes under /admin; each looks at the key before it reads anything else of the request."""
    router = APIRouter(
        prefix="/admin",
        tags=["admin"],
        route_class=_guarded_by(key),
        dependencies=[Depends(HTTPBearer(auto_error=False))],  # for the API's description alone
    )
    router.add_api_route("/bank/ban", ban, methods=["POST"])
    router.add_api_route("/bank/unban", unban, methods=["POST"])
    router.add_api_route("/bank/tag", tag, methods=["POST"])
    router.add_api_route("/bank/untag", untag, methods=["POST"])
    router.add_api_route("/bank/add", add, methods=["POST"])
    router.add_api_route("/bank/list", list_responses, methods=["GET"])
    router.add_api_route("/bank/show", show, methods=["GET"])
    router.add_api_route("/bank/log", show_log, methods=["GET"])
    router.add_api_route("/swap", swap, methods=["POST"])
    return router


def _guarded_by(key: str) -> type[APIRoute]:
    """Routes that are open to `Authorization: Bearer KEY` alone."""
    expected = _digest(key.encode(errors="surrogateescape"))

    class Guarded(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                if not _holds_key(request.headers.get("authorization", ""), expected):
                    raise RefusedError.unauthorized()
                return await handle(request)

            return guarded

    return Guarded


def _holds_key(header: str, expected: bytes) -> bool:
    """Whether a header holds the key. Digests are compared, so that the time tells nothing, not even its length."""
    scheme, _, given = header.partition(" ")
    same = hmac.compare_digest(_digest(given.strip().encode("latin-1")), expected)
    return same and scheme.lower() == "bearer"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


async def ban(asked: BanRequest, request: Request) -> Changed:
    """Never say a response again: it holds for every reply that begins after this answer."""
    return await _change(
        request, "ban", asked.response_id, lambda bank: bank.ban(asked.response_id, asked.reason, by=_BY)
    )


async def unban(asked: BanRequest, request: Request) -> Changed:
    """Take a ban back."""
    return await _change(
        request, "unban", asked.response_id, lambda bank: bank.unban(asked.response_id, asked.reason, by=_BY)
    )


async def tag(asked: TagRequest, request: Request) -> Changed:
    """Add tags to a response."""
    return await _change(
        request, "tag", asked.response_id, lambda bank: bank.tag(asked.response_id, *asked.tags, by=_BY)
    )


async def untag(asked: TagRequest, request: Request) -> Changed:
    """Take tags off a response."""
    return await _change(
        request, "untag", asked.response_id, lambda bank: bank.untag(asked.response_id, *asked.tags, by=_BY)
    )


async def add(asked: AddRequest, request: Request) -> Added:
    """Add responses; they are found from the next reply on."""
    service = service_of(request)

    def make(bot: Bot) -> Added:
        new = bot.add(
            *asked.texts,
            contexts=asked.contexts,
            tags=asked.tags,
            source=asked.source,
            reason=asked.reason,
            by=_BY,
        )
        told = [_response(bot.bank, response.response_id) for response in new]
        return Added(responses=told, bank_version=bot.bank.version, bank_revision=bot.bank.revision)

    added = await service.add(make)
    service.metrics.changes.labels("add").inc(len(added.responses))
    log("changed", action="add", response_ids=[response.response_id for response in added.responses])
    return added


async def list_responses(
    request: Request,
    contains: Annotated[str, Query(max_length=200, description="Only texts with these letters.")] = "",
    tag: Annotated[str, Query(max_length=100, description="Only responses with this tag.")] = "",
    banned: Annotated[bool | None, Query(description="Only banned ones, or only allowed ones.")] = None,
    offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
    limit: Limit = 50,
) -> ResponsePage:
    """Responses of the bank, in the order of their ids."""
    bank = await _current_bank(service_of(request))
    return await run_in_threadpool(_page, bank, contains, tag, banned, offset, limit)


async def show(request: Request, response_id: Annotated[ResponseId, Query()]) -> ResponseOut:
    """One response with everything that is known of it."""
    return _response(await _current_bank(service_of(request)), response_id)


async def show_log(request: Request, limit: Limit = 100) -> LogPage:
    """The last changes of the bank, by whatever process they were made."""
    bank = await _current_bank(service_of(request))
    changes = bank.log
    told = [ChangeOut.of(change) for change in changes[-limit:]]
    return LogPage(bank_version=bank.version, total=len(changes), changes=told)


async def swap(asked: SwapRequest, request: Request) -> Swapped:
    """Serve another bank or another bot from now on, without a pause.

    It is loaded beside the old one and tried with a reply before it takes over; what is being answered is
    finished by the old one. What was banned, tagged and added in the old bank holds in the new one.
    """
    service = service_of(request)
    bot, replaced = await service.swap(asked.path)
    service.metrics.changes.labels("swap").inc()
    versions = {"bank_version": bot.bank.version, "previous_bank_version": replaced.bank.version}
    log("swapped", **versions)
    return Swapped(**versions, responses=len(bot.bank))


async def _change(
    request: Request, action: str, response_id: str, change: Callable[[ResponseBank], None]
) -> Changed:
    """Change the bank that is served, and tell what holds now.

    Raises:
        RefusedError: the bank has no such response, or its log cannot be written; nothing is changed.
    """
    service = service_of(request)

    def make(bot: Bot) -> Changed:
        if bot.bank.find(response_id) is None and response_id not in bot.bank.forbidden:
            raise _unknown(response_id)
        change(bot.bank)
        return Changed.of(bot.bank, response_id)

    changed = await service.change(make)
    service.metrics.changes.labels(action).inc()
    log("changed", action=action, response_id=response_id)
    return changed


async def _current_bank(service: Service) -> ResponseBank:
    """The bank that is served, with what other processes changed in it."""
    bank = service.live.bot.bank
    await run_in_threadpool(bank.refresh)
    return bank


def _response(bank: ResponseBank, response_id: str) -> ResponseOut:
    row = bank.find(response_id)
    if row is None:
        raise _unknown(response_id)
    return ResponseOut.of(bank[row], banned=bool(bank.banned[row]))


def _unknown(response_id: str) -> RefusedError:
    return RefusedError(
        404, f"no response {response_id} in the bank", reason="not_found", param="response_id"
    )


def _page(
    bank: ResponseBank, contains: str, tag: str, banned: bool | None, offset: int, limit: int
) -> ResponsePage:
    wanted = Wanted(tags=frozenset({tag} if tag else ()), banned=banned, contains=contains)
    rows, is_banned = rows_of(bank, wanted), bank.banned
    return ResponsePage(
        bank_version=bank.version,
        total=len(rows),
        responses=[
            ResponseOut.of(bank[row], banned=bool(is_banned[row])) for row in rows[offset : offset + limit]
        ],
    )
