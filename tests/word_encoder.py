"""A tiny deterministic encoder for tests: hashed bags of words, no model."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from g2r.encoder import ContextForm, Vectors


class WordEncoder:
    """f and g are the same: the sum of a random vector for each word, at unit length."""

    def __init__(self, dimensions: int = 48, *, name: str = "words") -> None:
        self.dimensions = dimensions
        self.fingerprint = f"{name}-{dimensions}"
        self.calls: list[int] = []

    def encode_contexts(self, contexts: Sequence[Sequence[str]]) -> Vectors:
        self.calls.append(len(contexts))
        return self._encode([ContextForm().text(turns) for turns in contexts])

    def encode_responses(self, responses: Sequence[str]) -> Vectors:
        return self._encode(responses)

    def write(self, folder: Path) -> None:
        (folder / "words.txt").write_text(self.fingerprint)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        return np.stack([_vector(text, self.dimensions) for text in texts])


@cache
def _vector(text: str, dimensions: int) -> Vectors:
    vector = sum((_word(word, dimensions) for word in text.lower().split()), _word("", dimensions))
    return vector / np.linalg.norm(vector)


@cache
def _word(word: str, dimensions: int) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
