"""Configuration of the benchmark of latency and throughput."""

from typing import Literal

from pydantic import Field

from g2r.config.base import StageConfig


class BenchConfig(StageConfig):
    """Latency of every system in one interleaved run (EVALUATION: Latency and load)."""

    contexts: int = Field(
        100, ge=2, description="Held-out contexts, drawn by seed; every system answers the same."
    )
    rounds: int = Field(30, ge=1, description="Times that each context is answered; p99 needs 300 samples.")
    slow_contexts: int = Field(
        10, ge=2, description="Contexts, the first ones, that generative rivals answer."
    )
    slow_rounds: int = Field(
        1, ge=1, description="Rounds of generative rivals, spread over those of the others."
    )
    responses: int = Field(
        100_000,
        ge=1,
        description="Size of the bank that replies come from; beyond the run's own they are synthetic.",
    )
    batch: int = Field(32, ge=1, description="Contexts answered together for the throughput.")
    batch_rounds: int = Field(5, ge=0, description="Such batches a system; 0 for no throughput.")
    bank_sizes: tuple[int, ...] = Field(
        (10_000, 100_000, 1_000_000), description="Sizes of bank whose search is measured."
    )
    structures: tuple[str, ...] = Field(
        ("flat", "hnsw", "ivf", "refined"),
        description="Search structures measured: kinds of index, or FAISS descriptions with ; for a comma.",
    )
    efforts: tuple[int, ...] = Field(
        (8, 16, 32, 64, 128, 256),
        description="How hard each is searched: cells of an inverted file; four nodes of a graph for each.",
    )
    queries: int = Field(200, ge=1, description="Contexts that search and recall are measured on.")
    depth: int = Field(64, ge=10, description="Responses searched for, as the bot does before its rules.")
    search_rounds: int = Field(5, ge=1, description="Times that each of these is searched for.")
    generators: tuple[str, ...] = Field(
        ("90M", "400M-distill", "2.7B"),
        description="BlenderBots, with random weights: 90M, 400M-distill, 2.7B, 9.4B. One that does not fit "
        "into memory is left out, and the result says so.",
    )
    beams: tuple[int, ...] = Field((1, 10), description="Beams of their decoding; 1 is greedy.")
    output_tokens: int = Field(20, ge=1, description="Tokens of each of their replies, no more and no fewer.")
    dtype: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Their numbers; auto: fp32, or bf16 where fp32 does not fit."
    )
    reranker: str = Field(
        "", description="Exported judge that re-ranks the bot's best; empty for the run's own, if it has one."
    )
    rerank: int = Field(20, ge=2, description="Candidates that it re-ranks.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where torch's systems run.")
    threads: int = Field(0, ge=0, description="Threads of each library; 0 for one a physical core.")
    cold_starts: int = Field(5, ge=0, description="Times that a process is started for its first reply.")
    seed: int = Field(0, ge=0, description="Seed of all draws.")
