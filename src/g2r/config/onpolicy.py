"""Configuration of on-policy distillation."""

from typing import Any

from pydantic import Field

from g2r.config.base import StageConfig
from g2r.config.teaching import ScoreConfig, TeacherConfig


class OnPolicyConfig(StageConfig):
    """Rounds of retrieving, scoring what was retrieved, and distilling those scores (METHOD: on-policy)."""

    rounds: int = Field(1, ge=1, description="Times that the student is trained on what it retrieved.")
    top: int = Field(30, ge=2, description="Responses retrieved for each training context.")
    teacher: TeacherConfig | None = Field(
        None, description="Who scores what was retrieved, e.g. a judge; by default the teacher of the run."
    )
    score: ScoreConfig = Field(ScoreConfig(scores=("judge",)), description="Which scores it gives.")
    train: dict[str, Any] = Field(
        default_factory=lambda: {"score": "judge"},
        description="Changes to the train section in the rounds, each of which goes on from the last student.",
    )
