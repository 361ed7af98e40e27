"""What a classifier is, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Flag:
    """A reason to look at a text.

    Attributes:
        label: what it may be: slur, email, toxic, ...
        score: how sure, from 0 to 1.
        reason: what in the text led to it.
    """

    label: str
    score: float
    reason: str


@runtime_checkable
class Classifier(Protocol):
    """Looks at texts before they may be said. It only flags; banning is a decision in the bank's log."""

    @property
    def name(self) -> str:
        """The same for the same judgement: flags of an earlier call under it are replaced."""
        ...

    def flags(self, texts: Sequence[str]) -> list[list[Flag]]:
        """What is to be said against each text: one list a text, empty for most."""
        ...
