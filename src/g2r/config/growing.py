"""Configuration of growth: responses to what a bot had no reply to."""

from pydantic import Field

from g2r.config.teaching import GenerateConfig


class GrowConfig(GenerateConfig):
    """How responses to misses are written, and which are proposed."""

    min_judge: float = Field(
        6.0, ge=0, le=10, description="Responses that the judge rates lower are dropped."
    )
    near_duplicates: float = Field(
        0.85, gt=0, le=1, description="Jaccard likeness from which two responses are one."
    )
    max_proposals: int = Field(
        10_000, ge=1, description="With so many proposals in the file no further ones are written."
    )
