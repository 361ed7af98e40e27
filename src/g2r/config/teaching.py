"""Configuration of the teachers and of what they do: generate and score."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from g2r.config.base import StageConfig

SCORES = ("ll", "ll_sum", "mi", "judge")
ScoreName = Literal["ll", "ll_sum", "mi", "judge"]


class TransformersTeacherConfig(StageConfig):
    """A sequence-to-sequence or causal chat model run by transformers."""

    kind: Literal["transformers"] = "transformers"
    model: str = Field(description="Hub name or folder.")
    revision: str | None = Field(None, description="Branch, tag or commit of the hub model.")
    device: str = Field("auto", description='"auto", "cpu", "cuda", "cuda:1", "mps".')
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 on a GPU, float32 on a CPU."
    )
    system_prompt: str = Field("", description="System message of a causal chat model.")
    max_context_tokens: int = Field(256, ge=8, description="Longer contexts lose their oldest tokens.")
    batch_size: int = Field(16, ge=1, description="Contexts generated for, or scored, at once.")


class RecordedTeacherConfig(StageConfig):
    """Replays responses and scores from a file."""

    kind: Literal["recorded"] = "recorded"
    path: str = Field(
        description='JSONL with turns, responses and scores, a G2R release, or "chitchat" for the packaged record.'
    )
    name: str = Field("recorded", description="Source name given to its responses.")


class OpenAITeacherConfig(StageConfig):
    """Any endpoint that speaks the OpenAI protocol."""

    kind: Literal["openai"] = "openai"
    model: str = Field(description="Model name the endpoint knows.")
    base_url: str = Field("http://127.0.0.1:8000/v1", description="Address of the endpoint.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")
    system_prompt: str = Field("", description="System message sent before the context.")
    score: Literal["auto", "ll", "judge", "none"] = Field(
        "auto",
        description="ll needs a server that gives log-probabilities of a given text; judge asks for a 0-10 rating.",
    )
    concurrency: int = Field(8, ge=1, description="Requests under way at once.")
    requests_per_minute: float | None = Field(None, gt=0, description="Upper bound on the request rate.")
    retries: int = Field(5, ge=0, description="Tries after a failed request, with growing pauses.")
    timeout: float = Field(60.0, gt=0, description="Seconds before a request counts as failed.")

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, base_url: str) -> str:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"got {base_url!r}, expected an address such as http://127.0.0.1:8000/v1")
        return base_url


class JudgeTeacherConfig(StageConfig):
    """A trained cross-encoder that rates responses and writes none."""

    kind: Literal["judge"] = "judge"
    path: str = Field(description="Folder written by g2r judge train.")
    batch_size: int = Field(64, ge=1, description="Pairs rated at once.")


TeacherConfig = Annotated[
    TransformersTeacherConfig | RecordedTeacherConfig | OpenAITeacherConfig | JudgeTeacherConfig,
    Field(discriminator="kind"),
]


class GenerateConfig(StageConfig):
    """Data-level G2R: responses written by the teacher."""

    responses_per_context: int = Field(5, ge=1, description="Responses written for each context (m).")
    method: Literal["sample", "beam"] = Field("sample", description="Sampling, or beam search.")
    top_k: int = Field(20, ge=0, description="Sample among the k likeliest tokens; 0 for all.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Sample among the likeliest tokens that hold this mass (nucleus)."
    )
    temperature: float = Field(
        1.0, gt=0, description="Flattens (over 1) or sharpens (under 1) the distribution."
    )
    beams: int = Field(10, ge=1, description="Beams of the beam search.")
    min_tokens: int = Field(0, ge=0, description="Shortest response, in tokens.")
    max_tokens: int = Field(48, ge=1, description="Longest response, in tokens; one cut here is dropped.")
    no_repeat_ngram: int = Field(
        0, ge=0, description="n-grams that may not come twice in a response; 0 for no rule."
    )
    min_words: int = Field(2, ge=1, description="Shorter responses are dropped.")
    max_words: int = Field(60, ge=1, description="Longer responses are dropped.")
    seed: int = Field(0, description="Seed of the sampling.")

    @model_validator(mode="after")
    def _enough_beams(self) -> "GenerateConfig":
        if self.method == "beam" and self.responses_per_context > self.beams:
            raise ValueError(
                f"responses_per_context={self.responses_per_context} needs as many beams, got beams={self.beams}"
            )
        return self


class ScoreConfig(StageConfig):
    """Model-level G2R: the teacher's scores of every candidate."""

    scores: tuple[Literal["ll", "mi", "judge"], ...] = Field(
        ("ll", "mi"), description="Which scores to compute."
    )
