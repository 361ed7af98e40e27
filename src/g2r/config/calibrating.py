"""Configuration of calibration: what is answered, what counts as good, how sure a threshold must be."""

from typing import Literal

from pydantic import Field

from g2r.config.base import StageConfig


class CalibrateConfig(StageConfig):
    """Calibrated confidence, fitted and measured on held-out contexts."""

    split: Literal["train", "valid", "test"] = Field("valid", description="Split the contexts are drawn of.")
    contexts: int = Field(2000, ge=40, description="Contexts answered at most, one a dialogue.")
    good: float = Field(6.0, ge=0, le=10, description="Judge score from which a reply is good.")
    certainty: float = Field(
        0.95, gt=0.5, lt=1, description="Probability that the share of bad replies is held."
    )
    seed: int = Field(0, description="Draws the contexts.")
