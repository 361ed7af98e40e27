"""The chat protocol of OpenAI, so that the clients people have can talk to the bot.

A conversation's turns are the messages of user and assistant; neighbours of one role are one turn. System,
developer and tool messages are left out: a bank cannot be instructed, its tags choose a voice instead
(`metadata: {"tags": "calm,children"}`). The n-th choice is the n-th candidate. Nothing is generated, so sampling
options change nothing and usage is zero.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from g2r.server.models import Told
from g2r.server.refusals import RefusedError
from g2r.server.service import Said, service_of

router = APIRouter(prefix="/v1", tags=["OpenAI protocol"])

_SPEAKERS = ("user", "assistant")


class Part(BaseModel):
    """A piece of a message; only texts can be answered."""

    type: str
    text: str = ""


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request of the OpenAI protocol; what is not named here is accepted and changes nothing."""

    messages: list[ChatMessage]
    model: str = Field("", description="Any name: the server has one model.")
    n: int | None = Field(1, ge=1, description="How many of the best candidates are given as choices.")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    metadata: Annotated[
        dict[str, str] | None,
        Field(
            description="tags: only responses with all of these; without: none with one of these; separated by commas."
        ),
    ] = None


class Usage(Told):
    """Nothing is generated: zero."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class AssistantMessage(Told):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None


class Choice(Told):
    index: int
    message: AssistantMessage
    finish_reason: Literal["stop"] = "stop"
    logprobs: None = None


class Trace(Told):
    """Where the reply comes from."""

    response_id: str | None
    score: float | None
    confidence: float | None
    abstained: bool
    source: str | None
    bank_version: str
    bank_revision: int
    timings_ms: dict[str, float]


class ChatCompletion(Told):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage = Usage()
    g2r: Trace


class Model(Told):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "g2r"


class ModelList(Told):
    object: Literal["list"] = "list"
    data: list[Model]


@router.post("/chat/completions", response_model=ChatCompletion)
async def complete(asked: ChatRequest, request: Request) -> Response:
    """Answer a conversation; with `stream` as server-sent events."""
    service = service_of(request)
    tags, without = (_tags(asked.metadata or {}, name) for name in ("tags", "without"))
    said = await service.reply(turns_of(asked.messages), tags=tags, without=without, candidates=asked.n or 1)
    completion = ChatCompletion(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=service.config.model_name,
        choices=[
            Choice(index=index, message=AssistantMessage(content=text))
            for index, text in enumerate(_texts(said))
        ],
        g2r=Trace(
            response_id=said.reply.response_id,
            score=said.reply.score,
            confidence=said.reply.confidence,
            abstained=said.reply.abstained,
            source=said.source,
            bank_version=said.reply.bank_version,
            bank_revision=said.reply.bank_revision,
            timings_ms=dict(said.timings_ms),
        ),
    )
    if not asked.stream:
        return Response(completion.model_dump_json(), media_type="application/json")
    with_usage = asked.stream_options is not None and asked.stream_options.include_usage
    return Response(_events(completion, with_usage=with_usage), media_type="text/event-stream")


@router.get("/models")
async def models(request: Request) -> ModelList:
    """The one model there is."""
    return ModelList(data=[Model(id=service_of(request).config.model_name)])


@router.get("/models/{name}")
async def model(name: str, request: Request) -> Model:
    """The one model there is, by its name."""
    if name != service_of(request).config.model_name:
        raise RefusedError(404, "no such model here; /v1/models names the one there is", reason="not_found")
    return Model(id=name)


def turns_of(messages: Sequence[ChatMessage]) -> list[str]:
    """The turns of a conversation, oldest first.

    Raises:
        RefusedError: the user does not have the last word, or a part is no text.
    """
    spoken = [message for message in messages if message.role in _SPEAKERS]
    if not spoken or spoken[-1].role != "user":
        raise RefusedError(
            422,
            f"messages: the last one is of {spoken[-1].role if spoken else 'nobody'}, expected one of the user",
            param="messages",
        )
    return [
        " ".join(filter(None, map(_text_of, same)))
        for _, same in groupby(spoken, key=lambda message: message.role)
    ]


def _tags(metadata: Mapping[str, str], name: str) -> list[str]:
    return [tag.strip() for tag in metadata.get(name, "").split(",") if tag.strip()]


def _text_of(message: ChatMessage) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    for part in message.content:
        if part.type != "text":
            raise RefusedError(
                422, f"messages: a part of type {part.type[:40]!r}, expected text", param="messages"
            )
    return " ".join(part.text for part in message.content)


def _texts(said: Said) -> list[str]:
    """What is said first, and the next best candidates as further choices."""
    return [
        said.text,
        *(candidate.text for candidate in said.reply.candidates[1:] if not said.reply.abstained),
    ]


def _events(completion: ChatCompletion, *, with_usage: bool) -> str:
    """The completion as server-sent events, sent at once: it is whole before the first could leave."""
    head = {**completion.model_dump(include={"id", "created", "model"}), "object": "chat.completion.chunk"}
    chunks: list[dict[str, Any]] = []
    for choice in completion.choices:
        for delta, reason in (
            ({"role": "assistant", "content": ""}, None),
            ({"content": choice.message.content}, None),
            ({}, choice.finish_reason),
        ):
            told = {"index": choice.index, "delta": delta, "finish_reason": reason, "logprobs": None}
            chunks.append({**head, "choices": [told]})
    chunks[-1]["g2r"] = completion.g2r.model_dump()
    if with_usage:
        chunks.append({**head, "choices": [], "usage": completion.usage.model_dump()})
    return "".join(f"data: {data}\n\n" for data in [*map(json.dumps, chunks), "[DONE]"])
