"""Requests to an OpenAI-compatible endpoint: key, pace, retries, and errors that say what to mend."""

import asyncio
import ipaddress
import json
import logging
import os
import time
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from g2r.config import OpenAITeacherConfig
from g2r.errors import DependencyError, TeacherError

try:
    import openai
except ImportError as error:
    raise DependencyError(
        "the openai teacher needs the openai client; install it with: pip install 'g2r[openai]'"
    ) from error

Result = TypeVar("Result")
AnswerT = TypeVar("AnswerT", bound=BaseModel)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LONGEST_RETRY_AFTER = 600.0
_RETRIED_STATUSES = frozenset({408, 409, 425, 429})
_WAYS_OUT = {
    "top_k": "set generate.top_k: 0",
    "min_tokens": "set generate.min_tokens: 0",
    "logprobs": "set teacher.score: judge, or none",
    "echo": "set teacher.score: judge, or none",
}
_log = logging.getLogger(__name__)


class Pace:
    """When the next request may start: evenly spaced under a rate, never before a server's Retry-After.

    Times are seconds of any one clock; `Pace` never looks at one itself.
    """

    def __init__(self, requests_per_minute: float | None) -> None:
        self._interval = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0

    def reserve(self, now: float) -> float:
        """Take the next free start and return the seconds until then."""
        start = max(now, self._next)
        self._next = start + self._interval
        return start - now

    def hold(self, now: float, seconds: float) -> None:
        """Let no request start for `seconds`, beside those that have reserved."""
        self._next = max(self._next, now + seconds)


def retry_pause(attempt: int, retry_after: str | None, *, now: float) -> float:
    """Seconds before try `attempt` + 1 (from 0): what the server asks for, else 0.5, 1, 2, 4 ... up to 30.

    `retry_after` is the header: seconds, or a date; `now` is in seconds since 1970. There is no random
    part, so that a run takes the same course each time.
    """
    growing = min(FIRST_PAUSE * 2.0**attempt, LONGEST_PAUSE)
    if retry_after is None:
        return growing
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return growing


def is_local(address: str) -> bool:
    """True if the address is on this machine or a private network, where servers mostly ask for no key."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan"))


def run_together(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end from plain code, also where an event loop already runs (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def gather_all(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Await all, in order; the first error ends the others and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class Endpoint:
    """A connection to one endpoint, open inside `async with`."""

    def __init__(self, config: OpenAITeacherConfig) -> None:
        """Look up the key and prepare the client; nothing is sent yet.

        Raises:
            TeacherError: the endpoint is not local and the environment holds no key.
        """
        self._config = config
        self._key = os.environ.get(config.api_key_env, "").strip()
        if not self._key and not is_local(config.base_url):
            raise TeacherError(
                f"{config.base_url} needs a key, and {config.api_key_env} is not set; set it, or name the "
                "variable that holds the key with teacher.api_key_env"
            )
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none", base_url=config.base_url, max_retries=0, timeout=None
        )
        self._slots = asyncio.Semaphore(config.concurrency)
        self._pace = Pace(config.requests_per_minute)
        self._reached = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def post(self, path: str, body: dict[str, Any], *, answer: type[AnswerT]) -> AnswerT:
        """Send `body` and return the reply as an `answer`; try again after what may pass.

        Tried again: no answer in time, broken connections, 408, 409, 425, 429, 5xx and replies that are no
        `answer`. Other refusals, and a connection refused before the endpoint ever answered, end at once.

        Raises:
            TeacherError: the endpoint refused, or failed `retries` + 1 times.
        """
        for attempt in range(self._config.retries + 1):
            try:
                return await self._try(path, body, answer)
            except (openai.APIError, TimeoutError, json.JSONDecodeError, ValidationError) as error:
                self._refuse_hopeless(error, body)
                problem, header = self._describe(error), _retry_after(error)
            pause = retry_pause(attempt, header, now=time.time())
            if pause > LONGEST_RETRY_AFTER:
                raise TeacherError(
                    f"{self._config.base_url} asks to wait {pause:.0f} s ({problem}); run the same command again then"
                )
            if attempt < self._config.retries:
                _log.info("%s: %s; next try in %.1f s", self._config.base_url, problem, pause)
                if header is not None:
                    self._pace.hold(time.monotonic(), pause)
                await asyncio.sleep(pause)
        raise TeacherError(
            f"{self._config.base_url} failed {self._config.retries + 1} times, at last: {problem}; "
            "see to the server, or raise teacher.retries or teacher.timeout"
        )

    async def _try(self, path: str, body: dict[str, Any], answer: type[AnswerT]) -> AnswerT:
        await asyncio.sleep(self._pace.reserve(time.monotonic()))
        async with self._slots, asyncio.timeout(self._config.timeout):
            reply = await self._client.post(path, cast_to=object, body={"model": self._config.model, **body})
        self._reached = True
        return answer.model_validate(reply)

    def _refuse_hopeless(self, error: Exception, body: dict[str, Any]) -> None:
        """Raise TeacherError where another try would end the same way."""
        config, problem = self._config, self._describe(error)
        if isinstance(error, openai.APIStatusError):
            self._reached = True
            if error.status_code in (401, 403):
                held = "holds a key it refuses" if self._key else "is not set"
                raise TeacherError(
                    f"{config.base_url} wants a valid key and {config.api_key_env} {held} ({problem}); set it to one"
                ) from None
            if error.status_code == 404:
                raise TeacherError(
                    f"{config.base_url} knows no model {config.model!r}, or is no such endpoint ({problem}); "
                    "check teacher.model and teacher.base_url (it mostly ends in /v1)"
                ) from None
            passing = error.status_code in _RETRIED_STATUSES or error.status_code >= 500
            if not passing or error.code == "insufficient_quota":
                way_out = next((w for name, w in _WAYS_OUT.items() if name in body and name in problem), "")
                raise TeacherError(
                    f"{config.base_url} refused the request ({problem})" + (f"; {way_out}" if way_out else "")
                ) from None
        elif isinstance(error, openai.APIConnectionError) and _refused(error) and not self._reached:
            raise TeacherError(
                f"no server answers at {config.base_url}; start it, or set teacher.base_url to where it is"
            ) from None

    def _describe(self, error: Exception) -> str:
        """The problem in one short line, without the key."""
        if isinstance(error, openai.APIStatusError):
            text = f"{error.status_code}: {_server_message(error)}"
        elif isinstance(error, TimeoutError):
            text = f"no answer within {self._config.timeout:g} s"
        elif isinstance(error, (json.JSONDecodeError, ValidationError)):
            text = "its reply is not the JSON that the OpenAI protocol promises"
        else:
            text = f"{error.__cause__ or error}"
        text = " ".join(text.split())
        if self._key:
            text = text.replace(self._key, "***")
        return text if len(text) <= 200 else text[:200] + "..."


def _server_message(error: openai.APIStatusError) -> str:
    """What the server says of its refusal, whichever of the common forms it has."""
    body = error.body
    if isinstance(body, dict):
        return str(body.get("message") or body.get("detail") or body.get("error") or body)
    return str(body or error.response.reason_phrase)


def _retry_after(error: Exception) -> str | None:
    return error.response.headers.get("retry-after") if isinstance(error, openai.APIStatusError) else None


def _refused(error: BaseException) -> bool:
    """True if no connection was made at all."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) or type(cause).__name__ == "ConnectError":
            return True
        cause = cause.__cause__
    return False
