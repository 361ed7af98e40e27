"""Configuration of a whole run: one YAML file."""

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, model_validator

from g2r.config.base import StageConfig, parse_config
from g2r.config.data import DataConfig
from g2r.config.evaluation import ReportConfig
from g2r.config.onpolicy import OnPolicyConfig
from g2r.config.serving import BotConfig, IndexConfig
from g2r.config.teaching import GenerateConfig, ScoreConfig, TeacherConfig
from g2r.config.training import ExportConfig, TrainConfig
from g2r.errors import ConfigError


class RunConfig(StageConfig):
    """A whole run: one YAML file."""

    data: DataConfig
    teacher: TeacherConfig | None = None
    generate: GenerateConfig | None = None
    score: ScoreConfig | None = None
    train: TrainConfig = TrainConfig()
    onpolicy: OnPolicyConfig | None = None
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

    def round_config(self) -> TrainConfig:
        """The training of every on-policy round.

        Raises:
            ConfigError: `onpolicy.train` names an unknown option.
        """
        changes = self.onpolicy.train if self.onpolicy else {}
        values = {**self.train.model_dump(), "init": "", "seed": self.seeds[0], **changes}
        return parse_config(TrainConfig, values, where="onpolicy.train")

    def bank_configs(self) -> dict[str, IndexConfig]:
        """The build of each bank by name; "bank" is the one served."""
        return {
            name: parse_config(IndexConfig, {**self.index.model_dump(), **change}, where=f"banks.{name}")
            for name, change in {**self.banks, "bank": {}}.items()
        }


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
