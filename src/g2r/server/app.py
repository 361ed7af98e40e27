"""The application: every route, every limit, one bot behind them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response

from g2r.bot import Bot
from g2r.config import ServeConfig
from g2r.server import health, openai_api, replies
from g2r.server.admin import admin_router
from g2r.server.limits import BodyLimit
from g2r.server.live import LiveBot
from g2r.server.logs import RequestLog, log
from g2r.server.models import ErrorBody
from g2r.server.refusals import answer_errors
from g2r.server.service import Service

_STATIC = Path(__file__).with_name("static")
_PAGES = {"index.html": "/", "docs.html": "/docs"}
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(
    bot: LiveBot | Bot, config: ServeConfig | None = None, *, admin_key: str | None = None
) -> FastAPI:
    """Return the application that serves `bot`.

    Args:
        bot: who answers; a LiveBot can be swapped and remembers it.
        config: the limits.
        admin_key: opens /admin to `Authorization: Bearer KEY`; without a key, or with a blank one, there are no
            such routes. White space around it, such as the line end of a file of secrets, is no part of it.
    """
    config, key = config or ServeConfig(), (admin_key or "").strip()
    live = bot if isinstance(bot, LiveBot) else LiveBot(bot)
    service = Service(live, config)

    @asynccontextmanager
    async def answering(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        service.fallback.start()
        log(
            "serving",
            bank_version=live.bot.bank.version,
            responses=len(live.bot.bank),
            place=live.place and {"bot": str(live.place.bot), "bank": str(live.place.bank)},
            admin=bool(key),
            calibrated=live.bot.calibration is not None,
        )
        yield
        await service.batcher.stop()
        await service.fallback.stop()

    app = FastAPI(
        title="g2r",
        description="A generative chat model distilled into a bank of responses, over HTTP.",
        version=version("g2r"),
        lifespan=answering,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere, beside a field for the admin key: see docs.html
        redoc_url=None,
        responses={status: {"model": ErrorBody} for status in (400, 413, 415, 422, 503)},
    )
    app.state.service = service
    answer_errors(app, service.metrics)
    app.include_router(replies.router)
    app.include_router(openai_api.router)
    app.include_router(health.router)
    if key:
        app.include_router(admin_router(key))
    _add_pages(app)

    app.add_middleware(BodyLimit, config=config, count=service.metrics.count_refusal)
    app.add_middleware(RequestLog)
    return app


def _add_pages(app: FastAPI) -> None:
    """Serve the web chat at /, the description of the API at /docs, and the files that they load beside them."""
    for file in sorted(_STATIC.glob("*.*")):
        app.add_route(_PAGES.get(file.name, f"/{file.name}"), _sender(file))


def _sender(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        return FileResponse(file, headers=_PAGE_HEADERS)

    return send
