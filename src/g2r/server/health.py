"""Whether the server is alive and ready, and what it has done."""

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from g2r.server.models import Health
from g2r.server.refusals import RefusedError
from g2r.server.service import service_of

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz")
async def readyz(request: Request) -> Health:
    """Conversations are accepted; 503 while the server stops, or while the bank's log cannot be read."""
    service = service_of(request)
    if not service.batcher.running:
        raise RefusedError.stopping()
    await run_in_threadpool(service.live.bot.bank.refresh)
    return Health(status="ready")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Counters and histograms for Prometheus."""
    service = service_of(request)
    page = await run_in_threadpool(service.metrics.page, service.live.bot)
    return Response(page, media_type=CONTENT_TYPE_LATEST)
