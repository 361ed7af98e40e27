"""Large models that write and score responses, and the records of such."""

from g2r.config import (
    JudgeTeacherConfig,
    OpenAITeacherConfig,
    RecordedTeacherConfig,
    TeacherConfig,
    TransformersTeacherConfig,
    parse_config,
)
from g2r.errors import ConfigError
from g2r.teachers.base import Sample, Teacher

__all__ = ["Sample", "Teacher", "open_teacher", "parse_teacher"]


def open_teacher(config: TeacherConfig) -> Teacher:
    """Load the teacher that `config` describes.

    Raises:
        TeacherError: the model is not there or the endpoint cannot be used.
        DependencyError: the packages it needs are not installed.
    """
    match config:
        case TransformersTeacherConfig():
            from g2r.teachers.transformers import TransformersTeacher

            return TransformersTeacher.from_config(config)
        case RecordedTeacherConfig():
            from g2r.teachers.recorded import RecordedTeacher

            return RecordedTeacher.from_config(config)
        case OpenAITeacherConfig():
            from g2r.teachers.openai import OpenAITeacher

            return OpenAITeacher.from_config(config)
        case JudgeTeacherConfig():
            from g2r.teachers.judge import JudgeTeacher

            return JudgeTeacher.from_config(config)


def parse_teacher(text: str) -> TeacherConfig:
    """Read the command line's short form of a teacher.

    "recorded:FILE", "recorded:chitchat", "judge:FOLDER", "openai:MODEL@http://host:port/v1", or a hub name or
    folder.

    Raises:
        ConfigError: `text` is none of these.
    """
    kind, _, rest = text.partition(":")
    if kind == "recorded" and rest:
        return RecordedTeacherConfig(path=rest)
    if kind == "judge" and rest:
        return JudgeTeacherConfig(path=rest)
    if kind == "openai" and rest:
        model, _, address = rest.partition("@")
        values = {"model": model, **({"base_url": address} if address else {})}
        return parse_config(OpenAITeacherConfig, values, where=text)
    if text.strip():
        return TransformersTeacherConfig(model=text)
    raise ConfigError(
        "an empty teacher; expected a hub name or folder, recorded:FILE, judge:FOLDER, or openai:MODEL@http://host:port/v1"
    )
