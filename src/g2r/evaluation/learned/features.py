"""Vectors that learned scorers read: every text is encoded once."""

from collections.abc import Sequence

import numpy as np

from g2r.dialogue import Context
from g2r.encoder import Encoder, Vectors
from g2r.evaluation.scorers import MemoEncoder

TURNS = 4
"""Turns of a context that are read, the last ones."""


class Features:
    """What the heads read of texts, by a frozen encoder that remembers them."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = MemoEncoder(encoder)
        self.dimensions = self._encoder.encode_responses(["hi"]).shape[1]

    def responses(self, texts: Sequence[str]) -> Vectors:
        """(texts, dimensions)"""
        return self._encoder.encode_responses(texts) if len(texts) else self._none()

    def contexts(self, contexts: Sequence[Context]) -> Vectors:
        """(contexts, dimensions)"""
        return (
            self._encoder.encode_contexts([c[-TURNS:] for c in contexts]) if len(contexts) else self._none()
        )

    def turns(self, contexts: Sequence[Context]) -> Vectors:
        """(contexts, TURNS, dimensions), oldest first, zeros before the first turn of a shorter context."""
        vectors = np.zeros((len(contexts), TURNS, self.dimensions), dtype=np.float32)
        read = [context[-TURNS:] for context in contexts]
        encoded = iter(self.responses([turn for turns in read for turn in turns]))
        for row, turns in enumerate(read):
            for place in range(TURNS - len(turns), TURNS):
                vectors[row, place] = next(encoded)
        return vectors

    def _none(self) -> Vectors:
        return np.zeros((0, self.dimensions), dtype=np.float32)
