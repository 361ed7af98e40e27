"""Requests that are refused: one line of JSON in the shape of the OpenAI protocol, never a trace, never a path."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from g2r.errors import ArtifactError, G2RError, InputError
from g2r.server.logs import REQUEST_ID, log, request_id
from g2r.server.metrics import Metrics
from g2r.server.models import ErrorBody, ErrorDetail

_INVALID = "invalid_request_error"
_LONGEST = 300


class RefusedError(G2RError):
    """A request that is not served, and what to answer.

    Attributes:
        status: of HTTP.
        reason: label of the metric `g2r_refused_total`.
        kind: `type` of the answer.
        param: the field that is wrong.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str = "invalid",
        kind: str = _INVALID,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.kind = kind
        self.param = param
        self.headers = dict(headers or {})

    @classmethod
    def overloaded(cls) -> Self:
        return cls._later("more requests than this server can answer in time", reason="overloaded")

    @classmethod
    def crowded(cls) -> Self:
        return cls._later("more connections than this server takes", reason="connections")

    @classmethod
    def stopping(cls) -> Self:
        return cls._later("this server is stopping", reason="stopping")

    @classmethod
    def timed_out(cls, seconds: float) -> Self:
        return cls._later(f"no answer within {seconds:g} s", reason="timeout")

    @classmethod
    def _later(cls, message: str, *, reason: str) -> Self:
        return cls(
            503,
            f"{message}; try again in a second",
            reason=reason,
            kind="overloaded_error",
            headers={"Retry-After": "1"},
        )

    @classmethod
    def unauthorized(cls) -> Self:
        return cls(
            401,
            "expected the header Authorization: Bearer KEY with this server's admin key",
            reason="unauthorized",
            kind="authentication_error",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def response(self) -> Response:
        """The answer. Characters that cannot be encoded are replaced: a message may quote what was sent."""
        line = " ".join(str(self).encode(errors="backslashreplace").decode().split())
        detail = ErrorDetail(message=line[:_LONGEST], type=self.kind, param=self.param)
        return Response(
            ErrorBody(error=detail).model_dump_json(),
            status_code=self.status,
            headers=self.headers,
            media_type="application/json",
        )


def answer_errors(app: FastAPI, metrics: Metrics) -> None:
    """Have every error of the app answered as a `RefusedError`, and counted."""

    def refuse(refusal: RefusedError) -> Response:
        metrics.count_refusal(refusal.reason)
        return refusal.response()

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return refuse(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return refuse(_of_validation(request, error.errors()[0]))

    @app.exception_handler(InputError)
    async def unusable(request: Request, error: InputError) -> Response:
        return refuse(RefusedError(422, str(error)))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return refuse(_of_http(request, error))

    @app.exception_handler(ArtifactError)
    async def damaged(request: Request, error: ArtifactError) -> Response:
        """A file of the bot cannot be used: whoever runs the server is told which, the client is not."""
        metrics.failures.inc()
        log("damaged", error=str(error))
        return RefusedError(
            503, "this server cannot answer now, its log says why", kind="server_error"
        ).response()

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        """Of a fault of ours the client learns nothing; the log has it."""
        metrics.failures.inc()
        return RefusedError(
            500,
            "this server failed; its log says why",
            kind="server_error",
            headers={REQUEST_ID: request_id()},  # Starlette answers this one outside of all middleware
        ).response()


def _of_validation(request: Request, problem: Mapping[str, Any]) -> RefusedError:
    """The first wrong field, by name, with the type that came (not its value) and what was expected."""
    if problem["type"] == "json_invalid":
        return _no_json()
    field = (
        ".".join(str(part) for part in problem["loc"][1:]).encode(errors="backslashreplace").decode()[:100]
    )
    if not field and isinstance(problem["input"], bytes):
        return RefusedError(415, "expected a JSON body with the header Content-Type: application/json")
    came = (
        f", got {type(problem['input']).__name__}"
        if problem["type"] not in ("missing", "extra_forbidden")
        else ""
    )
    return RefusedError(422, f"{field or 'the body'}: {problem['msg']}{came}", param=field or None)


def _of_http(request: Request, error: HTTPException) -> RefusedError:
    """What the framework refuses: an unknown address, a wrong method, a body that is no JSON."""
    match error.status_code:
        case 400:
            return _no_json()
        case 404:
            return RefusedError(
                404, "no such address here; /openapi.json lists those there are", reason="not_found"
            )
        case status:
            words = HTTPStatus(status).phrase.lower()
            return RefusedError(status, words, reason="not_found", headers=error.headers)


def _no_json() -> RefusedError:
    return RefusedError(400, "the body is no JSON in UTF-8, or is nested too deep")
