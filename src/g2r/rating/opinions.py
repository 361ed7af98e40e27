"""What raters think of the systems: win rates, strengths, averages, agreement (EVALUATION: people, statistics).

The unit is the context: of several raters the strict majority chooses between two replies (a tie where there
is none), and labels are averaged, before anything is tested. Attention items and repeats say how the raters
work, and count for nothing else.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean, median
from typing import Any, TypeVar

import numpy as np

from g2r.config import RatingsConfig
from g2r.errors import InputError
from g2r.evaluation.agreement import alpha_interval
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.preferences import Choice, Outcome, WinRate, bradley_terry_intervals, win_rate
from g2r.evaluation.significance import Estimate, bootstrap_mean, holm
from g2r.rating.items import HUMAN
from g2r.rating.judgements import VERDICTS, Judgement

PAIR = "better reply"
KeyT = TypeVar("KeyT", bound=Any)
LABELS = {"sensible": ("sensible", "specific"), "specific": ("specific",)}
"""The verdicts by which a reply is sensible, and specific: what is not sensible is never specific."""


@dataclass(frozen=True, slots=True)
class Rater:
    """How one rater worked.

    Attributes:
        name: who.
        judgements: how many, attention items and repeats included.
        attention: share of the attention items where the human reply was chosen.
        repeats: share of the repeats that got the same verdict again.
        first_side: share of the choices of one side that fell on the first: .5 without a bias.
        seconds: median per judgement.
        left_out: True if the attention was under the bar.
    """

    name: str
    judgements: int
    attention: float | NotComputed
    repeats: float | NotComputed
    first_side: float | NotComputed
    seconds: float
    left_out: bool


@dataclass(frozen=True, slots=True)
class Preference:
    """System a against system b, one outcome a context.

    Attributes:
        rate: of a, against b.
        adjusted_p: Holm's, over all pairs; None without a rate.
        both_bad: judgements that both replies are bad; they count as ties.
    """

    a: str
    b: str
    rate: WinRate | NotComputed
    adjusted_p: float | None
    both_bad: int


@dataclass(frozen=True, slots=True)
class Average:
    """Shares of sensible and of specific replies of a system, and SSA, the mean of the two."""

    system: str
    sensible: Estimate | NotComputed
    specific: Estimate | NotComputed
    ssa: Estimate | NotComputed


@dataclass(frozen=True, slots=True)
class Opinions:
    """Everything that the judgements say.

    Attributes:
        raters: who judged, and how.
        contexts: how many contexts were judged by those who count.
        preferences: one a pair of systems.
        strengths: Bradley-Terry log-strength of each system.
        averages: one a system.
        agreement: Krippendorff's alpha (nominal) of each question.
    """

    raters: tuple[Rater, ...]
    contexts: int
    preferences: tuple[Preference, ...]
    strengths: Mapping[str, Estimate] | NotComputed
    averages: tuple[Average, ...]
    agreement: Mapping[str, Estimate | NotComputed]


def summarise(judgements: Sequence[Judgement], config: RatingsConfig | None = None) -> Opinions:
    """Turn judgements into what they say of the systems.

    Raises:
        InputError: there are none, or none is left by `config.min_attention`.
    """
    config = config or RatingsConfig()
    if not judgements:
        raise InputError("no judgement in these files; rate some items with g2r rate first")
    raters = tuple(_rater(name, own, config) for name, own in _by(judgements, lambda j: j.rater).items())
    counted = {rater.name for rater in raters if not rater.left_out}
    main = [j for j in judgements if j.rater in counted and j.purpose == "main"]
    if not main:
        raise InputError(
            f"no judgement left of {len(judgements)} by {len(raters)} raters; lower --min-attention or rate more"
        )
    pairs = [j for j in main if j.kind == "pairwise"]
    singles = [j for j in main if j.kind == "absolute"]
    choices = _choices(pairs)
    return Opinions(
        raters,
        len({j.context_id for j in main}),
        _preferences(choices, pairs),
        bradley_terry_intervals(choices, draws=config.draws, seed=config.seed)
        if choices
        else NotComputed("no pair was judged"),
        tuple(_average(system, own, config) for system, own in _by(singles, lambda j: j.systems[0]).items()),
        _agreement(pairs, singles, config),
    )


def _by(judgements: Iterable[Judgement], key: Callable[[Judgement], KeyT]) -> dict[KeyT, list[Judgement]]:
    """The judgements in groups, in the order of their keys."""
    groups = defaultdict(list)
    for judgement in judgements:
        groups[key(judgement)].append(judgement)
    return {name: groups[name] for name in sorted(groups)}


def _winner(judgement: Judgement) -> str:
    """The system that was preferred, or the verdict where none was; whatever the sides."""
    sides = dict(zip(("a", "b"), judgement.systems, strict=False))
    return sides.get(judgement.verdict, judgement.verdict)


def _pair(judgement: Judgement) -> tuple[str, str]:
    a, b = sorted(judgement.systems)
    return a, b


def _rater(name: str, own: Sequence[Judgement], config: RatingsConfig) -> Rater:
    first = {_question(j): _winner(j) for j in own if j.purpose == "main"}
    checks = [_winner(j) == HUMAN for j in own if j.purpose == "attention"]
    again = [
        _winner(j) == first[_question(j)] for j in own if j.purpose == "repeat" and _question(j) in first
    ]
    sides = [j.verdict == "a" for j in own if j.verdict in ("a", "b")]
    attention = _share(checks, "no attention item")
    return Rater(
        name,
        len(own),
        attention,
        _share(again, "no repeat"),
        _share(sides, "no choice of a side"),
        median(j.seconds for j in own),
        isinstance(attention, float) and attention < config.min_attention,
    )


def _question(judgement: Judgement) -> tuple[str, ...]:
    """What a repeat shares with the item that it repeats."""
    return (judgement.kind, judgement.context_id, *sorted(judgement.systems))


def _share(hits: Sequence[bool], none: str) -> float | NotComputed:
    return sum(hits) / len(hits) if hits else NotComputed(none)


def _choices(pairs: Sequence[Judgement]) -> list[Choice]:
    """One choice a context and pair of systems: that of more than half of the raters, else a tie."""
    choices = []
    for (_, a, b), votes in _by(pairs, lambda j: (j.context_id, *_pair(j))).items():
        for_a, for_b = (sum(_winner(j) == system for j in votes) for system in (a, b))
        outcome: Outcome = "a" if 2 * for_a > len(votes) else "b" if 2 * for_b > len(votes) else "tie"
        choices.append(Choice(a, b, outcome))
    return choices


def _preferences(choices: Sequence[Choice], pairs: Sequence[Judgement]) -> tuple[Preference, ...]:
    """Each pair of systems, their p-values adjusted for one another by Holm's method."""
    both_bad = Counter(_pair(j) for j in pairs if j.verdict == "both bad")
    outcomes: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for choice in choices:
        outcomes[choice.a, choice.b].append(choice.outcome)
    rates = {pair: win_rate(outcomes[pair]) for pair in sorted(outcomes)}
    tested = {pair: rate.p for pair, rate in rates.items() if isinstance(rate, WinRate)}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return tuple(Preference(*pair, rate, adjusted.get(pair), both_bad[pair]) for pair, rate in rates.items())


