"""Configuration of the compression of a student's context tower."""

from typing import Literal

from pydantic import Field

from g2r.config.base import StageConfig


class CompressConfig(StageConfig):
    """A small context tower that gives the vectors of the full one (METHOD: beyond the paper)."""

    layers: int = Field(
        2, ge=0, description="Layers of the small tower; 0 for a static one, which averages token vectors."
    )
    keep: Literal["spread", "first"] = Field(
        "spread",
        description="Which layers of the full tower it begins with: spread from first to last, or the first.",
    )
    context_keys: Literal["full", "small"] = Field(
        "full",
        description="Tower for the contexts of the bank: full keeps an index as it is, small needs a new one.",
    )
    bank_weight: float = Field(
        0.5, ge=0, description="Weight of agreeing with the full tower on the bank's keys, beside the cosine."
    )
    bank_keys: int = Field(2048, ge=2, description="Keys of each kind in one step, drawn by seed.")
    temperature: float = Field(
        0.05, gt=0, description="Similarities to the keys are divided by this, for both towers."
    )
    batch_size: int = Field(128, ge=2, description="Contexts in a step.")
    epochs: float = Field(3.0, gt=0, description="Passes over the contexts.")
    learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate; if not given 0.005 for a static tower, else 0.0005."
    )
    warmup_fraction: float = Field(
        0.05, ge=0, lt=1, description="Share of steps with a rising learning rate."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the processor or GPU computes it natively, else fp32."
    )
    evals: int = Field(4, ge=1, description="Evaluations on held-out contexts; the best tower is kept.")
    valid_contexts: int = Field(300, ge=1, description="The most held-out contexts in an evaluation.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of batches, dropout and keys.")
