"""The rules by which all systems of a comparison reply: those of the run's bot, but that nobody abstains."""

from dataclasses import dataclass, field
from pathlib import Path

from g2r.config import BotConfig
from g2r.rerank import Reranker

_ALWAYS_ANSWER = {"min_score": None, "min_confidence": None, "max_bad_replies": None}


@dataclass(frozen=True, slots=True)
class ReplyRules:
    """How every student replies from every bank; controls keep to what of it concerns them.

    Attributes:
        config: the bot's rules. It never abstains: systems are compared on the same contexts, and a threshold
            is one system's own.
        reranker: the second stage, if `config.rerank` is over 0.
        note: what of the bot's rules could not be kept to; empty if all was.
    """

    config: BotConfig = field(default_factory=BotConfig)
    reranker: Reranker | None = None
    note: str = ""

    @classmethod
    def of(cls, config: BotConfig, judge: Path | None) -> "ReplyRules":
        """The rules of a bot whose judge stands in the folder `judge`, if it has one.

        Raises:
            ArtifactError: the folder `judge` holds no exported judge.
        """
        speaking = config.model_copy(update=_ALWAYS_ANSWER)
        if not config.rerank:
            return cls(speaking)
        if judge is None or not judge.is_dir():
            note = (
                f"Second stage: not computed, rerank is {config.rerank}, but there is no judge in the run. A ranker "
                "fits one student alone: the bot that is served with one replies otherwise than is measured here."
            )
            return cls(speaking.model_copy(update={"rerank": 0}), note=note)
        return cls(speaking, Reranker.load(judge))

    @property
    def text(self) -> str:
        """The rules in words, for readers of a report."""
        said = f"nothing of a likeness of {self.config.repeat_likeness:g} or more to a turn of its context"
        tagged = f", nothing tagged {' or '.join(self.config.without)}" if self.config.without else ""
        staged = (
            f"; students by the judge's choice among their first {self.config.rerank}"
            if self.config.rerank
            else ""
        )
        return f"{said}{tagged}{staged}; nobody abstains"
