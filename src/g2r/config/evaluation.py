"""Configuration of the evaluation."""

from pydantic import Field

from g2r.config.base import StageConfig


class ReportConfig(StageConfig):
    """The table that closes a run."""

    contexts: int = Field(400, ge=1, description="Held-out contexts evaluated, at most, drawn by seed.")
    candidates: int = Field(
        20, ge=2, description="Candidates of a list for hits@1: one human, the rest random."
    )
    responses: int | None = Field(
        5000,
        ge=1,
        description="Responses of each bank that all students reply from, drawn by seed; none for whole banks.",
    )
    side_by_side: int = Field(
        10, ge=0, description="Contexts whose top replies are shown, one column a system."
    )
    sources: tuple[str, ...] = Field((), description="Sources of the held-out contexts; empty for all.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")
