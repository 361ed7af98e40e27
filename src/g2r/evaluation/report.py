"""The report of an evaluation: a folder that people and programs read."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from g2r.artifacts import replacing
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.tables import Table

SUMMARY, TABLES, RESULTS = "summary.md", "tables.json", "results.jsonl"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the summary: what is shown, how to read it, and the same values for programs."""

    title: str
    text: str
    table: Table | None = None
    values: Any = None


def write_report(
    output: Path, sections: Sequence[Section], items: Iterable[Mapping[str, Any]], *, title: str
) -> None:
    """Write `summary.md`, `tables.json` (values by section title) and `results.jsonl` (one item a context).

    The folder is written whole or not at all.

    Raises:
        ArtifactError: it cannot be written.
    """
    with replacing(output) as new:
        new.mkdir()
        (new / SUMMARY).write_text(summary(sections, title=title), encoding="utf-8")
        values = {section.title: as_json(section.values) for section in sections}
        (new / TABLES).write_text(
            json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
        with (new / RESULTS).open("w", encoding="utf-8") as handle:
            for item in items:
                handle.write(json.dumps(as_json(item), ensure_ascii=False, allow_nan=False) + "\n")


def summary(sections: Sequence[Section], *, title: str) -> str:
    """The report as markdown."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", section.text]
        if section.table:
            parts.append(section.table.markdown())
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(value: Any) -> Any:
    """Plain JSON values; what was not computed becomes {"not_computed": its reason}."""
    if isinstance(value, NotComputed):
        return {"not_computed": value.reason}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: as_json(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value
