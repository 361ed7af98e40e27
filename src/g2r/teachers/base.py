"""What every teacher can do: write responses to contexts, and score given responses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from g2r.config import GenerateConfig
from g2r.dialogue import NO_SCORES, Context, Scores


@dataclass(frozen=True, slots=True)
class Sample:
    """One response written by a teacher.

    Attributes:
        text: as the teacher wrote it, not yet cleaned.
        scores: what the teacher thinks of it, a by-product of writing: log-probabilities are those of the
            untempered, untruncated distribution, whatever the sampling was.
        finished: False if it was cut at the token limit.
    """

    text: str
    scores: Scores = NO_SCORES
    finished: bool = True


@runtime_checkable
class Teacher(Protocol):
    """A large model P(response | context), or the record of one.

    Both methods take any number of contexts, split them into batches themselves, and answer in order.
    The empty context `()` is allowed: its responses are those of an opening turn. Results depend on the
    arguments alone: the same call gives the same answer.
    """

    @property
    def name(self) -> str:
        """Short name, the `source` of the candidates it writes."""
        ...

    @property
    def score_kinds(self) -> frozenset[str]:
        """What `score` gives: "ll" (log-likelihoods), "judge" (ratings), both, or neither."""
        ...

    def generate(
        self, contexts: Sequence[Context], settings: GenerateConfig, *, seed: int
    ) -> list[list[Sample]]:
        """Write `settings.responses_per_context` responses to each context.

        Raises:
            TeacherError: the teacher failed, or wrote nothing at all.
        """
        ...

    def score(self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]) -> list[list[Scores]]:
        """Score `responses[i][j]` as a response to `contexts[i]` (ll_sum and tokens, or judge).

        Raises:
            TeacherError: the teacher cannot score given text, or its scores are not finite.
        """
        ...


_PACE = {"batch_size", "concurrency", "requests_per_minute", "retries", "timeout", "api_key_env"}
"""Options that say how fast a teacher works: what it has finished stays its own when they are changed."""


def identity(teacher: Teacher) -> dict[str, Any]:
    """What tells one teacher from another in a journal: its name, and its configuration where it has one."""
    config = getattr(teacher, "config", None)
    return {
        "name": teacher.name,
        "config": config.model_dump(mode="json", exclude=_PACE) if isinstance(config, BaseModel) else None,
    }


def own_likelihoods_differ(teacher: Teacher) -> bool:
    """Whether the LL of what it writes is of another form than the LL it gives of a given text.

    A teacher says so by a true `own_likelihoods_differ`; one list of candidates must not mix the two.
    """
    return bool(getattr(teacher, "own_likelihoods_differ", False))
