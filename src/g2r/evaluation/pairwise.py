"""Which of two replies is better, by a language model behind an endpoint, in both orders (EVALUATION: tier F)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from g2r.config import OpenAITeacherConfig
from g2r.dialogue import Context
from g2r.errors import TeacherError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.preferences import Choice, Outcome, WinRate, win_rate

if TYPE_CHECKING:
    from g2r.teachers.endpoint import Endpoint

PROMPT = """Here is a chat and two replies that might come next.

{chat}

Reply 1: {first}
Reply 2: {second}

Which reply follows better from what was said, as a friendly person would answer it? Length alone is no merit.
Answer with 1, 2 or "tie" and nothing else."""
_ANSWER = re.compile(r"\W*(?:reply\s*)?(1|2|tie)\b", re.IGNORECASE)


class _Message(BaseModel):
    content: str | None = None


class _ChatChoice(BaseModel):
    message: _Message


class _ChatAnswer(BaseModel):
    choices: list[_ChatChoice]


@dataclass(frozen=True, slots=True)
class Preference:
    """What the judge says of two systems.

    Attributes:
        outcomes: one a context that both answered; a tie where the two orders disagree.
        rate: how often the first system wins, ties left out.
        consistency: share of the contexts where both orders gave the same verdict.
    """

    outcomes: tuple[Outcome, ...]
    rate: WinRate | NotComputed
    consistency: float | NotComputed


def prefer(
    config: OpenAITeacherConfig,
    contexts: Sequence[Context],
    replies: Mapping[str, Sequence[str | None]],
    *,
    against: str,
) -> dict[str, Preference]:
    """Ask which reply is better: that of each system, or that of `against`.

    Every pair is asked about twice, each reply once in the first place.

    Raises:
        TeacherError: the endpoint fails, or twice answers nothing like "1", "2" or "tie".
        DependencyError: the openai client is missing.
    """
    from g2r.teachers.endpoint import Endpoint, gather_all, run_together

    asked = [
        (name, context, mine, theirs)
        for name, own in replies.items()
        if name != against
        for context, mine, theirs in zip(contexts, own, replies[against], strict=True)
        if mine is not None and theirs is not None
    ]

    async def ask_all() -> list[Outcome]:
        async with Endpoint(config) as endpoint:
            both_orders = [
                _verdict(endpoint, config.model, context, first, second)
                for _, context, mine, theirs in asked
                for first, second in ((mine, theirs), (theirs, mine))
            ]
            return await gather_all(both_orders)

    verdicts = run_together(ask_all())
    pairs = list(zip((name for name, *_ in asked), verdicts[::2], verdicts[1::2], strict=True))
    return {
        name: _preference([(straight, crossed) for system, straight, crossed in pairs if system == name])
        for name in replies
        if name != against
    }


async def _verdict(endpoint: "Endpoint", model: str, context: Context, first: str, second: str) -> Outcome:
    """Which of two replies the model calls the better one; an answer that says neither is asked about once more."""
    chat = "\n".join(f"- {turn}" for turn in context)
    prompt = PROMPT.format(chat=chat, first=first, second=second)
    body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0.0, "max_tokens": 8}
    said = ""
    for turn in range(2):
        answer = await endpoint.post("/chat/completions", {**body, "seed": turn}, answer=_ChatAnswer)
        said = (answer.choices[0].message.content or "") if answer.choices else ""
        if outcome := parse_verdict(said):
            return outcome
    raise TeacherError(
        f"{model} was asked twice which of two replies is better and said {said!r:.60}; "
        'expected 1, 2 or "tie": choose a model that follows instructions'
    )


def _preference(verdicts: Sequence[tuple[Outcome, Outcome]]) -> Preference:
    """What the verdicts of both orders, one pair a context, come to."""
    outcomes = tuple(agreed(straight, crossed) for straight, crossed in verdicts)
    same = [straight == _SWAPPED[crossed] for straight, crossed in verdicts]
    return Preference(
        outcomes, win_rate(outcomes), sum(same) / len(same) if same else NotComputed("no replies")
    )


_SWAPPED: Mapping[Outcome, Outcome] = {"a": "b", "b": "a", "tie": "tie"}


def agreed(straight: Outcome, crossed: Outcome) -> Outcome:
    """The verdict of both orders: that of the first if the second, its replies swapped, says the same; else a tie."""
    return straight if straight == _SWAPPED[crossed] else "tie"


def parse_verdict(text: str) -> Outcome | None:
    """ "a" for the first reply, "b" for the second, "tie"; None for anything else."""
    found = _ANSWER.match(text.strip())
    outcomes: Mapping[str, Outcome] = {"1": "a", "2": "b", "tie": "tie"}
    return outcomes[found[1].lower()] if found else None


def choices(preferences: Mapping[str, Preference], *, against: str) -> list[Choice]:
    """All verdicts as choices between two systems, for Bradley-Terry."""
    return [Choice(name, against, outcome) for name, p in preferences.items() for outcome in p.outcomes]
