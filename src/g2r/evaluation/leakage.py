"""Whether the test was seen before: its contexts and replies against bank and training data."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from g2r.dialogue import Example
from g2r.duplicates import likeness, near_duplicate_groups, normal_form


@dataclass(frozen=True, slots=True)
class Leak:
    """A test text that stands elsewhere.

    Attributes:
        context_id: of the test example.
        what: its context or its original response.
        where: in the bank, or in the training data.
        degree: exact for equal normal forms, else near.
        found: the text it is like, the likest one.
    """

    context_id: str
    what: Literal["context", "response"]
    where: Literal["bank", "training"]
    degree: Literal["exact", "near"]
    found: str


@dataclass(frozen=True, slots=True)
class Leakage:
    """What leaked, and which test contexts are free of it."""

    leaks: tuple[Leak, ...]
    clean: frozenset[str]
    contexts: int

    def counts(self) -> dict[str, int]:
        """Number of test contexts by what leaked, where, how: {"response in bank, exact": 12, ...}."""
        return dict(Counter(f"{leak.what} in {leak.where}, {leak.degree}" for leak in self.leaks))


def find_leaks(
    test: Sequence[Example],
    *,
    bank: Iterable[str] = (),
    training: Sequence[Example] = (),
    threshold: float = 0.85,
    min_words: int = 4,
) -> Leakage:
    """Look for test contexts and original responses in the bank and the training data.

    Args:
        threshold: Jaccard likeness from which two texts are near duplicates.
        min_words: shorter responses are not looked for: "that's great" is said everywhere.
    """
    responses = {
        e.context_id: e.originals[0].text
        for e in test
        if e.originals and len(normal_form(e.originals[0].text).split()) >= min_words
    }
    contexts = {e.context_id: _joined(e) for e in test}
    searches: list[
        tuple[Literal["context", "response"], dict[str, str], Literal["bank", "training"], list[str]]
    ] = [
        ("response", responses, "bank", list(bank)),
        ("response", responses, "training", [c.text for e in training for c in e.candidates]),
        ("context", contexts, "training", [_joined(e) for e in training]),
    ]
    leaks = tuple(
        Leak(context_id, what, where, degree, found)
        for what, texts, where, seen in searches
        for context_id, degree, found in _matches(texts, seen, threshold)
    )
    return Leakage(leaks, frozenset(contexts) - {leak.context_id for leak in leaks}, len(contexts))


def _joined(example: Example) -> str:
    return " / ".join(example.context)


def _matches(
    texts: dict[str, str], seen: Sequence[str], threshold: float
) -> Iterable[tuple[str, Literal["exact", "near"], str]]:
    """For each text its likest one in `seen`, if it is like enough."""
    by_form = {normal_form(text): text for text in reversed(seen)}
    others = list(by_form.values())
    groups = near_duplicate_groups([*texts.values(), *others], threshold)
    members = defaultdict(list)
    for text, group in zip(others, groups[len(texts) :], strict=True):
        members[group].append(text)
    for (context_id, text), group in zip(texts.items(), groups, strict=False):
        if normal_form(text) in by_form:
            yield context_id, "exact", by_form[normal_form(text)]
            continue
        nearest = max(members[group], key=lambda other: likeness(text, other), default=None)
        if nearest is not None and likeness(text, nearest) >= threshold:
            yield context_id, "near", nearest
