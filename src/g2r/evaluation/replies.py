"""What systems say to the same contexts: diversity, health, ratings on record, side by side (EVALUATION: tiers A, B)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from g2r.dialogue import Context, Example
from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.evaluation import metrics
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.significance import Estimate, bootstrap_mean
from g2r.evaluation.systems import System, SystemReply
from g2r.evaluation.tables import Table, table
from g2r.progress import Progress, silent

Ratings = Mapping[tuple[str, str], float]
"""Judge scores, 0 to 10, by context id and normal form of the response."""

HEADERS = (
    "system",
    "replies",
    "Dist-2",
    "Dist-3",
    "Dist-2 at equal tokens",
    "unique",
    "top share",
    "echo",
    "mean length",
    "mean ms",
    "judge on record",
    "rated",
)


@dataclass(frozen=True, slots=True)
class ReplyMetrics:
    """What is measured of one system's replies.

    Attributes:
        replies: how many contexts it answered; to the others it had nothing to say.
        mean_ms: wall-clock time of a reply, milliseconds.
        judge: mean of the ratings on record of what it said.
        rated: how many of its replies have one.
    """

    replies: int
    distinct_2: float | NotComputed
    distinct_3: float | NotComputed
    distinct_2_at_budget: float | NotComputed
    unique: float | NotComputed
    top_share: float | NotComputed
    echo: float | NotComputed
    mean_length: float | NotComputed
    mean_ms: float | NotComputed
    judge: Estimate | NotComputed
    rated: int


def reply_to_all(
    system: System, contexts: Sequence[Context], *, progress: Progress = silent
) -> list[SystemReply]:
    """The system's reply to each context, one at a time."""
    replies = []
    for i, context in enumerate(contexts):
        replies.append(system.reply(context))
        progress(i + 1, len(contexts), note="replies")
    return replies


def ratings_on_record(examples: Sequence[Example]) -> dict[tuple[str, str], float]:
    """The judge scores that candidates of `examples` carry."""
    return {
        (e.context_id, normal_form(c.text)): c.scores.judge
        for e in examples
        for c in e.candidates
        if c.scores.judge is not None
    }


def measure_replies(
    replies: Mapping[str, Sequence[SystemReply]],
    examples: Sequence[Example],
    *,
    ratings: Ratings | None = None,
    seed: int = 0,
) -> dict[str, ReplyMetrics]:
    """Measure what each system said to the contexts of `examples`.

    The equal token budget is what the system that says least says in all; Dist-n of different numbers of
    replies cannot be compared.

    Raises:
        InputError: a system has not one reply for each context.
        DependencyError: nltk is not installed.
    """
    for name, own in replies.items():
        if len(own) != len(examples):
            raise InputError(f"{name} has {len(own)} replies for {len(examples)} contexts; expected one each")
    said = {
        name: [(e, r.text) for e, r in zip(examples, own, strict=True) if r.text is not None]
        for name, own in replies.items()
    }
    tokens = {name: metrics.casual_tokens([text for _, text in pairs]) for name, pairs in said.items()}
    budget = min((sum(map(len, own)) for own in tokens.values()), default=0)
    return {
        name: _measure(pairs, tokens[name], budget, _mean_ms(replies[name]), ratings or {}, seed)
        for name, pairs in said.items()
    }


def _mean_ms(replies: Sequence[SystemReply]) -> float | NotComputed:
    spent = [reply.timings_ms["total"] for reply in replies if "total" in reply.timings_ms]
    return sum(spent) / len(spent) if spent else NotComputed("no reply was timed")


def _measure(
    said: Sequence[tuple[Example, str]],
    tokens: metrics.Tokens,
    budget: int,
    mean_ms: float | NotComputed,
    ratings: Ratings,
    seed: int,
) -> ReplyMetrics:
    texts = [text for _, text in said]
    keys = [(e.context_id, normal_form(text)) for e, text in said]
    rated = [ratings[key] for key in keys if key in ratings]
    lengths = metrics.lengths(tokens)
    return ReplyMetrics(
        replies=len(texts),
        distinct_2=metrics.distinct_n(tokens, 2),
        distinct_3=metrics.distinct_n(tokens, 3),
        distinct_2_at_budget=metrics.distinct_at_budget(tokens, 2, budget=budget, seed=seed),
        unique=metrics.unique_share(texts),
        top_share=metrics.top_share(texts),
        echo=metrics.echo_rate(texts, [e.context for e, _ in said]),
        mean_length=lengths if isinstance(lengths, NotComputed) else lengths.mean,
        mean_ms=mean_ms,
        judge=bootstrap_mean(rated, seed=seed) if rated else NotComputed("no reply has a rating on record"),
        rated=len(rated),
    )


def reply_table(measured: Mapping[str, ReplyMetrics]) -> Table:
    """One row a system."""
    return table(
        HEADERS,
        [
            (
                name,
                m.replies,
                m.distinct_2,
                m.distinct_3,
                m.distinct_2_at_budget,
                m.unique,
                m.top_share,
                m.echo,
                m.mean_length,
                m.mean_ms,
                m.judge,
                m.rated,
            )
            for name, m in measured.items()
        ],
    )


def side_by_side(replies: Mapping[str, Sequence[SystemReply]], contexts: Sequence[Context]) -> Table:
    """One row a context, one column a system: what each would say."""
    return table(
        ("context", *replies),
        [
            (" / ".join(context), *(own[i].text or "(no reply)" for own in replies.values()))
            for i, context in enumerate(contexts)
        ],
    )
