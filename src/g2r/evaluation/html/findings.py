"""What a report's values say of systems: differences to a reference and win rates, wherever they stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

LEVEL = 0.05
"""A difference is called real if its p-value, after Holm's adjustment, is below."""

Verdict = Literal["higher", "lower", "open"]

_ESTIMATE = {"value", "low", "high", "n"}
_DIFFERENCE = _ESTIMATE | {"p"}
_WIN_RATE = {"value", "low", "high", "p", "wins", "losses"}


@dataclass(frozen=True, slots=True)
class Finding:
    """How one system stands against the reference in one metric, with its 0.95 interval.

    Attributes:
        value: a difference, or a win rate.
        p: after Holm's adjustment if `adjusted`.
        even: the value of systems that are alike: 0 for a difference, one half for a win rate.
    """

    system: str
    metric: str
    value: float
    low: float
    high: float
    p: float
    adjusted: bool
    even: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Whether the system is higher or lower than the reference, or that is open."""
        if self.p >= LEVEL or self.value == self.even:
            return "open"
        return "higher" if self.value > self.even else "lower"


def findings(values: Any) -> tuple[Finding, ...]:
    """The differences and win rates in a section's values, plain JSON, in their order.

    They are looked for in the fields of each system: of `rows` with a `name`, of `systems` by name, or of a
    mapping by system. A field is a difference, or differences by metric; the adjusted p-value stands beside it
    as `p_adjusted`.
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
        if first and _is_number(first["value"]):
            found[system] = float(first["value"])
    return found


def _by_system(values: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(values, Mapping) and isinstance(values.get("systems"), Mapping):
        values = values["systems"]
    rows = values.get("rows") if isinstance(values, Mapping) else values
    if isinstance(rows, Sequence):
        yield from ((str(r["name"]), r) for r in rows if isinstance(r, Mapping) and "name" in r)
    elif isinstance(values, Mapping):
        yield from ((system, fields) for system, fields in values.items() if isinstance(fields, Mapping))


def _differences(system: str, name: str, field: Any, adjusted: Any) -> Iterator[Finding]:
    if not isinstance(field, Mapping):
        return
    if _is_comparison(field):
        known = _is_number(adjusted)
        yield Finding(
            system,
            name,
            field["value"],
            field["low"],
            field["high"],
            p=adjusted if known else field["p"],
            adjusted=known,
            even=0.5 if field.keys() >= _WIN_RATE else 0.0,
        )
        return
    by_metric = adjusted if isinstance(adjusted, Mapping) else {}
    for metric, inner in field.items():
        if isinstance(inner, Mapping) and _is_comparison(inner):
            yield from _differences(system, metric, inner, by_metric.get(metric))


def _is_comparison(field: Mapping[str, Any]) -> bool:
    known = field.keys() >= _DIFFERENCE or field.keys() >= _WIN_RATE
    return known and all(_is_number(field[key]) for key in ("value", "low", "high", "p"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
