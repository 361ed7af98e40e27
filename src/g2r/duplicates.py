"""When two texts are the same text: normal forms, likeness, and groups of near duplicates.

One definition for everything that asks: splits that do not leak, false negatives in training, the bank
without repetitions, a bot that does not say a thing twice.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from g2r.errors import ConfigError

_HASHES = 128
_MISSED = 0.01
_TEXTS_AT_ONCE = 10_000


class _PunctuationTable(dict[int, str]):
    """For `str.translate`: punctuation to a space, apostrophes to nothing; filled as characters turn up."""

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        if character in "'’‘`":
            stripped = ""
        else:
            stripped = " " if unicodedata.category(character).startswith("P") else character
        self[codepoint] = stripped
        return stripped


_PUNCTUATION = _PunctuationTable()


def normal_form(text: str) -> str:
    """Return `text` without what does not change its words: NFKC, no case, no punctuation, single spaces.

    A text that is punctuation alone keeps it: "?!" and "..." are two different replies.
    """
    text = unicodedata.normalize("NFKC", text)
    words = text.translate(_PUNCTUATION).split() or text.split()
    return unicodedata.normalize("NFKC", " ".join(words).casefold())


def shingles(text: str) -> frozenset[str]:
    """Return the character 3-grams of the normal form of `text`, word borders at both ends included."""
    padded = _pad(normal_form(text))
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def _pad(form: str) -> str:
    return f" {form or ' '} "


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return |a and b| / |a or b|, from 0 to 1."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def likeness(a: str, b: str) -> float:
    """Return how alike two texts are as strings: the Jaccard likeness of their shingles, from 0 to 1.

    1 for texts of equal normal form; over 0.8 for copies with a word or a few letters changed in a
    sentence; well under it for short lines that differ in a word ("yes I do", "no I don't").
    """
    return jaccard(shingles(a), shingles(b))


def near_duplicate_groups(texts: Sequence[str], threshold: float = 0.85) -> list[int]:
    """Return a group number for each text; texts of one group are duplicates, directly or by a chain.

    Two texts of equal normal form always share a group, and so do two with `likeness` of `threshold` or
    more, of which MinHash bands find at least 99% (more, the more alike). Groups are numbered in the order
    of their first texts, and depend on the texts and the threshold alone. With threshold 1 only equal
    normal forms count.

    Raises:
        ConfigError: `threshold` is not over 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"near-duplicate threshold is {threshold}, expected over 0 and at most 1")
    numbers: dict[str, int] = {}
    exact = [numbers.setdefault(normal_form(text), len(numbers)) for text in texts]
    parents = list(range(len(numbers)))
    if threshold < 1:
        _link(list(numbers), threshold, parents)
    groups: dict[int, int] = {}
    return [groups.setdefault(_root(parents, number), len(groups)) for number in exact]


def _link(forms: Sequence[str], threshold: float, parents: list[int]) -> None:
    """Join in `parents` (a forest of form numbers) the forms that are at least `threshold` alike."""
    grams: dict[int, frozenset[str]] = {}
    compared: set[tuple[int, int]] = set()
    for bucket in _buckets(_signatures(forms), threshold):
        for a, b in combinations(bucket, 2):
            if (a, b) in compared or _root(parents, a) == _root(parents, b):
                continue
            compared.add((a, b))
            for number in (a, b):
                if number not in grams:
                    grams[number] = shingles(forms[number])
            if jaccard(grams[a], grams[b]) >= threshold:
                parents[_root(parents, b)] = _root(parents, a)


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


def _signatures(forms: Sequence[str]) -> NDArray[np.uint32]:
    """MinHash signatures (forms, hashes): two agree in a column as often as their shingles are alike."""
    random = np.random.default_rng(0)
    factors = random.integers(2**63, size=_HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    signatures = np.empty((len(forms), _HASHES), dtype=np.uint32)
    for start in range(0, len(forms), _TEXTS_AT_ONCE):
        codes, starts = _shingle_codes(forms[start : start + _TEXTS_AT_ONCE])
        for column, factor in enumerate(factors):
            hashes = _mix(codes * factor)
            signatures[start : start + len(starts), column] = np.minimum.reduceat(hashes, starts)
    return signatures


def _mix(codes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The high bits of a multiplicative hash, stirred so that they depend on all bits of the code."""
    codes ^= codes >> np.uint64(32)
    codes *= np.uint64(0x9E3779B97F4A7C15)
    return (codes >> np.uint64(32)).astype(np.uint32)


def _shingle_codes(forms: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """The shingles of all forms as 63-bit numbers, one form after another, and where each form starts."""
    padded = [_pad(form) for form in forms]
    encoded = "".join(padded).encode("utf-32-le", errors="surrogatepass")
    characters = np.frombuffer(encoded, dtype=np.uint32).astype(np.uint64)
    codes = characters[:-2] << np.uint64(42) | characters[1:-1] << np.uint64(21) | characters[2:]
    lengths = np.array([len(text) for text in padded])
    ends = np.cumsum(lengths)
    across = np.concatenate([ends[:-1] - 1, ends[:-1] - 2])
    return np.delete(codes, across), np.concatenate([[0], np.cumsum(lengths - 2)[:-1]])


def _buckets(signatures: NDArray[np.uint32], threshold: float) -> Iterator[list[int]]:
    """Yield the form numbers whose signatures agree in a whole band of columns, band after band."""
    rows = _band_rows(threshold)
    random = np.random.default_rng(1)
    for band in range(_HASHES // rows):
        columns = signatures[:, band * rows : (band + 1) * rows].astype(np.uint64)
        keys = columns @ random.integers(2**63, size=rows, dtype=np.uint64)
        order = np.argsort(keys, kind="stable")
        borders = np.flatnonzero(np.diff(keys[order])) + 1
        starts = np.concatenate([[0], borders])
        ends = np.concatenate([borders, [len(order)]])
        for run in np.flatnonzero(ends - starts > 1):
            yield order[starts[run] : ends[run]].tolist()


def _band_rows(threshold: float) -> int:
    """The most rows a band may have so that pairs exactly at the threshold are missed at most 1% of the time."""
    fitting = [rows for rows in range(1, _HASHES) if (1 - threshold**rows) ** (_HASHES // rows) <= _MISSED]
    return max(fitting, default=1)
