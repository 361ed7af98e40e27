"""What is answered where the bot abstains: nothing, a safe line, or an LLM; and the record of every such miss."""

import asyncio
import os
from dataclasses import dataclass, replace
from typing import Any

from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from g2r.bank import ResponseBank
from g2r.bank.carrying import like_forbidden
from g2r.config import OpenAITeacherConfig, ServeConfig
from g2r.dialogue import Context, clean_text
from g2r.errors import ConfigError, TeacherError
from g2r.misses import MISSES_FILE, Miss, MissLog
from g2r.reply import Reply
from g2r.server.live import LiveBot, Question
from g2r.server.logs import log
from g2r.server.metrics import Metrics

SOURCE = "fallback"


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice]


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    kind: str


class Fallback:
    """Answers in the bot's place and logs what it had no reply to.

    The LLM is asked only where the request names no tags, which it could not obey. Where it fails, is late, is cut
    off, says what is banned, or is asked by too many already, the safe line is said. Its answer is never served from the bank before a person
    has accepted it (`g2r grow`).
    """

    def __init__(self, live: LiveBot, config: ServeConfig, metrics: Metrics) -> None:
        """Prepare; nothing is sent or written.

        Raises:
            ConfigError: the LLM's endpoint is not local, and the environment holds no key for it.
            DependencyError: an LLM is asked for, and the openai client is missing.
        """
        self._live = live
        self._config = config
        self._metrics = metrics
        self._model = _Model(config) if config.fallback == "llm" else None
        self._misses: MissLog | None = None
        self._why_lost = ""

    def start(self) -> None:
        """Begin to log, where the served bot has a folder."""
        if self._live.home:
            self._misses = MissLog(
                self._live.home / MISSES_FILE, most_bytes=self._config.max_misses_bytes, lost=self._lose
            )

    async def stop(self) -> None:
        """Write what waits, and close connections."""
        if self._misses:
            await run_in_threadpool(self._misses.close)
        if self._model:
            await self._model.close()

    async def answer(self, question: Question, reply: Reply) -> str:
        """What to say in the place of a reply that abstains; "" for nothing. The miss is logged."""
        said = await self._say(question)
        if said.text:
            self._metrics.fallbacks.labels(said.kind).inc()
        if self._misses:
            self._misses.add(self._miss(question, reply, said))
        return said.text

    async def _say(self, question: Question) -> _Answer:
        if self._config.fallback == "none":
            return _Answer("", "none")
        line = _Answer(self._config.fallback_line, "line")
        if self._model is None or question.tags or question.without:
            return line
        try:
            text = await self._model.write(question.turns)
            await run_in_threadpool(_refuse_banned, text, self._live.bot.bank)
        except TeacherError as error:
            self._metrics.fallback_failures.inc()
            log("fallback failed", error=str(error) if self._config.log_text else "told with log_text")
            return line
        return _Answer(text, "llm")

    def _miss(self, question: Question, reply: Reply, said: _Answer) -> Miss:
        best = reply.candidates[0] if reply.candidates else None
        miss = Miss(
            response_id=best.response_id if best else None,
            score=reply.score,
            confidence=reply.confidence,
            bank_version=reply.bank_version,
            fallback=said.kind,
        )
        if not (self._config.grow or self._config.log_text):
            return miss
        proposed = said.text if said.kind == "llm" else ""
        source = self._config.fallback_model if proposed else ""
        return replace(miss, turns=question.turns, proposed=proposed, source=source)

    def _lose(self, count: int, why: str) -> None:
        """Count every miss that is lost, and tell why when that changes: a log that is full stays full."""
        self._metrics.lost_misses.inc(count)
        if why != self._why_lost:
            self._why_lost = why
            log("misses lost", count=count, error=why)


class _Model:
    """An LLM behind an endpoint that speaks the OpenAI protocol, asked once and within the time."""

    def __init__(self, config: ServeConfig) -> None:
        from g2r.teachers.endpoint import Endpoint, is_local

        if not is_local(config.fallback_url) and not os.environ.get(config.fallback_key_env, "").strip():
            raise ConfigError(
                f"the fallback {config.fallback_url} needs a key, and {config.fallback_key_env} is not set; set it, "
                "or name the variable that holds the key with --fallback-key-env"
            )
        self._config = config
        self._asked = 0
        self._endpoint = Endpoint(
            OpenAITeacherConfig(
                model=config.fallback_model,
                base_url=config.fallback_url,
                api_key_env=config.fallback_key_env,
                concurrency=config.fallback_concurrency,
                timeout=config.fallback_timeout_s,
                retries=0,
            )
        )

    async def write(self, context: Context) -> str:
        """One response, cleaned.

        Raises:
            TeacherError: it failed, was late, wrote nothing, or was cut off; or too many wait for it already.
        """
        if self._asked >= self._config.max_fallbacks:
            raise TeacherError(f"{self._asked} conversations wait for it already")
        self._asked += 1
        try:
            return await self._write(context)
        finally:
            self._asked -= 1

    async def _write(self, context: Context) -> str:
        from g2r.teachers.openai import chat_messages

        body: dict[str, Any] = {
            "messages": chat_messages(context, system_prompt=self._config.fallback_prompt),
            "max_tokens": self._config.fallback_max_tokens,
        }
        try:
            async with asyncio.timeout(self._config.fallback_timeout_s):  # waiting for a connection included
                completion = await self._endpoint.post("/chat/completions", body, answer=_Completion)
        except TimeoutError:
            raise TeacherError(f"no answer within {self._config.fallback_timeout_s:g} s") from None
        choice = completion.choices[0] if completion.choices else _Choice(message=_Message())
        text = clean_text(choice.message.content or "")
        if not text or choice.finish_reason not in (None, "stop"):
            raise TeacherError("it wrote nothing" if not text else f"it was cut off ({choice.finish_reason})")
        return text

    async def close(self) -> None:
        await self._endpoint.close()


def _refuse_banned(text: str, bank: ResponseBank) -> None:
    """Raises TeacherError: the text is a near duplicate of a banned response."""
    for response_id in like_forbidden([text], bank.forbidden).values():
        raise TeacherError(f"it said what is banned as {response_id}")
