"""How a recorded chitchat context is named without its text."""

import re
from dataclasses import dataclass
from typing import Any

_RECORD_ID = re.compile(r"cc-(train|valid|test)-([0-9a-f]{8})-([0-9]+)")


@dataclass(frozen=True, slots=True)
class RecordId:
    """The place of a reply in the chitchat dataset.

    Attributes:
        split: of the conversation.
        conversation: first 8 characters of its id.
        turn: number of the turn answered with, from 0; the context is what stands before it.
    """

    split: str
    conversation: str
    turn: int

    @classmethod
    def parse(cls, text: Any) -> "RecordId | None":
        """Read "cc-SPLIT-CONVERSATION-TURN"; None for anything else."""
        match = _RECORD_ID.fullmatch(text) if isinstance(text, str) else None
        return cls(match[1], match[2], int(match[3])) if match else None
