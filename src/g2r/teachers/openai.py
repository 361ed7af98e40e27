"""A teacher behind any endpoint that speaks the OpenAI protocol."""

import math
import re
from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel

from g2r.config import GenerateConfig, OpenAITeacherConfig, parse_config
from g2r.dialogue import NO_SCORES, Context, Scores, content_id
from g2r.errors import TeacherError
from g2r.teachers.base import Sample
from g2r.teachers.endpoint import Endpoint, gather_all, run_together

OPENING = "Start the conversation with one short, friendly turn."
"""Sent as the user's turn where the conversation does not begin with one; many chat templates insist on it."""

RUBRIC = """Rate the last reply of this chat as the next turn of the conversation.
0-2: makes no sense here. 3-4: on topic, but does not follow from what was said. 5-6: acceptable.
7-8: good. 9-10: as if written for this conversation.
Answer with one number from 0 to 10 and nothing else.

"""
_RATING = re.compile(r"\s*(\d{1,2}(?:\.\d+)?)\s*(?:/\s*10)?\s*\.?\s*")


class _Token(BaseModel):
    logprob: float | None = None


class _ChatLogprobs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None = None


class _ChatChoice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _ChatLogprobs | None = None


class _ChatAnswer(BaseModel):
    choices: list[_ChatChoice]


class _EchoLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]


class _EchoChoice(BaseModel):
    text: str = ""
    logprobs: _EchoLogprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: int


class _EchoAnswer(BaseModel):
    choices: list[_EchoChoice]
    usage: _Usage | None = None


