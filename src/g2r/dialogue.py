"""Contexts, responses and candidates: the small immutable values that flow through every stage."""

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from g2r.errors import InputError

Context = tuple[str, ...]
"""The turns so far, oldest first, the last one said by the partner."""

HUMAN = "human"
RETRIEVED = "retrieved"
"""Source of a candidate that a student retrieved for the context: nobody wrote it as an answer there."""

SPLITS = ("train", "valid", "test")


_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls that turn the direction of what follows: with them a text reads otherwise than it is compared."""


def clean_text(text: str) -> str:
    """Return `text` in NFC with control characters removed and white space folded to single spaces.

    Embeddings, overrides and isolates of the bidirectional algorithm count as control characters; marks and
    joiners, which scripts and emoji need, do not.
    """
    if not text.isprintable():
        text = "".join(
            " " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text if c not in _TURNING
        )
    return " ".join(unicodedata.normalize("NFC", text).split())


def check_turns(turns: Sequence[str]) -> Context:
    """Return a conversation's turns, cleaned.

    Raises:
        InputError: no turns, a turn that is no text, or a blank last turn.
    """
    if isinstance(turns, str) or not isinstance(turns, Sequence):
        raise InputError(
            f"turns are {type(turns).__name__}, expected a list of texts, oldest first: ['hi, how are you?']"
        )
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, str):
            raise InputError(f"turn {number} is {type(turn).__name__}, expected text")
    context = tuple(clean_text(turn) for turn in turns)
    if not context or not context[-1]:
        raise InputError(
            f"{'no turns' if not context else 'a blank last turn'}; expected at least one turn, "
            "the last one said by the partner"
        )
    return context


def content_id(content: str | Sequence[str]) -> str:
    """Return 16 hex digits that depend on the text (or turns) alone: the same text has the same id everywhere."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a teacher thinks of one response to one context. A score that was not computed is None.

    Attributes:
        ll_sum: log P(response | context) in nats, end-of-turn token included.
        tokens: number of tokens `ll_sum` sums over.
        mi: LL(response | context) - LL(response | empty context), nats per token.
        judge: rating from 0 (makes no sense here) to 10 (as if written for it).
    """

    ll_sum: float | None = None
    tokens: int | None = None
    mi: float | None = None
    judge: float | None = None

    @property
    def ll(self) -> float | None:
        """Mean log-likelihood in nats per token (METHOD: LL)."""
        return self.ll_sum / self.tokens if self.ll_sum is not None and self.tokens else None

    def merge(self, other: "Scores") -> "Scores":
        """Return these scores with those of `other` where it has them."""
        updates = {
            name: value
            for name in ("ll_sum", "tokens", "mi", "judge")
            if (value := getattr(other, name)) is not None
        }
        return replace(self, **updates)


NO_SCORES = Scores()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response considered for one context.

    Attributes:
        text: the response, cleaned.
        source: "human", the name of the teacher that wrote it, or "retrieved" (on-policy).
        original: True if it was said in the dialogue itself, False if a teacher added it.
        scores: the teacher's scores of it.
    """

    text: str
    source: str
    original: bool = False
    scores: Scores = NO_SCORES

    @property
    def response_id(self) -> str:
        return content_id(self.text)


@dataclass(frozen=True, slots=True)
class Example:
    """A context with its candidates, the unit of every stage."""

    context: Context
    candidates: tuple[Candidate, ...]
    dialogue_id: str = ""
    split: str = "train"
    context_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "context_id", content_id(self.context))

    @property
    def originals(self) -> tuple[Candidate, ...]:
        """The candidates said in the dialogue itself."""
        return tuple(c for c in self.candidates if c.original)

    @property
    def written(self) -> tuple[Candidate, ...]:
        """The candidates that somebody wrote as answers, all but the retrieved."""
        return tuple(c for c in self.candidates if c.source != RETRIEVED)


@dataclass(frozen=True, slots=True)
class Examples(Sequence[Example]):
    """What every stage returns: a sequence of examples, with counts of what was kept, dropped and why."""

    items: tuple[Example, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Example, ...]: ...
    def __getitem__(self, index: int | slice) -> Example | tuple[Example, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.items)
