"""What the server's own endpoints take and give; the shapes of the OpenAI protocol stand in `openai_api`."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from g2r.bank import ADDED, BankContext, BankResponse, Change, ResponseBank
from g2r.dialogue import Scores
from g2r.reply import RankedCandidate, Reply

ResponseId = Annotated[
    str, Field(pattern=r"^[0-9a-f]{16}$", description="Content id of the response's text: 16 hex digits.")
]


def _whole_characters(text: str) -> str:
    """JSON can spell halves of characters (lone surrogates), which no file or answer can hold."""
    if not text.isascii():
        text.encode()
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
Tag = Annotated[Text, Field(min_length=1, max_length=100)]
Tags = Annotated[list[Tag], Field(max_length=100)]


class Asked(BaseModel):
    """The base of requests: an unknown key is an error, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """The base of answers."""

    model_config = ConfigDict(frozen=True)


class ErrorDetail(Told):
    """Why a request was refused, in the shape of the OpenAI protocol, so that its clients show the message."""

    message: str = Field(description="One line: what came, what was expected.")
    type: str = Field(
        description="invalid_request_error, authentication_error, overloaded_error, server_error."
    )
    param: str | None = Field(None, description="The field that is wrong.")
    code: str | None = None


class ErrorBody(Told):
    """Every answer that is no success."""

    error: ErrorDetail


class ReplyRequest(Asked):
    """A conversation. The server keeps none: each request brings all of it."""

    turns: list[Text] = Field(
        description="The conversation so far, oldest first, the last turn said by the partner.",
        examples=[["hi, how are you?"]],
    )
    tags: Tags = Field([], description="Only responses that carry all of them.")
    without: Tags = Field([], description="No response that carries one of them.")
    candidates: int = Field(5, ge=1, description="Ranked candidates to show.")


class ContextOut(Told):
    """A context that a response was written for, with the teacher's scores of the two together."""

    turns: list[str]
    ll: float | None = Field(description="LL in nats per token.")
    mi: float | None = Field(description="MI in nats per token.")
    judge: float | None = Field(description="Rating from 0 to 10.")

    @classmethod
    def of(cls, context: BankContext) -> Self:
        return cls(turns=list(context.turns), **_scores(context.scores))


class CandidateOut(Told):
    """A response that the rules let pass, with what it scored and where it comes from."""

    text: str
    response_id: str
    score: float = Field(
        description="What it is ranked by: the weighted sum of the two below, or the rating."
    )
    response_score: float | None = Field(description="Likeness of the response; null without response keys.")
    context_score: float | None = Field(
        description="Likeness of the nearest context it was written for; null without context keys."
    )
    sources: list[str] = Field(description="Who wrote it: human, or names of teachers.")
    contexts: list[ContextOut] = Field(description="Contexts it was written for, best scored first.")
    tags: list[str]
    rating: float | None = Field(description="By the second stage, 0 to 10; null if it did not rate it.")

    @classmethod
    def of(cls, candidate: RankedCandidate) -> Self:
        return cls(
            text=candidate.text,
            response_id=candidate.response_id,
            score=candidate.score,
            response_score=candidate.response_score,
            context_score=candidate.context_score,
            sources=list(candidate.sources),
            contexts=[ContextOut.of(context) for context in candidate.contexts],
            tags=sorted(candidate.tags),
            rating=candidate.rating,
        )


class ReplyResponse(Told):
    """What the bot says, and why."""

    text: str = Field(description="What to say; empty if the bot abstains and there is no fallback.")
    response_id: str | None = Field(description="Null if the bot abstains.")
    score: float | None = Field(description="Score of the best candidate; null if there is none.")
    confidence: float | None = Field(
        description="Calibrated probability of a good reply, 0 to 1; null for a bot without calibration."
    )
    abstained: bool
    source: str | None = Field(
        description="bank, fallback (the bot abstains, the text is not from the bank), or null for no text."
    )
    candidates: list[CandidateOut] = Field(description="Best first; the first one is said.")
    timings_ms: dict[str, float] = Field(
        description="queue (waiting, others of the batch included), encode, search, rules, and their total."
    )
    bank_version: str = Field(description="Content hash of the bank's rows as they were built.")
    bank_revision: int = Field(description="How many additions, bans and tags of the bank's log held.")

    @classmethod
    def of(cls, reply: Reply, *, timings_ms: Mapping[str, float], text: str, source: str | None) -> Self:
        return cls(
            text=text,
            response_id=reply.response_id,
            score=reply.score,
            confidence=reply.confidence,
            abstained=reply.abstained,
            source=source,
            candidates=[CandidateOut.of(candidate) for candidate in reply.candidates],
            timings_ms=dict(timings_ms),
            bank_version=reply.bank_version,
            bank_revision=reply.bank_revision,
        )


