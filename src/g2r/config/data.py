"""Configuration of reading."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from g2r.config.base import StageConfig

SourceFormat = Literal["auto", "jsonl", "text", "parlai", "g2r", "huggingface"]


class SourceConfig(StageConfig):
    """Where dialogues come from."""

    path: str = Field(
        description='A file or folder, "starter", "chitchat", "chitchat-recorded" (the contexts that have a '
        'recorded teacher), or "hf:NAME" for a Hugging Face dataset.'
    )
    format: SourceFormat = Field(
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

    @field_validator("path")
    @classmethod
    def _names_something(cls, path: str) -> str:
        if not path.removeprefix("hf:").strip():
            raise ValueError(
                "a source without a name; expected a file, a folder, starter, chitchat or hf:NAME"
            )
        return path


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
