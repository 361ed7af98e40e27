"""The server's own protocol: a conversation in, a reply with its reasons out."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from g2r.server.models import ReplyRequest, ReplyResponse
from g2r.server.service import service_of

router = APIRouter(tags=["replies"])


@router.post("/reply", response_model=ReplyResponse)
async def reply(asked: ReplyRequest, request: Request) -> Response:
    """Answer a conversation. The server keeps none of it: two conversations cannot mix."""
    said = await service_of(request).reply(
        asked.turns, tags=asked.tags, without=asked.without, candidates=asked.candidates
    )
    told = ReplyResponse.of(said.reply, timings_ms=said.timings_ms, text=said.text, source=said.source)
    return Response(told.model_dump_json(), media_type="application/json")
