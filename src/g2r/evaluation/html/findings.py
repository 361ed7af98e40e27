"""What a report's values say: differences to a reference, wherever they stand in the values of a section."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

LEVEL = 0.05
"""A difference is called real if its p-value, after Holm's adjustment, is below."""

Verdict = Literal["higher", "lower", "open"]

_ESTIMATE = {"value", "low", "high", "n"}
_DIFFERENCE = _ESTIMATE | {"p"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The difference of one system to the reference in one metric, with its 0.95 interval.

    Attributes:
        p: after Holm's adjustment if `adjusted`.
        n: number of contexts.
    """

    system: str
    metric: str
    value: float
    low: float
    high: float
    p: float
    n: int
    adjusted: bool

    @property
    def verdict(self) -> Verdict:
        """Whether the system is higher or lower than the reference, or that is open."""
        if self.p >= LEVEL or self.value == 0:
            return "open"
        return "higher" if self.value > 0 else "lower"


def findings(values: Any) -> tuple[Finding, ...]:
    """The differences in a section's values, plain JSON, in their order.

    They are looked for in the fields of each system: of `rows` with a `name`, or of a mapping by system. A
    field is a difference, or differences by metric; the adjusted p-value stands beside it as `p_adjusted`.
    """
    return tuple(
        finding
        for system, fields in _by_system(values)
        for name, field in fields.items()
        for finding in _differences(system, name, field, fields.get("p_adjusted"))
    )


def reference(values: Any) -> str:
    """The system that the others of a section are compared with: named, or the only one without a difference."""
    named = values.get("reference") if isinstance(values, Mapping) else None
    if isinstance(named, str):
        return named
    systems = [name for name, fields in _by_system(values) if fields.get("difference", 0) is None]
    return systems[0] if len(systems) == 1 else ""


def estimates(values: Any) -> dict[str, float]:
    """The first value with an interval of each system: what its section measures above all."""
    found = {}
    for system, fields in _by_system(values):
        inner = (v for f in fields.values() if isinstance(f, Mapping) for v in (f, *f.values()))
        first = next((v for v in inner if isinstance(v, Mapping) and v.keys() == _ESTIMATE), None)
        if first:
            found[system] = float(first["value"])
    return found


def _by_system(values: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = values.get("rows") if isinstance(values, Mapping) else values
    if isinstance(rows, Sequence):
        yield from ((str(r["name"]), r) for r in rows if isinstance(r, Mapping) and "name" in r)
    elif isinstance(values, Mapping):
        yield from ((system, fields) for system, fields in values.items() if isinstance(fields, Mapping))


def _differences(system: str, name: str, field: Any, adjusted: Any) -> Iterator[Finding]:
    if not isinstance(field, Mapping):
        return
    if field.keys() >= _DIFFERENCE:
        known = isinstance(adjusted, int | float)
        numbers = {key: field[key] for key in ("value", "low", "high", "n")}
        yield Finding(system, name, **numbers, p=adjusted if known else field["p"], adjusted=known)
        return
    by_metric = adjusted if isinstance(adjusted, Mapping) else {}
    for metric, inner in field.items():
        if isinstance(inner, Mapping) and inner.keys() >= _DIFFERENCE:
            yield from _differences(system, metric, inner, by_metric.get(metric))
