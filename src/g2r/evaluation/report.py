"""The report of an evaluation: a folder that people and programs read."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from g2r.artifacts import replacing
from g2r.errors import InputError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.tables import Table, parse_table

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
    """Write `summary.md`, `tables.json` (values by section title), `results.jsonl` (one item a context) and their page.

    The folder is written whole or not at all.

    Raises:
        ArtifactError: it cannot be written.
        InputError: there is no item, two have replies of different systems, or a value is NaN or infinite.
    """
    from g2r.evaluation.html.page import write_page  # which reads what this module writes

    with replacing(output) as new:
        new.mkdir()
        (new / SUMMARY).write_text(summary(sections, title=title), encoding="utf-8")
        parts = [
            f"{json.dumps(s.title, ensure_ascii=False)}: {_json(s.values, f'section {s.title}', indent=2)}"
            for s in sections
        ]
        (new / TABLES).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
        with (new / RESULTS).open("w", encoding="utf-8") as handle:
            for item in items:
                handle.write(_json(item, f"context {item.get('context_id')}") + "\n")
        write_page(new)


def _json(value: Any, where: str, *, indent: int | None = None) -> str:
    try:
        return json.dumps(as_json(value), indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise InputError(
            f"{where} holds NaN or an infinite number, which no report may; say why there is no value (NotComputed)"
        ) from None


def summary(sections: Sequence[Section], *, title: str) -> str:
    """The report as markdown."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", section.text]
        if section.table:
            parts.append(section.table.markdown())
    return "\n\n".join(part for part in parts if part) + "\n"


def read_summary(markdown: str) -> tuple[str, list[Section]]:
    """Title and sections, without their values, of what `summary` wrote.

    Raises:
        InputError: it does not begin with a title.
    """
    head, *parts = re.split(r"^## ", markdown, flags=re.MULTILINE)
    if not head.startswith("# "):
        raise InputError(f"the summary begins with {head!r:.40}, expected a title (# ...); evaluate again")
    return head.removeprefix("# ").strip(), [_read_section(part) for part in parts]


def _read_section(part: str) -> Section:
    title, _, body = part.partition("\n")
    blocks = [block for block in body.strip("\n").split("\n\n") if block]
    tables = [i for i, block in enumerate(blocks) if block.startswith("| ")]
    if not tables:
        return Section(title, "\n\n".join(blocks))
    start = tables[0]
    return Section(title, "\n\n".join(blocks[:start]), parse_table(blocks[start], blocks[start + 1 :]))


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
