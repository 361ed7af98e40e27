"""Systems compared item by item on one measure: intervals, paired tests against one of them, spread of seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from g2r.errors import InputError
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.significance import (
    Difference,
    Estimate,
    SeedSpread,
    bootstrap_mean,
    holm,
    paired_difference,
    seed_spread,
)
from g2r.evaluation.tables import Value

Values = Mapping[str, Sequence[Floats]]
"""By system one array of values (items,) for each training seed; NaN where the measure has none."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one system stands by one measure, its seeds averaged item by item.

    Attributes:
        difference: to the reference, with the p-value of the permutation test; None for the reference itself.
        p_adjusted: that p-value after Holm's adjustment over the systems.
        seeds: spread of the mean over training seeds; None for a single seed.
    """

    name: str
    value: Estimate | NotComputed
    difference: Difference | NotComputed | None
    p_adjusted: float | NotComputed | None
    seeds: SeedSpread | NotComputed | None


def compare_values(values: Values, *, reference: str, seed: int = 0) -> tuple[Standing, ...]:
    """Compare systems (EVALUATION: Statistics), each over the items where it has a value.

    A difference is taken over the items where both have one.

    Raises:
        InputError: a system has no values or other items than the rest, a value is infinite, or the
            reference is none of the systems.
    """
    refuse_unequal(values, reference)
    means: dict[str, Floats] = {name: np.mean(seeds, axis=0) for name, seeds in values.items()}
    differences = {
        name: _difference(own, means[reference], seed) for name, own in means.items() if name != reference
    }
    adjusted = adjusted_p(differences)
    return tuple(
        Standing(
            name,
            bootstrap_mean(own[~np.isnan(own)], seed=seed),
            differences.get(name),
            adjusted.get(name),
            _spread([seed_values[~np.isnan(own)] for seed_values in values[name]]),
        )
        for name, own in means.items()
    )


def _difference(own: Floats, reference: Floats, seed: int) -> Difference | NotComputed:
    both = ~(np.isnan(own) | np.isnan(reference))
    return paired_difference(own[both], reference[both], seed=seed)


def refuse_unequal(values: Values, reference: str) -> None:
    """Raise InputError where `compare_values` would compare unlike with unlike."""
    empty = [name for name, seeds in values.items() if not len(seeds)]
    if not values or empty:
        raise InputError(f"no results of {empty or 'any system'}; evaluate it on the same items")
    if reference not in values:
        raise InputError(f"no system {reference!r} to compare with; expected one of {sorted(values)}")
    items = {len(own) for seeds in values.values() for own in seeds}
    if len(items) > 1:
        raise InputError(f"systems have values for {sorted(items)} items; evaluate all on the same ones")


def adjusted_p(differences: Mapping[str, Difference | NotComputed]) -> dict[str, float | NotComputed]:
    """Holm over the differences that could be tested."""
    tested = {name: d.p for name, d in differences.items() if isinstance(d, Difference)}
    untested = {name: d for name, d in differences.items() if isinstance(d, NotComputed)}
    return {**untested, **dict(zip(tested, holm(list(tested.values())), strict=True))}


def p_text(p: float | NotComputed | None) -> Value:
    """A p-value as it is printed."""
    return p if not isinstance(p, float) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _spread(seeds: Sequence[Floats]) -> SeedSpread | NotComputed | None:
    if len(seeds) == 1:
        return None
    if not len(seeds[0]):
        return NotComputed("no item has a value")
    return seed_spread([float(own.mean()) for own in seeds])
