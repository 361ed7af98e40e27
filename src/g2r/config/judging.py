"""Configuration of the judge: the cross-encoder that rates (context, response) pairs."""

from typing import Literal

from pydantic import Field

from g2r.config.base import StageConfig


class JudgeConfig(StageConfig):
    """Training the judge: next utterances first, then scored lists."""

    base: str = Field("minilm", description='"minilm" (packaged), a folder (a judge, too), or a hub name.')
    layers: int = Field(0, ge=0, description="Keep the first layers of the base; 0 for all.")
    freeze: int = Field(
        0, ge=-1, description="0 freezes the embeddings, n the first n layers too, -1 nothing."
    )
    history: int = Field(4, ge=1, description="Turns of a context that are read, the last ones.")
    speaker_marks: bool = Field(True, description="Say before each turn who speaks.")
    max_tokens: int = Field(128, ge=16, description="Longest pair in tokens; the oldest turns are cut first.")
    random: int = Field(2, ge=0, description="Negatives from other dialogues; more where other kinds lack.")
    wrong_turn: int = Field(1, ge=0, description="Negatives from elsewhere in the same dialogue.")
    speaker: int = Field(1, ge=0, description="Negatives that the partner said, or says next.")
    said: int = Field(1, ge=0, description="Negatives that the bot itself said before.")
    retrieved: int = Field(2, ge=0, description="Negatives that the retriever finds for the context.")
    retriever: str = Field("minilm", description="Encoder that retrieves: a student or a base.")
    retrieved_pool: int = Field(
        20_000, ge=2, description="Responses the retriever chooses from, drawn by seed."
    )
    easy_share: float = Field(
        0.2, ge=0, le=1, description="First share of next-utterance training with random negatives alone."
    )
    contrast: int = Field(4, ge=0, description="Negatives added to a scored list of examples, rated 1 of 10.")
    batch_lists: int = Field(16, ge=1, description="Lists in a step.")
    pretrain_share: float = Field(
        0.6, ge=0, le=1, description="Share of the training that is next utterances alone."
    )
    onpolicy_share: float = Field(
        0.5, ge=0, le=1, description="Share of on-policy lists in a step after that."
    )
    replay_share: float = Field(
        0.25, ge=0, le=1, description="Share of next-utterance lists in a step after that."
    )
    temperature: float = Field(0.7, gt=0, description="Tempers the standardised scores of a list.")
    absolute: float = Field(
        0.5, ge=0, description="Weight of the rating itself beside the order of the list."
    )
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate on next utterances.")
    head_rate: float = Field(
        10.0, gt=0, description="The new output and the pooler learn so many times as fast as the rest."
    )
    scored_learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate on scored lists.")
    warmup_fraction: float = Field(
        0.06, ge=0, lt=1, description="Share of each phase with a rising learning rate."
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the processor or GPU computes it natively, else fp32."
    )
    max_steps: int = Field(600, ge=1, description="Optimiser steps of both phases.")
    minutes: float = Field(
        0.0, ge=0, description="Stop at this time, the schedule scaled to it; 0 for max_steps alone."
    )
    valid_share: float = Field(
        0.1, ge=0, lt=1, description="Share of scored dialogues that choose the judge that is kept."
    )
    evals: int = Field(8, ge=1, description="Evaluations; the best judge is kept.")
    checkpoint_steps: int = Field(
        50, ge=1, description="Steps between checkpoints; a killed training resumes from the last."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of lists, dropout and negatives.")
