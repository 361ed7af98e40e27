"""Configuration of the bank, its index and the rules of the reply path."""

from typing import Literal

from pydantic import Field

from g2r.config.base import StageConfig


class IndexConfig(StageConfig):
    """The bank and its search index."""

    responses: Literal["human", "teacher", "both"] = Field(
        "both", description="Which responses join the bank."
    )
    splits: tuple[Literal["train", "valid", "test"], ...] = Field(
        ("train",), description="Splits whose responses join the bank."
    )
    min_judge: float | None = Field(None, description="Leave out responses whose best judge score is lower.")
    near_duplicates: float = Field(
        0.85,
        gt=0,
        le=1,
        description="Jaccard likeness from which two responses are one; 1 for equal normal forms only.",
    )
    response_key: float = Field(1.0, ge=0, description="Weight of f(c).g(r), the response's own key.")
    context_key: float = Field(
        0.0, ge=0, description="Weight of max_k f(c).f(c_k) over the contexts the response was written for."
    )
    context_views: tuple[Literal["last1", "last2", "all"], ...] = Field(
        ("last1", "last2"), description="What of a context is its key: last turn, last two, all."
    )
    contexts_per_response: int = Field(8, ge=1, description="Contexts remembered as keys of one response.")
    kind: Literal["auto", "flat", "hnsw", "ivf"] = Field(
        "auto", description="auto: flat fp16 to 100,000 keys, then HNSW with 8-bit codes."
    )
    min_recall_at_1: float = Field(
        0.98, ge=0, le=1, description="The build is refused under this recall@1 against exact search."
    )
    min_recall_at_10: float = Field(
        0.95, ge=0, le=1, description="The build is refused under this recall@10."
    )


class BotConfig(StageConfig):
    """Rules of the reply path."""

    top_k: int = Field(64, ge=1, description="Responses searched before the rules.")
    repeat_likeness: float = Field(
        0.8, gt=0, le=1, description="Jaccard likeness from which a response counts as said before."
    )
    min_score: float | None = Field(None, description="Abstain when the best score is lower.")
