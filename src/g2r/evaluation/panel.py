"""What the systems of a comparison are put before, beside the held-out contexts (EVALUATION: tiers C to F)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from g2r.config import OpenAITeacherConfig
from g2r.evaluation.exams import Exam
from g2r.evaluation.learned.base import LearnedScorer
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.ratings import Validation
from g2r.teachers.base import Teacher


@dataclass(frozen=True, slots=True)
class Panel:
    """Exams, learned scorers, rivals and teachers; the empty panel is that of the report that closes a run.

    Attributes:
        exams: taken by every scorer.
        scorers: rate every reply.
        validations: what they are worth by human ratings; empty if none were given.
        ceilings: the highest correlation that the raters' noise allows, by file of ratings.
        rankers: slower scorers that choose in the lists and put the best candidates in another order
            (poly-encoder, cross-encoder).
        rerank: candidates of the served student that they get.
        teacher: writes replies, alone and with a retrieved one before it; its scores give the oracle gap.
        oracle_contexts: contexts of the oracle gap, at most.
        judge: endpoint that is asked which of two replies is better.
        judge_contexts: contexts it is asked about, at most.
        notes: what was asked for and could not be had, and what to mind.
    """

    exams: tuple[Exam, ...] = ()
    scorers: tuple[LearnedScorer, ...] = ()
    validations: tuple[Validation, ...] = ()
    ceilings: Mapping[str, float | NotComputed] = field(default_factory=dict)
    rankers: tuple[LearnedScorer, ...] = ()
    rerank: int = 20
    teacher: Teacher | None = None
    oracle_contexts: int = 50
    judge: OpenAITeacherConfig | None = None
    judge_contexts: int = 200
    notes: tuple[str, ...] = ()

    def label(self, scorer: str) -> str:
        """A learned scorer's name as it stands beside its values: with its verdict, or as not validated."""
        found = next((v.label for v in self.validations if v.scorer == scorer), "")
        return found or f"{scorer} (not validated)"
