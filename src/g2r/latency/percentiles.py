"""Percentiles of latency and their ratios, with bootstrap intervals over contexts (EVALUATION: Latency and load)."""

import numpy as np

from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.significance import Estimate, bootstrap

PERCENTILES = (50, 95, 99)
DRAWS = 2000
_SAMPLES_BEYOND = 3


def samples_needed(percentile: int) -> int:
    """Least number of samples for a percentile: three lie beyond it. 300 for p99, 60 for p95, 6 for p50."""
    return round(_SAMPLES_BEYOND * 100 / (100 - percentile))


def percentile(ms: Floats, at: int, *, seed: int = 0) -> Estimate | NotComputed:
    """A percentile of all samples, its interval by drawing contexts with all their rounds.

    Args:
        ms: milliseconds, (contexts, rounds).
        at: which percentile, 1 to 99.
        seed: of the draws.
    """
    if ms.size < samples_needed(at):
        return NotComputed(f"p{at} needs {samples_needed(at)} samples, got {ms.size}")
    return bootstrap(lambda rows: float(np.percentile(ms[rows], at)), len(ms), draws=DRAWS, seed=seed)


def percentile_ratio(
    ms: Floats, rival: Floats, at: int, *, rival_at: int | None = None, seed: int = 0
) -> Estimate | NotComputed:
    """A percentile of one system over that of its rival, on the contexts that both answered.

    Args:
        ms: milliseconds, (contexts, rounds); so has `rival`, whose first contexts are the same ones.
        rival: what is divided by.
        at: which percentile, 1 to 99.
        rival_at: which one of the rival; the same if None.
        seed: of the draws; both are drawn together.
    """
    below = at if rival_at is None else rival_at
    shared = min(len(ms), len(rival))
    ms, rival = ms[:shared], rival[:shared]
    for samples, which in ((ms.size, at), (rival.size, below)):
        if samples < samples_needed(which):
            return NotComputed(f"p{which} needs {samples_needed(which)} samples, got {samples}")
    return bootstrap(
        lambda rows: float(np.percentile(ms[rows], at) / np.percentile(rival[rows], below)),
        shared,
        draws=DRAWS,
        seed=seed,
    )
