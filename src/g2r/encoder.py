"""What search and bot need of an encoder, and the serving encoder: ONNX Runtime, no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ContextForm:
    """How a context becomes the one text that the encoder f reads.

    Attributes:
        turn_order: newest_first keeps the last turn whole when a long text is cut at its end.
        speaker_marks: say before each turn who speaks; the last turn is the partner's.
        separator: stands between two turns.
        max_context_tokens: texts are cut there at the end of the oldest turn.
        max_response_tokens: responses are cut there.
    """

    turn_order: Literal["newest_first", "oldest_first"] = "newest_first"
    speaker_marks: bool = False
    separator: str = " [SEP] "
    max_context_tokens: int = 128
    max_response_tokens: int = 64

    def text(self, turns: Sequence[str]) -> str:
        """Return the text of a context, `turns` oldest first."""
        marked = [
            f"{'user' if back % 2 == 0 else 'bot'}: {turn}" if self.speaker_marks else turn
            for back, turn in enumerate(reversed(turns))
        ]
        return self.separator.join(marked if self.turn_order == "newest_first" else reversed(marked))


@runtime_checkable
class Encoder(Protocol):
    """The two encoders f and g of the student; `BiEncoder` (torch) and `OnnxEncoder` are such."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors would: an index remembers it and refuses another encoder."""
        ...

    def encode_contexts(self, contexts: Sequence[Sequence[str]]) -> Vectors:
        """f(c) for each context: float32 (contexts, dimensions), unit length."""
        ...

    def encode_responses(self, responses: Sequence[str]) -> Vectors:
        """g(r) for each response: float32 (responses, dimensions), unit length."""
        ...
