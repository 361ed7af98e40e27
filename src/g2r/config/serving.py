"""Configuration of the bank, its index and the rules of the reply path."""

from typing import Literal

from pydantic import Field, model_validator

from g2r.config.base import StageConfig

ContextView = Literal["last1", "last2", "all"]


class IndexConfig(StageConfig):
    """The bank and its search index."""

    responses: Literal["human", "teacher", "both"] = Field(
        "both", description="Which responses join the bank."
    )
    splits: tuple[Literal["train", "valid", "test"], ...] = Field(
        ("train",), description="Splits whose responses join the bank."
    )
    min_judge: float | None = Field(None, description="Leave out responses whose best judge score is lower.")
    min_contexts: int = Field(
        1,
        ge=1,
        description="Leave out responses written for fewer contexts: one that fits a single context rarely fits another.",
    )
    near_duplicates: float = Field(
        0.85,
        gt=0,
        le=1,
        description="Jaccard likeness from which two responses are one; 1 for equal normal forms only.",
    )
    vet: tuple[str, ...] = Field(
        (),
        description="Classifiers whose flagged responses are banned at the build, e.g. words,personal "
        "(docs/bank.md).",
    )
    response_key: float = Field(1.0, ge=0, description="Weight of f(c).g(r), the response's own key.")
    context_key: float = Field(
        0.0, ge=0, description="Weight of max_k f(c).f(c_k) over the contexts the response was written for."
    )
    context_views: tuple[ContextView, ...] = Field(
        ("last1", "last2"), description="What of a context is its key: last turn, last two, all."
    )
    contexts_per_response: int = Field(8, ge=1, description="Contexts remembered as keys of one response.")
    kind: Literal["auto", "flat", "hnsw", "ivf", "refined"] = Field(
        "auto",
        description="auto: flat fp16 to 5,000 keys of a kind, then refined: an inverted file of 4-bit codes, its best "
        "ordered by 8-bit codes.",
    )
    search_effort: int = Field(
        0,
        ge=0,
        description="Nodes of the graph (hnsw) or cells (ivf, refined) that a search visits; 0 for as many as "
        "suit the kind.",
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
    rerank: int = Field(
        0,
        ge=0,
        description="Retrieved responses that the judge or ranker of the bot rates, to say its best; 0 for none.",
    )
    rerank_weight: float = Field(
        0.0, ge=0, description="Weight of the student's score beside that rating of 0 to 10."
    )
    min_confidence: float | None = Field(
        None, ge=0, le=1, description="Abstain when the calibrated confidence is lower (g2r calibrate)."
    )
    max_bad_replies: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Abstain so often that at most this share of what is said is bad (g2r calibrate).",
    )
    without: tuple[str, ...] = Field(
        (), description="Never say responses with one of these tags, e.g. self-description."
    )

    @property
    def needs_calibration(self) -> bool:
        """Whether the bot abstains by confidence."""
        return self.min_confidence is not None or self.max_bad_replies is not None


class ServeConfig(StageConfig):
    """The server: where it listens, what it refuses."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all networks.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    model_name: str = Field("g2r", min_length=1, description="Name of the model in the OpenAI protocol.")
    max_body_bytes: int = Field(262_144, ge=1024, description="Longer requests are refused.")
    max_turns: int = Field(500, ge=1, description="Longer conversations are refused.")
    max_turn_characters: int = Field(10_000, ge=1, description="Longer turns are refused.")
    max_candidates: int = Field(50, ge=1, description="Most candidates that a request may ask for.")
    max_connections: int = Field(
        512, ge=1, description="Most connections that are open; further ones are refused with 503."
    )
    timeout_s: float = Field(5.0, gt=0, description="Seconds for a request to arrive, and for its answer.")
    max_queue: int = Field(256, ge=1, description="Most conversations that wait; further ones are refused.")
    max_delay_ms: float = Field(
        50.0, gt=0, description="Refuse what, by recent speed, would be answered later than this."
    )
    max_batch: int = Field(16, ge=1, description="Most conversations answered together.")
    batch_wait_ms: float = Field(
        0.0, ge=0, le=100, description="Wait so long for others to join a batch that is not full."
    )
    drain_s: float = Field(30.0, gt=0, description="On SIGTERM, seconds to finish what was accepted.")
    fallback: Literal["none", "line", "llm"] = Field(
        "none", description="What is said where the bot abstains: nothing, a safe line, or an LLM's answer."
    )
    fallback_line: str = Field(
        "Sorry, I don't know what to say to that.",
        min_length=1,
        description="The safe line; said too where the LLM fails.",
    )
    fallback_model: str = Field("", description="Model name that the LLM's endpoint knows.")
    fallback_url: str = Field(
        "http://127.0.0.1:8000/v1", description="Address of the LLM, an endpoint of the OpenAI protocol."
    )
    fallback_key_env: str = Field(
        "OPENAI_API_KEY", description="Environment variable that holds the LLM's key."
    )
    fallback_prompt: str = Field(
        "You are a friendly chat partner. Answer in one or two short sentences.",
        description="System message for the LLM.",
    )
    fallback_timeout_s: float = Field(3.0, gt=0, description="Later than this the safe line is said.")
    fallback_max_tokens: int = Field(
        80, ge=1, description="An answer of the LLM that is cut here is not said."
    )
    fallback_concurrency: int = Field(8, ge=1, description="Requests to the LLM under way at once.")
    max_fallbacks: int = Field(
        64,
        ge=1,
        description="Most conversations that wait for the LLM; to others the safe line is said at once.",
    )
    max_misses_bytes: int = Field(
        64 * 2**20, ge=0, description="Size of misses.jsonl from which on no further misses are written."
    )
    grow: bool = Field(
        False,
        description="Keep the conversations that the bot had no reply to in its misses.jsonl, for g2r grow.",
    )
    log_text: bool = Field(False, description="Log what is said, too.")

    @model_validator(mode="after")
    def _some_model(self) -> "ServeConfig":
        if self.fallback == "llm" and not self.fallback_model:
            raise ValueError("fallback llm needs a fallback_model")
        return self
