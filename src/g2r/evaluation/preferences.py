"""What pairwise choices say: win rates of two systems, Bradley-Terry strengths of many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from g2r.errors import InputError
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.significance import Estimate, sign_test_p

Outcome = Literal["a", "b", "tie"]
_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice between the replies of two systems to one context."""

    a: str
    b: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WinRate:
    """Share of the non-ties that the first system wins, Wilson interval at 0.95, exact sign test."""

    value: float
    low: float
    high: float
    p: float
    wins: int
    losses: int
    ties: int


def win_rate(outcomes: Sequence[Outcome]) -> WinRate | NotComputed:
    """How often system a is preferred to system b, ties left out of the rate and counted."""
    wins, losses = outcomes.count("a"), outcomes.count("b")
    n = wins + losses
    if not n:
        return NotComputed(f"no choice but {len(outcomes)} ties")
    z = 1.959963984540054
    share, shrink = wins / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / shrink
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / shrink
    return WinRate(
        share,
        max(0.0, middle - half),
        min(1.0, middle + half),
        sign_test_p(wins, losses),
        wins,
        losses,
        len(outcomes) - n,
    )


def bradley_terry(choices: Sequence[Choice]) -> dict[str, float] | NotComputed:
    """Log-strengths of the systems, mean zero: P(a beats b) = sigmoid(strength a - strength b).

    The maximum-likelihood fit by Hunter's (2004) minorise-maximise steps; a tie is half a win for each.
    Without a chain of wins from every system to every other the fit does not exist, and is not computed.
    """
    names, wins = _win_table(choices)
    strengths = _fit(wins.sum(axis=0))
    if strengths is None:
        return NotComputed("some system never beats, or never loses to, the others")
    return dict(zip(names, strengths.tolist(), strict=True))


def bradley_terry_intervals(
    choices: Sequence[Choice], *, draws: int = 2_000, seed: int = 0
) -> dict[str, Estimate] | NotComputed:
    """Each system's log-strength with its bootstrap percentile interval at 0.95 over choices."""
    whole = bradley_terry(choices)
    if isinstance(whole, NotComputed):
        return whole
    names, wins = _win_table(choices)
    generator = np.random.default_rng(seed)
    tables = (wins[generator.integers(len(wins), size=len(wins))].sum(axis=0) for _ in range(draws))
    fits = np.array([fit for table in tables if (fit := _fit(table)) is not None])
    if len(fits) < draws * 39 / 40:
        return NotComputed(f"{draws - len(fits)} of {draws} resamples have a system that never wins or loses")
    low, high = np.quantile(fits, [0.025, 0.975], axis=0)
    return {
        name: Estimate(whole[name], float(low[i]), float(high[i]), len(choices))
        for i, name in enumerate(names)
    }


def _win_table(choices: Sequence[Choice]) -> tuple[list[str], Floats]:
    """The systems, sorted, and per choice what each won over each: (choices, systems, systems)."""
    names = sorted({name for c in choices for name in (c.a, c.b)})
    wins = np.zeros((len(choices), len(names), len(names)))
    for row, choice in zip(wins, choices, strict=True):
        a, b = names.index(choice.a), names.index(choice.b)
        if a == b:
            raise InputError(f"a choice between {choice.a!r} and itself; expected two systems")
        row[a, b] = {"a": 1.0, "tie": 0.5, "b": 0.0}[choice.outcome]
        row[b, a] = 1.0 - row[a, b]
    return names, wins


def _fit(wins: ArrayLike) -> Floats | None:
    """Log-strengths (systems,) of a table of wins (systems, systems), None where they would be infinite."""
    table = np.asarray(wins, dtype=np.float64)
    n = len(table)
    reach = np.linalg.matrix_power((table > 0) + np.eye(n), n) > 0
    if not reach.all() or n < 2:
        return None
    games, won = table + table.T, table.sum(axis=1)
    strengths = np.ones(n)
    for _ in range(_STEPS):
        new = won / (games / (strengths[:, None] + strengths[None, :])).sum(axis=1)
        new /= np.exp(np.log(new).mean())
        moved = np.abs(np.log(new / strengths)).max()
        strengths = new
        if moved < 1e-10:
            break
    logs: Floats = np.log(strengths)
    return logs