class OpenAITeacher:
    """Writes responses by chat completions; scores given ones by echoed log-probabilities, or as a judge.

    Seeds are derived from (seed, context), so where the server honours `seed` the same call gives the same
    answer. Requires `pip install 'g2r[openai]'`.

    Score "ll" (METHOD: LL) asks `/completions` for the log-probabilities of a prompt (`echo`; vLLM gives
    them): the conversation as a document, one line a turn, the end of the line being the end-of-turn token.
    "auto" is "ll" too: where the server has no such log-probabilities, the error names the choice left.
    Score "judge" asks for a rating from 0 to 10 at temperature 0.

    The LL of its own samples is that of the chat form, which no server gives of a given text.
    """

    own_likelihoods_differ = True

    def __init__(self, model: str, **options: Any) -> None:
        """Take a model name and the other options of `OpenAITeacherConfig`. Nothing is sent.

        Raises:
            ConfigError: an option is unknown or out of range.
        """
        self.config = parse_config(OpenAITeacherConfig, {"model": model, **options}, where="teacher")

    @classmethod
    def from_config(cls, config: OpenAITeacherConfig) -> Self:
        return cls(**config.model_dump())

    @property
    def name(self) -> str:
        return self.config.model.rstrip("/").rsplit("/", 1)[-1]

    @property
    def score_kinds(self) -> frozenset[str]:
        """What `score` tries to give; whether the server can is known at the first call."""
        kinds = {"auto": {"ll"}, "ll": {"ll"}, "judge": {"judge"}, "none": set[str]()}
        return frozenset(kinds[self.config.score])

    def generate(
        self, contexts: Sequence[Context], settings: GenerateConfig, *, seed: int
    ) -> list[list[Sample]]:
        """Write `settings.responses_per_context` responses to each context.

        `top_k` and `min_tokens` are no part of the protocol: they are sent where set, and a server that
        refuses them is reported, not obeyed silently. Log-probabilities are asked for unless score is judge
        or none, and kept at temperature 1 only: servers differ in whether they report tempered ones. (All
        common ones report them before truncation by top_k and top_p.) Whether the end-of-turn token is
        among them is the server's choice.

        Raises:
            TeacherError: the endpoint failed or refused, wrote nothing at all, or gave log-probabilities that are
                not finite; beams or `no_repeat_ngram` are asked for, which the protocol does not have.
        """
        for option, wanted in (
            ("method: beam", settings.method == "beam"),
            (f"no_repeat_ngram: {settings.no_repeat_ngram}", settings.no_repeat_ngram > 0),
        ):
            if wanted:
                raise TeacherError(
                    f"the openai teacher has no {option}; set method: sample and no_repeat_ngram: 0"
                )
        written = run_together(self._generate(contexts, settings, seed))
        if contexts and not any(sample.text.strip() for samples in written for sample in samples):
            raise TeacherError(
                f"{self.config.model} at {self.config.base_url} wrote nothing for {len(contexts)} contexts; "
                "expected responses: check the model, its chat template and max_tokens"
            )
        return written

    def score(self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]) -> list[list[Scores]]:
        """Score `responses[i][j]` as a response to `contexts[i]`.

        Raises:
            TeacherError: score is none; the server gives no log-probabilities of a given text, or they are not
                finite; the judge twice gave no number from 0 to 10.
        """
        if self.config.score == "none":
            raise TeacherError("teacher.score is none, so this teacher scores nothing; set it to ll or judge")
        return run_together(self._score(contexts, responses))

    async def _generate(
        self, contexts: Sequence[Context], settings: GenerateConfig, seed: int
    ) -> list[list[Sample]]:
        async with Endpoint(self.config) as endpoint:
            return await gather_all(self._write(endpoint, context, settings, seed) for context in contexts)

    async def _write(
        self, endpoint: Endpoint, context: Context, settings: GenerateConfig, seed: int
    ) -> list[Sample]:
        """Ask until there are enough responses: some servers give one at a time, whatever `n` says."""
        keep_logprobs = settings.temperature == 1.0 and self.config.score in ("auto", "ll")
        body = {
            "messages": chat_messages(context, system_prompt=self.config.system_prompt),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            **({"top_k": settings.top_k} if settings.top_k else {}),
            **({"min_tokens": settings.min_tokens} if settings.min_tokens else {}),
            **({"logprobs": True} if keep_logprobs else {}),
        }
        samples: list[Sample] = []
        for turn in range(settings.responses_per_context):
            missing = settings.responses_per_context - len(samples)
            request = {**body, "n": missing, "seed": request_seed(seed, context, turn)}
            answer = await endpoint.post("/chat/completions", request, answer=_ChatAnswer)
            samples += [self._sample(choice, keep_logprobs) for choice in answer.choices]
            if len(samples) >= settings.responses_per_context:
                return samples[: settings.responses_per_context]
        raise TeacherError(
            f"{self.config.model} at {self.config.base_url} gave {len(samples)} responses in "
            f"{settings.responses_per_context} requests, expected {settings.responses_per_context}; see to the server"
        )

    def _sample(self, choice: _ChatChoice, keep_logprobs: bool) -> Sample:
        tokens = choice.logprobs.content if choice.logprobs and keep_logprobs else None
        scores = self._log_likelihood([t.logprob for t in tokens]) if tokens else NO_SCORES
        return Sample(choice.message.content or "", scores, finished=choice.finish_reason in (None, "stop"))

    async def _score(
        self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]
    ) -> list[list[Scores]]:
        score_one = self._rate_all if self.config.score == "judge" else self._log_likelihoods
        async with Endpoint(self.config) as endpoint:
            return await gather_all(
                score_one(endpoint, context, given)
                for context, given in zip(contexts, responses, strict=True)
            )

    async def _log_likelihoods(
        self, endpoint: Endpoint, context: Context, responses: Sequence[str]
    ) -> list[Scores]:
        """LL of each response: the tokens after those that the document has without any response.

        The tokens are told apart by comparing them with the context's own, not by the server's text offsets,
        which count a begin-of-text token and half characters differently from server to server. A token
        that spans the border counts with the response.
        """
        if not responses:
            return []
        start = document(context, system_prompt=self.config.system_prompt)
        texts = [start] + [f"{start} {_one_line(response)}\n" for response in responses]
        head, *whole = await gather_all(self._echo(endpoint, text) for text in texts)
        scores = []
        for echo in whole:
            shared = _common_prefix(head.tokens, echo.tokens)
            scores.append(self._log_likelihood(echo.token_logprobs[shared:]))
        return scores

    async def _echo(self, endpoint: Endpoint, text: str) -> _EchoLogprobs:
        """The tokens of `text` and log P of each given those before it (nats; None for the first)."""
        # One token is generated and left out again: not every server takes max_tokens=0.
        body = {"prompt": text, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0.0}
        answer = await endpoint.post("/completions", body, answer=_EchoAnswer)
        choice = answer.choices[0] if answer.choices else _EchoChoice()
        found = choice.logprobs
        length = answer.usage.prompt_tokens if answer.usage else 0
        if not choice.text.startswith(text) or found is None or not 0 < length <= len(found.token_logprobs):
            raise TeacherError(
                f"{self.config.base_url} gives no log-probabilities of a given text (/completions with echo), so "
                "LL of given responses cannot be had; set teacher.score: judge, or serve the model with vLLM"
            )
        return _EchoLogprobs(tokens=found.tokens[:length], token_logprobs=found.token_logprobs[:length])

    def _log_likelihood(self, logprobs: Sequence[float | None]) -> Scores:
        values = [math.nan if value is None else value for value in logprobs]
        total = math.fsum(values)
        if not values or not math.isfinite(total):
            raise TeacherError(
                f"{self.config.model} at {self.config.base_url} gave log-probabilities that are not finite or "
                "missing; expected one number a token: check the server, or set teacher.score: judge"
            )
        return Scores(ll_sum=total, tokens=len(values))

    async def _rate_all(self, endpoint: Endpoint, context: Context, responses: Sequence[str]) -> list[Scores]:
        return await gather_all(self._rate(endpoint, context, response) for response in responses)

    async def _rate(self, endpoint: Endpoint, context: Context, response: str) -> Scores:
        """A rating from 0 to 10; an answer that is no number is asked about once more."""
        chat = document(context, system_prompt=self.config.system_prompt)
        messages = [
            {"role": "user", "content": f"{RUBRIC}{chat} {_one_line(response)}\n\nRating of the last reply:"}
        ]
        for turn in range(2):
            body = {"messages": messages, "temperature": 0.0, "max_tokens": 16}
            body["seed"] = request_seed(0, context, turn)
            answer = await endpoint.post("/chat/completions", body, answer=_ChatAnswer)
            said = (answer.choices[0].message.content or "") if answer.choices else ""
            rating = parse_rating(said)
            if rating is not None:
                return Scores(judge=rating)
            messages = [
                *messages,
                {"role": "assistant", "content": said},
                {"role": "user", "content": "Answer with one number from 0 to 10 and nothing else."},
            ]
        raise TeacherError(
            f"{self.config.model} at {self.config.base_url} was asked twice for a rating from 0 to 10 and said "
            f"{_one_line(said)[:60]!r}; choose a model that follows instructions"
        )