class Health(Told):
    """ok (alive), ready, or not ready."""

    status: str


class BanRequest(Asked):
    """A response to ban or to allow again."""

    response_id: ResponseId
    reason: Text = Field("", max_length=1000, description="Kept in the bank's log.")


class TagRequest(Asked):
    """Tags to add to a response or to take off it."""

    response_id: ResponseId
    tags: Tags = Field(min_length=1)


class AddRequest(Asked):
    """Responses to add to the bank."""

    texts: list[Text] = Field(min_length=1, max_length=1000, description="What may be said.")
    contexts: list[list[Text]] = Field(
        [], max_length=100, description="Conversations that each of them answers, turns oldest first."
    )
    tags: Tags = []
    source: Text = Field(ADDED, min_length=1, max_length=100, description="Who wrote them.")
    reason: Text = Field("", max_length=1000, description="Kept in the bank's log.")


class SwapRequest(Asked):
    """What is served from now on."""

    path: Text = Field(
        min_length=1,
        max_length=4096,
        pattern=r"^[^\x00]+$",
        description="Folder on the server's machine: a whole bot, or a bank for the student that is served.",
    )


class ResponseOut(Told):
    """A response of the bank as it stands now."""

    response_id: str
    text: str
    banned: bool
    tags: list[str]
    sources: list[str]
    count: int = Field(description="How often it stood in the data.")
    contexts: list[ContextOut]

    @classmethod
    def of(cls, response: BankResponse, *, banned: bool) -> Self:
        return cls(
            response_id=response.response_id,
            text=response.text,
            banned=banned,
            tags=sorted(response.tags),
            sources=list(response.sources),
            count=response.count,
            contexts=[ContextOut.of(context) for context in response.contexts],
        )


class Changed(Told):
    """What holds for a response after a change."""

    response_id: str
    banned: bool
    tags: list[str]
    bank_version: str
    bank_revision: int

    @classmethod
    def of(cls, bank: ResponseBank, response_id: str) -> Self:
        row = bank.find(response_id)
        return cls(
            response_id=response_id,
            banned=response_id in bank.forbidden,
            tags=[] if row is None else sorted(bank[row].tags),
            bank_version=bank.version,
            bank_revision=bank.revision,
        )


class Added(Told):
    """Responses as they stand in the bank now."""

    responses: list[ResponseOut]
    bank_version: str
    bank_revision: int


class ResponsePage(Told):
    """Some of the responses that were asked for."""

    bank_version: str
    total: int = Field(description="How many fit what was asked for.")
    responses: list[ResponseOut]


class ChangeOut(Told):
    """One line of the bank's log."""

    action: str
    response_id: str
    reason: str
    tags: list[str]
    at: str = Field(description="UTC, ISO 8601.")
    by: str

    @classmethod
    def of(cls, change: Change) -> Self:
        return cls(
            action=change.action,
            response_id=change.response_id,
            reason=change.reason,
            tags=list(change.tags),
            at=change.at,
            by=change.by,
        )


class LogPage(Told):
    """The last changes, oldest first."""

    bank_version: str
    total: int
    changes: list[ChangeOut]


class Swapped(Told):
    """What is served now."""

    bank_version: str
    previous_bank_version: str
    responses: int


def _scores(scores: Scores) -> dict[str, float | None]:
    return {"ll": scores.ll, "mi": scores.mi, "judge": scores.judge}
