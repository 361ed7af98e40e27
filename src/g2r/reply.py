"""What a bot answers: the response with all that led to it."""

from dataclasses import dataclass

from g2r.bank import BankContext


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A response that the rules let pass, and why it stands where it stands.

    Attributes:
        text: what would be said.
        response_id: its id in the bank.
        score: s(r), the weighted sum of the two below.
        response_score: f(c) . g(r); None if the index has no response keys.
        context_score: likeness of the context to the nearest it was written for; None without context keys.
        sources: who wrote it.
        contexts: contexts it was written for, best scored first.
        tags: its marks.
    """

    text: str
    response_id: str
    score: float
    response_score: float | None
    context_score: float | None
    sources: tuple[str, ...]
    contexts: tuple[BankContext, ...]
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bot says.

    Attributes:
        text: the response; "" if it abstains.
        response_id: its id in the bank; None if it abstains.
        score: s(r) of the best candidate; None if the rules left none.
        candidates: the best that the rules left, best first; the first one is said.
        timings_ms: milliseconds of wall clock for encode, search, rules, and the total.
        abstained: True if no candidate was left, or the best scored under the bot's `min_score`.
        bank_version: content hash of the bank's built rows.
        bank_revision: how many changes (additions, bans, tags) of the bank's log held.
    """

    text: str
    response_id: str | None
    score: float | None
    candidates: tuple[RankedCandidate, ...]
    timings_ms: dict[str, float]
    abstained: bool
    bank_version: str = ""
    bank_revision: int = 0
