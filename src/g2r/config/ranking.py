"""Configuration of the ranker: the second stage that sees vectors alone."""

from pydantic import Field

from g2r.config.base import StageConfig


class RankerConfig(StageConfig):
    """Training the ranker on rated lists."""

    good: float = Field(6.0, gt=0, le=10, description="Rating from which a response counts as good.")
    projected: int = Field(96, ge=1, description="Dimensions of a projected vector.")
    hidden: int = Field(256, ge=1, description="Width of the hidden layer.")
    dropout: float = Field(0.4, ge=0, lt=1, description="Share of inputs and hidden units dropped.")
    epochs: int = Field(12, ge=1, description="Times that each list is seen.")
    batch_lists: int = Field(64, ge=1, description="Lists in a step.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(0.02, ge=0, description="Weight decay of AdamW.")
    list_weight: float = Field(
        0.3, ge=0, description="Weight of the order within a list beside each response's own rating."
    )
    folds: int = Field(
        5, ge=2, description="Parts, by dialogue, each of which is measured by a ranker of the others."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of weights, order and dropout.")
