"""What a bot answers: the response with all that led to it."""

from dataclasses import dataclass

from g2r.bank import BankContext


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A response that the rules let pass, and why it stands where it stands.

    Attributes:
        text: what would be said.
        response_id: its id in the bank.
        score: what it is ranked by: s(r), the weighted sum of the two below, or where a second stage rated
            it, its rating and `rerank_weight` times s(r).
        response_score: f(c) . g(r); None if the index has no response keys.
        context_score: likeness of the context to the nearest it was written for; None without context keys.
        sources: who wrote it.
        contexts: contexts it was written for, best scored first.
        tags: its marks.
        rating: by the second stage, 0 to 10; None if it did not rate it. Those stand after the rated ones.
    """

    text: str
    response_id: str
    score: float
    response_score: float | None
    context_score: float | None
    sources: tuple[str, ...]
    contexts: tuple[BankContext, ...]
    tags: frozenset[str]
    rating: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bot says.

    Attributes:
        text: the response; "" if it abstains.
        response_id: its id in the bank; None if it abstains.
        score: of the best candidate; None if the rules left none.
        candidates: the best that the rules left, best first; the first one is said.
        timings_ms: milliseconds of wall clock for encode, search, rules, rerank if there is one, and the total.
        abstained: True if no candidate was left, or the best scored under the bot's `min_score`, or it is
            less sure of it than `min_confidence` or `max_bad_replies` ask for.
        bank_version: content hash of the bank's built rows.
        bank_revision: how many changes (additions, bans, tags) of the bank's log held.
        confidence: calibrated probability that the best candidate is a good reply, 0 to 1; None for a bot
            without calibration, and where no candidate was left.
    """

    text: str
    response_id: str | None
    score: float | None
    candidates: tuple[RankedCandidate, ...]
    timings_ms: dict[str, float]
    abstained: bool
    bank_version: str = ""
    bank_revision: int = 0
    confidence: float | None = None
