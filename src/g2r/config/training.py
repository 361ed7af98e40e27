"""Configuration of the distillation and the export of the student."""

from typing import Literal

from pydantic import Field

from g2r.config.base import StageConfig
from g2r.config.teaching import ScoreName


class TrainConfig(StageConfig):
    """Distilling the student (METHOD: the loss)."""

    base: str = Field("minilm", description='"minilm" (packaged), a folder, or a hub name.')
    init: str = Field(
        "", description="Student of the same run to start from, by its name under compare; empty for base."
    )
    towers: Literal["shared", "separate"] = Field(
        "shared", description="One encoder for contexts and responses, or two."
    )
    turn_order: Literal["newest_first", "oldest_first"] = Field(
        "newest_first", description="Order of the turns in the text of a context."
    )
    speaker_marks: bool = Field(False, description="Say before each turn who speaks.")
    history: int = Field(4, ge=1, description="Turns of a context that the student reads, the last ones.")
    max_context_tokens: int = Field(128, ge=8, description="Longer contexts lose their oldest turns' tokens.")
    max_response_tokens: int = Field(64, ge=4, description="Longer responses are cut.")
    responses: Literal["original", "all"] = Field(
        "all", description="original: human responses only (baseline); all: the teacher's too (D-G2R)."
    )
    contexts: Literal["all", "taught"] = Field(
        "all",
        description="taught: only contexts with a teacher's response, so that rivals see the same ones.",
    )
    max_candidates: int = Field(
        6, ge=1, description="Candidates of a context used in one step, drawn anew each epoch."
    )
    max_retrieved: int = Field(
        10,
        ge=0,
        description="Retrieved responses of a context in one step: learned from by their scores alone.",
    )
    score: ScoreName | None = Field(None, description="Teacher score to distil (DM-G2R); none for D-G2R.")
    alpha: float = Field(0.5, ge=0, le=1, description="Weight of the distillation term.")
    teacher_temperature: float = Field(1.0, gt=0, description="Tempers the standardised teacher scores.")
    student_temperature: float = Field(
        0.05, gt=0, description="Cosine similarities are divided by this: the scale of s(c, r) in both terms."
    )
    distillation_temperature: float = Field(
        1.0,
        gt=0,
        description="Further tempers the student in the distillation term, weighed by its square (T_student).",
    )
    key_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of a further term that draws contexts which share a response together: context keys.",
    )
    random_negatives: int = Field(
        0, ge=0, description="Random responses of the bank added to every batch (r)."
    )
    hard_negatives: int = Field(
        0,
        ge=0,
        description="Mined negatives a context: retrieved by the base, near in score, not candidates.",
    )
    freeze_layers: int = Field(
        0, ge=0, description="Leave the embeddings and the first layers as they are; 0 trains all of it."
    )
    batch_size: int = Field(64, ge=2, description="Contexts in a batch.")
    mini_batch_size: int = Field(
        0, ge=0, description="Texts encoded at once under the gradient cache; 0 for no cache."
    )
    epochs: float = Field(1.0, gt=0, description="Passes over the training contexts.")
    max_steps: int = Field(-1, ge=-1, description="Optimiser steps; over 0 it takes the place of epochs.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate.")
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="Share of steps with a rising learning rate.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 where the processor or GPU computes it natively, else fp32."
    )
    evals: int = Field(4, ge=1, description="Evaluations on the validation split; the best model is kept.")
    select_by: Literal["hits@1", "bank_score"] = Field(
        "hits@1",
        description="hits@1/20 on original responses, or the teacher score of what is retrieved from the whole bank.",
    )
    checkpoint_steps: int = Field(
        200, ge=1, description="Steps between checkpoints; a killed training resumes from the last."
    )
    report_to: tuple[str, ...] = Field((), description="Trackers of the trainer: tensorboard, wandb, ...")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of batches, dropout and negatives.")


class ExportConfig(StageConfig):
    """The student as ONNX graphs for the reply path without torch."""

    int8: bool = Field(True, description="Also write an 8-bit graph, and serve it if its recall holds.")
    min_int8_recall: float = Field(
        0.97, ge=0, le=1, description="The 8-bit graph is served from this recall@1 against fp32 upward."
    )