def chat_messages(context: Context, *, system_prompt: str = "") -> list[dict[str, str]]:
    """The context as chat messages: roles alternate, the last turn is the user's, the first message too.

    Where the conversation is empty or the bot began it, `OPENING` stands before it as the user's turn.
    """
    turns = [
        {"role": "user" if back % 2 == 0 else "assistant", "content": turn}
        for back, turn in enumerate(reversed(context))
    ][::-1]
    if not turns or turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": OPENING})
    return ([{"role": "system", "content": system_prompt}] if system_prompt else []) + turns


def document(context: Context, *, system_prompt: str = "") -> str:
    """The context as a text in which the bot's next turn is due: one line a turn, "User:" or "Bot:" before it."""
    lines = [
        f"{'User' if back % 2 == 0 else 'Bot'}: {_one_line(turn)}"
        for back, turn in enumerate(reversed(context))
    ][::-1]
    return "\n".join([*([_one_line(system_prompt), ""] if system_prompt else []), *lines, "Bot:"])


def request_seed(seed: int, context: Context, turn: int) -> int:
    """A seed under 2**31 that depends on the arguments alone; `turn` counts the requests for one context."""
    return int(content_id([str(seed), str(turn), *context]), 16) % 2**31


def parse_rating(text: str) -> float | None:
    """The rating in "7", "7.5", "7/10" or "7."; None for anything else, or over 10."""
    found = _RATING.fullmatch(text)
    rating = float(found[1]) if found else math.inf
    return rating if rating <= 10 else None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _common_prefix(left: Sequence[str], right: Sequence[str]) -> int:
    """Number of equal items before the first difference."""
    pairs = zip(left, right, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
