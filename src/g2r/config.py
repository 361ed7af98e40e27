"""One model per stage: the single definition behind the library, the YAML file, the command line and the docs."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from g2r.errors import ConfigError

SCORES = ("ll", "ll_sum", "mi", "judge")
ScoreName = Literal["ll", "ll_sum", "mi", "judge"]
ConfigT = TypeVar("ConfigT", bound=BaseModel)


class StageConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class SourceConfig(StageConfig):
    """Where dialogues come from."""

    path: str = Field(
        description='A file or folder, "starter", "chitchat", "chitchat-recorded" (the contexts that have a '
        'recorded teacher), or "hf:NAME" for a Hugging Face dataset.'
    )
    format: Literal["auto", "jsonl", "text", "parlai", "g2r", "huggingface"] = Field(
        "auto", description="How the file is written; auto looks at its name and first lines."
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Hugging Face column names, e.g. {turns: dialog} or {context: history, response: reply}.",
    )
    split: str = Field("", description="Split of the source to read, where it has named ones; empty for all.")
    name: str = Field("", description="Configuration name of a Hugging Face dataset.")
    max_examples: int | None = Field(
        None, ge=1, description="Keep at most so many training examples of this source, drawn by seed."
    )


class DataConfig(StageConfig):
    """Reading dialogues and turning them into (context, response) examples."""

    sources: tuple[SourceConfig, ...] = Field(
        (), description="Where the dialogues come from; also given as plain strings."
    )
    history: int = Field(4, ge=1, description="Turns of a context, the last ones are kept.")
    bot: Literal["any", "first", "second"] = Field("any", description="Whose turns are taken as responses.")
    min_words: int = Field(1, ge=1, description="Shortest response kept, in words.")
    max_words: int = Field(60, ge=1, description="Longest response kept, in words.")
    max_context_words: int = Field(400, ge=1, description="Longest context kept, in words.")
    valid_fraction: float = Field(
        0.05, ge=0, lt=1, description="Share of dialogues held out for model selection."
    )
    test_fraction: float = Field(
        0.05, ge=0, lt=1, description="Share of dialogues held out for the final table."
    )
    max_examples: int | None = Field(
        None, ge=1, description="Keep at most so many training examples, drawn by seed."
    )
    seed: int = Field(0, description="Seed of splits and draws.")

    @model_validator(mode="before")
    @classmethod
    def _plain_strings(cls, values: Any) -> Any:
        if isinstance(values, dict) and "sources" in values:
            given = values["sources"]
            given = [given] if isinstance(given, (str, dict)) else given
            values = {**values, "sources": [{"path": s} if isinstance(s, str) else s for s in given]}
        return values

    @model_validator(mode="after")
    def _some_left_to_train_on(self) -> "DataConfig":
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError(
                "valid_fraction + test_fraction must be under 1, so that dialogues are left to train on"
            )
        return self


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


TeacherConfig = Annotated[
    TransformersTeacherConfig | RecordedTeacherConfig | OpenAITeacherConfig, Field(discriminator="kind")
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
    random_negatives: int = Field(
        0, ge=0, description="Random responses of the bank added to every batch (r)."
    )
    hard_negatives: int = Field(
        0,
        ge=0,
        description="Mined negatives a context: retrieved by the base, near in score, not candidates.",
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


class ExportConfig(StageConfig):
    """The student as ONNX graphs for the reply path without torch."""

    int8: bool = Field(True, description="Also write an 8-bit graph, and serve it if its recall holds.")
    min_int8_recall: float = Field(
        0.97, ge=0, le=1, description="The 8-bit graph is served from this recall@1 against fp32 upward."
    )


class ReportConfig(StageConfig):
    """The table that closes a run."""

    contexts: int = Field(400, ge=1, description="Held-out contexts evaluated, at most, drawn by seed.")
    candidates: int = Field(
        20, ge=2, description="Candidates of a list for hits@1: one human, the rest random."
    )
    responses: int | None = Field(
        5000,
        ge=1,
        description="Responses of each bank that all students reply from, drawn by seed; none for whole banks.",
    )
    side_by_side: int = Field(
        10, ge=0, description="Contexts whose top replies are shown, one column a system."
    )
    sources: tuple[str, ...] = Field((), description="Sources of the held-out contexts; empty for all.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")


class BotConfig(StageConfig):
    """Rules of the reply path."""

    top_k: int = Field(64, ge=1, description="Responses searched before the rules.")
    repeat_likeness: float = Field(
        0.8, gt=0, le=1, description="Jaccard likeness from which a response counts as said before."
    )
    min_score: float | None = Field(None, description="Abstain when the best score is lower.")


class RunConfig(StageConfig):
    """A whole run: one YAML file."""

    data: DataConfig
    teacher: TeacherConfig | None = None
    generate: GenerateConfig | None = None
    score: ScoreConfig | None = None
    train: TrainConfig = TrainConfig()
    compare: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Further students, each the train section with these changes."
    )
    index: IndexConfig = IndexConfig()
    banks: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Further banks, each the index section with these changes."
    )
    export: ExportConfig = ExportConfig()
    bot: BotConfig = BotConfig()
    report: ReportConfig = ReportConfig()
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        (0,), min_length=1, description="Training seeds; the first is the student that is served."
    )

    @model_validator(mode="after")
    def _the_student_reads_what_is_there(self) -> "RunConfig":
        if self.train.history < self.data.history:
            raise ValueError(
                f"train.history={self.train.history} is under data.history={self.data.history}: "
                "the student would not read turns that stand in the examples; set both"
            )
        return self

    @model_validator(mode="after")
    def _names_are_new_folders(self) -> "RunConfig":
        for section, names, served in (("compare", self.compare, "student"), ("banks", self.banks, "bank")):
            for name in names:
                if name == served or not re.fullmatch(r"\w[\w.-]*", name):
                    raise ValueError(
                        f"{section} has the name {name!r}; expected letters, digits, '.', '-' and '_', and "
                        f"another name than {served!r}, the one that is served"
                    )
        return self

    def student_configs(self) -> dict[str, TrainConfig]:
        """The training of each student by name, in the order they are trained; "student" is the one served.

        Raises:
            ConfigError: a change names an unknown option, or `init` a student that is not trained before.
        """
        changes = {**self.compare, "student": {}}
        students: dict[str, TrainConfig] = {}
        for name, change in changes.items():
            config = parse_config(TrainConfig, {**self.train.model_dump(), **change}, where=f"compare.{name}")
            if config.init and config.init not in students:
                raise ConfigError(
                    f"compare.{name}.init is {config.init!r}, expected one trained before it: {sorted(students)}"
                )
            students[name] = config
        return students

    def bank_configs(self) -> dict[str, IndexConfig]:
        """The build of each bank by name; "bank" is the one served."""
        return {
            name: parse_config(IndexConfig, {**self.index.model_dump(), **change}, where=f"banks.{name}")
            for name, change in {**self.banks, "bank": {}}.items()
        }


def parse_config(kind: type[ConfigT], values: Any, *, where: str) -> ConfigT:
    """Validate `values` as a `kind`.

    Raises:
        ConfigError: one line naming the place, the value and what was expected; an unknown key gets the
            nearest valid one.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(kind, error)}") from None


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    """The first problem as one line, with the nearest valid key where the key is unknown."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        valid = _keys(kind)
        nearest = difflib.get_close_matches(str(problem["loc"][-1]), valid, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"expected one of {', '.join(sorted(valid))}"
        return f"unknown option {key!r}; {hint}"
    return f"{key or kind.__name__}: {problem['msg']}, got {problem['input']!r:.80}"


def _keys(kind: type[BaseModel]) -> set[str]:
    """Every key valid in `kind` or in a model inside it."""
    keys: set[str] = set()
    pending: list[Any] = [kind]
    while pending:
        item = pending.pop()
        if isinstance(item, type) and issubclass(item, BaseModel):
            keys |= set(item.model_fields)
            pending += [f.annotation for f in item.model_fields.values()]
        else:
            pending += getattr(item, "__args__", ())
    return keys


def read_run_config(path: Path) -> RunConfig:
    """Read a run's YAML file.

    Raises:
        ConfigError: the file is missing, is no YAML, or does not describe a run.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; expected a run file, see runs/*.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} holds {type(values).__name__}, expected sections data, teacher, train, ..."
        )
    return parse_config(RunConfig, values, where=str(path))
