"""Distil a generative chat model into a retrieval model that answers in milliseconds on a CPU."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2r.bank import ResponseBank
    from g2r.bot import Bot, Reply
    from g2r.config import RunConfig
    from g2r.dialogue import Candidate, Context, Example, Examples, Scores
    from g2r.encoder import ContextForm, OnnxEncoder
    from g2r.errors import G2RError
    from g2r.generation import generate
    from g2r.index.base import ResponseIndex
    from g2r.pipeline import run
    from g2r.reading import read_dialogues
    from g2r.scoring import score
    from g2r.student import BiEncoder
    from g2r.teachers.base import Sample, Teacher
    from g2r.teachers.openai import OpenAITeacher
    from g2r.teachers.recorded import RecordedTeacher
    from g2r.teachers.transformers import TransformersTeacher
    from g2r.training import distill

# Names resolve on first use: `import g2r` stays light, and serving never loads torch.
_HOME = {
    "BiEncoder": "g2r.student",
    "Bot": "g2r.bot",
    "Candidate": "g2r.dialogue",
    "Context": "g2r.dialogue",
    "ContextForm": "g2r.encoder",
    "Example": "g2r.dialogue",
    "Examples": "g2r.dialogue",
    "G2RError": "g2r.errors",
    "OnnxEncoder": "g2r.encoder",
    "OpenAITeacher": "g2r.teachers.openai",
    "RecordedTeacher": "g2r.teachers.recorded",
    "Reply": "g2r.bot",
    "ResponseBank": "g2r.bank",
    "ResponseIndex": "g2r.index.base",
    "RunConfig": "g2r.config",
    "Sample": "g2r.teachers.base",
    "Scores": "g2r.dialogue",
    "Teacher": "g2r.teachers.base",
    "TransformersTeacher": "g2r.teachers.transformers",
    "distill": "g2r.training",
    "generate": "g2r.generation",
    "read_dialogues": "g2r.reading",
    "run": "g2r.pipeline",
    "score": "g2r.scoring",
}

__all__ = [
    "BiEncoder",
    "Bot",
    "Candidate",
    "Context",
    "ContextForm",
    "Example",
    "Examples",
    "G2RError",
    "OnnxEncoder",
    "OpenAITeacher",
    "RecordedTeacher",
    "Reply",
    "ResponseBank",
    "ResponseIndex",
    "RunConfig",
    "Sample",
    "Scores",
    "Teacher",
    "TransformersTeacher",
    "distill",
    "generate",
    "read_dialogues",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'g2r' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