def _average(system: str, own: Sequence[Judgement], config: RatingsConfig) -> Average:
    """Averages over contexts of the averages over raters."""
    contexts = _by(own, lambda j: j.context_id).values()
    shares = [
        [mean(_labelled(j, verdicts) for j in votes) for votes in contexts] for verdicts in LABELS.values()
    ]
    ssa = [mean(pair) for pair in zip(*shares, strict=True)]
    return Average(
        system, *(bootstrap_mean(values, draws=config.draws, seed=config.seed) for values in (*shares, ssa))
    )


def _agreement(
    pairs: Sequence[Judgement], singles: Sequence[Judgement], config: RatingsConfig
) -> dict[str, Estimate | NotComputed]:
    def winner(judgement: Judgement) -> float:
        return (*_pair(judgement), *VERDICTS["pairwise"][2:]).index(_winner(judgement))

    questions: dict[str, tuple[Sequence[Judgement], Callable[[Judgement], float]]] = {PAIR: (pairs, winner)}
    for label, verdicts in LABELS.items():
        questions[label] = singles, partial(_labelled, verdicts=verdicts)
    return {name: _alpha(asked, value, config) for name, (asked, value) in questions.items()}


def _labelled(judgement: Judgement, verdicts: Sequence[str]) -> float:
    return float(judgement.verdict in verdicts)


def _alpha(
    judgements: Sequence[Judgement], value: Callable[[Judgement], float], config: RatingsConfig
) -> Estimate | NotComputed:
    """Alpha over the items that two raters or more judged, and its interval over items."""
    raters = {name: i for i, name in enumerate(_by(judgements, lambda j: j.rater))}
    items = {item_id: i for i, item_id in enumerate(_by(judgements, lambda j: j.item_id))}
    if len(raters) < 2:
        return NotComputed("agreement needs two raters or more")
    ratings = np.full((len(raters), len(items)), np.nan)
    for judgement in judgements:
        ratings[raters[judgement.rater], items[judgement.item_id]] = value(judgement)
    return alpha_interval(ratings, level="nominal", draws=config.draws, seed=config.seed)
