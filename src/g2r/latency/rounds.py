"""Rounds of timing in which systems take turns, so that other load falls on all of them alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from g2r.dialogue import Context
from g2r.evaluation.metrics import Floats
from g2r.progress import Progress, silent

TOTAL = "total"
Record = Callable[[Mapping[str, Any]], None]
"""Is given each measurement as it was made."""


class TimedSystem(Protocol):
    """A system that answers contexts and tells how long each phase took.

    Attributes:
        name: as it stands in the results.
        device: "cpu" or "cuda".
        slow: answers fewer contexts in fewer rounds.
        note: what a reader of its numbers must know.
    """

    name: str
    device: str
    slow: bool
    note: str

    def reply(self, context: Context) -> Mapping[str, float]:
        """Answer one context: milliseconds by phase, in order, and of the whole as "total"."""
        ...

    def reply_batch(self, contexts: Sequence[Context]) -> None:
        """Answer several contexts together, however that is fastest."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Who answers what how often.

    Attributes:
        rounds: rounds of all systems that are not slow.
        slow_contexts: contexts, the first ones, that slow systems answer.
        slow_rounds: their rounds, spread over the others'.
        seed: of the order within each round.
    """

    rounds: int
    slow_contexts: int
    slow_rounds: int
    seed: int = 0

    def order(self, systems: Sequence[TimedSystem], turn: int) -> list[TimedSystem]:
        """The systems of one round, counted from 0, in the order in which they answer."""
        slow = turn in {i * self.rounds // self.slow_rounds for i in range(self.slow_rounds)}
        taking = [system for system in systems if slow or not system.slow]
        order = np.random.default_rng([self.seed, turn]).permutation(len(taking))
        return [taking[i] for i in order]

    def contexts(self, system: TimedSystem, contexts: Sequence[Context]) -> Sequence[Context]:
        """Those that a system answers."""
        return contexts[: self.slow_contexts] if system.slow else contexts


def measure_replies(
    systems: Sequence[TimedSystem],
    contexts: Sequence[Context],
    warm_up: Sequence[Context],
    plan: Plan,
    *,
    record: Record,
    progress: Progress = silent,
) -> dict[str, dict[str, Floats]]:
    """Time every reply, one context at a time: milliseconds by system and phase, (contexts, rounds).

    In each round every system answers the same contexts, after one that is not timed: what it takes to get
    its caches and threads back is no part of a reply. Its turn is a block, because threads of one library that
    still spin would slow the next.
    """
    taken: dict[str, list[list[Mapping[str, float]]]] = {system.name: [] for system in systems}
    for turn in range(plan.rounds):
        for system in plan.order(systems, turn):
            system.reply(warm_up[turn % len(warm_up)])
            own = plan.contexts(system, contexts)
            times = [system.reply(context) for context in own]
            taken[system.name].append(times)
            for place, ms in enumerate(times):
                record({"what": "reply", "system": system.name, "round": turn, "context": place, "ms": ms})
        progress(turn + 1, plan.rounds, note="replies")
    return {name: _by_phase(rounds) for name, rounds in taken.items()}


def _by_phase(rounds: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, Floats]:
    phases = list(rounds[0][0])
    return {phase: np.array([[ms[phase] for ms in times] for times in rounds]).T for phase in phases}


def measure_throughput(
    systems: Sequence[TimedSystem],
    contexts: Sequence[Context],
    plan: Plan,
    *,
    batch: int,
    record: Record,
    progress: Progress = silent,
) -> dict[str, Floats]:
    """Replies a second of each system in batches of up to `batch` contexts: one number a round.

    Slow systems have batches of the contexts that they answer, and as few rounds as else.
    """
    rates: dict[str, list[float]] = {system.name: [] for system in systems}
    for turn in range(plan.rounds):
        for system in plan.order(systems, turn):
            together = [*plan.contexts(system, contexts)][:batch]
            start = time.perf_counter()
            system.reply_batch(together)
            rate = len(together) / (time.perf_counter() - start)
            rates[system.name].append(rate)
            record({"what": "batch", "system": system.name, "contexts": len(together), "per_second": rate})
        progress(turn + 1, plan.rounds, note="batches")
    return {name: np.array(own) for name, own in rates.items()}
