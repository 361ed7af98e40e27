"""Learned scorers of replies: what they are, how they are trained, what they are worth (EVALUATION: tier E)."""

from g2r.evaluation.learned.base import (
    BASELINES,
    JudgeScorer,
    LearnedScorer,
    LengthBaseline,
    OverlapBaseline,
    list_scorer,
)

__all__ = [
    "BASELINES",
    "JudgeScorer",
    "LearnedScorer",
    "LengthBaseline",
    "OverlapBaseline",
    "list_scorer",
]
