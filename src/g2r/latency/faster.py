"""How many times faster a reply is than that of each generative rival (EVALUATION: Latency and load)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.report import Section
from g2r.evaluation.significance import Estimate
from g2r.evaluation.tables import table
from g2r.latency.percentiles import percentile_ratio
from g2r.latency.rounds import TOTAL, TimedSystem

COMPARED = (50, 99)


@dataclass(frozen=True, slots=True)
class TimesFaster:
    """A reply of one system against that of a generative rival, on the contexts that both answered.

    Attributes:
        system: who replies.
        rival: who generates.
        device: where the rival runs.
        times: a percentile of the rival over the same one of the system, by percentile.
        at_least: the rival's median over the system's p99: a bound of the ratio of their p99 that needs few
            replies of the rival.
    """

    system: str
    rival: str
    device: str
    times: Mapping[int, Estimate | NotComputed]
    at_least: Estimate | NotComputed


def times_faster(
    systems: Sequence[TimedSystem],
    taken: Mapping[str, Mapping[str, Floats]],
    *,
    replying: Iterable[str],
    seed: int,
) -> list[TimesFaster]:
    """Each of the systems `replying` against each generative rival.

    Args:
        systems: all that were timed; those that are slow generate.
        taken: milliseconds by system and phase (contexts, rounds), of one interleaved run.
        replying: names of systems; those that were not timed are passed over.
        seed: of the bootstrap.
    """
    return [
        TimesFaster(
            name,
            rival.name,
            rival.device,
            {at: percentile_ratio(slow, own, at, seed=seed) for at in COMPARED},
            percentile_ratio(slow, own, 50, rival_at=max(COMPARED), seed=seed),
        )
        for rival in systems
        if rival.slow
        for name in replying
        if name in taken
        for slow, own in [(taken[rival.name][TOTAL], taken[name][TOTAL])]
    ]


def faster_section(found: Sequence[TimesFaster]) -> Section:
    """The ratios as a table."""
    text = (
        "The rival's time over the reply's, in the same rounds on the same contexts, intervals at level .95 over "
        "contexts. The last column, the rival's median over the reply's p99, is less than the ratio of their p99 and "
        "needs few replies of a slow rival."
    )
    headers = ("reply by", "rival", "device", "times faster at p50", "at p99", "at p99, no less than")
    rows = [
        (each.system, each.rival, each.device, *(each.times[at] for at in COMPARED), each.at_least)
        for each in found
    ]
    return Section("Times faster than generative rivals", text, table(headers, rows))
