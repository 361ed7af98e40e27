"""Configuration of what people rate, and of what is made of it."""

from typing import Literal

from pydantic import Field

from g2r.config.base import StageConfig


class RateConfig(StageConfig):
    """The page where one rater judges replies (EVALUATION: people)."""

    rater: str = Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$", description="Name of the rater.")
    systems: tuple[str, ...] = Field((), description="Systems whose replies are rated; empty for all.")
    tasks: Literal["both", "pairwise", "absolute"] = Field(
        "both", description="Which of two replies is better, whether one is sensible and specific, or both."
    )
    items: int = Field(50, ge=1, description="Contexts of each task, at most, drawn by seed.")
    attention: float = Field(
        0.1, ge=0, le=0.5, description="Pairs of the human and a random reply, as a share of the pairs."
    )
    repeats: float = Field(0.05, ge=0, le=0.5, description="Items shown again later, as a share of all.")
    seed: int = Field(
        0, ge=0, description="Seed of the contexts and, with the rater's name, of order and sides."
    )
    port: int = Field(0, ge=0, le=65535, description="Port of the page on 127.0.0.1; 0 takes a free one.")


class RatingsConfig(StageConfig):
    """What is made of the raters' judgements."""

    min_attention: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Leave out raters who chose the human reply in a smaller share of such pairs.",
    )
    draws: int = Field(2000, ge=100, description="Resamples of each interval.")
    seed: int = Field(0, ge=0, description="Seed of the resamples.")
