"""Replies made worse on purpose: what learned scorers are trained to tell from real ones."""

from collections.abc import Callable, Mapping

import numpy as np

FEWEST_WORDS = 4
"""Shorter replies are not corrupted: what is left of them is often a good reply."""


def shuffled(text: str, generator: np.random.Generator) -> str:
    """The words in another order; the text itself only if all its words are the same."""
    words = text.split()
    for _ in range(20):
        order = [words[i] for i in generator.permutation(len(words))]
        if order != words:
            return " ".join(order)
    return text


def dropped(text: str, generator: np.random.Generator) -> str:
    """About a third of the words left out, one at least, and never all."""
    words = text.split()
    kept = generator.random(len(words)) >= 1 / 3
    if kept.all() or not kept.any():
        kept[:] = True
        kept[generator.integers(len(words))] = False
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)


def repeated(text: str, generator: np.random.Generator) -> str:
    """A span of one to three words said two or three times over, at about one place in five words."""
    words = text.split()
    for _ in range(max(1, len(words) // 5)):
        start = int(generator.integers(len(words)))
        span = words[start : start + int(generator.integers(1, 4))]
        words[start:start] = span * int(generator.integers(1, 3))
    return " ".join(words)


CORRUPTIONS: Mapping[str, Callable[[str, np.random.Generator], str]] = {
    "order": shuffled,
    "drop": dropped,
    "repeat": repeated,
}


def corrupted(text: str, kind: str, generator: np.random.Generator) -> str | None:
    """`text` corrupted in one of the ways of `CORRUPTIONS`; None if it is too short or came out unchanged."""
    if len(text.split()) < FEWEST_WORDS:
        return None
    worse = CORRUPTIONS[kind](text, generator)
    return worse if worse != text else None
