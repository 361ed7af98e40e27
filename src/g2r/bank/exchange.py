"""Responses as plain records: what is shown, exported and imported."""

import csv
import json
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from g2r.bank.log import Change
from g2r.bank.responses import ResponseBank
from g2r.bank.rows import ADDED, addition

COLUMNS = ("response_id", "text", "sources", "contexts", "tags", "banned", "count")
EXPORTS_BEGIN = (b'{"response_id": ', b"response_id,text,")
"""How a file of either form begins."""


def record_of(bank: ResponseBank, row: int) -> dict[str, Any]:
    """A response as JSON values: the fields `COLUMNS`, contexts as lists of turns."""
    response = bank[row]
    return {
        "response_id": response.response_id,
        "text": response.text,
        "sources": list(response.sources),
        "contexts": [list(context.turns) for context in response.contexts],
        "tags": sorted(response.tags),
        "banned": bool(bank.banned[row]),
        "count": response.count,
    }


def write_jsonl(records: Iterable[Mapping[str, Any]], handle: TextIO) -> None:
    """Write records, one JSON object a line; `import_changes` reads them back."""
    for record in records:
        handle.write(json.dumps(record, ensure_ascii=False) + "\n")


def write_csv(records: Iterable[Mapping[str, Any]], handle: TextIO) -> None:
    """Write records for a spreadsheet: a heading, tags and sources separated by commas, contexts as JSON."""
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        joined = {name: ",".join(record[name]) for name in ("sources", "tags")}
        contexts = json.dumps(record["contexts"], ensure_ascii=False)
        writer.writerow([{**record, **joined, "contexts": contexts}[name] for name in COLUMNS])


def import_changes(
    record: Mapping[str, Any], *, tags: Iterable[str] = (), source: str = ADDED, by: str = ""
) -> list[Change]:
    """The changes that bring a record into a bank: its text with contexts and tags, and its ban if it has one.

    Raises:
        InputError: the text, a context or a tag is blank.
    """
    new = addition(
        record["text"],
        [[turns] if isinstance(turns, str) else turns for turns in record.get("contexts", ())],
        [*record.get("tags", ()), *tags],
        sources=record.get("sources") or (source,),
        reason="import",
        by=by,
    )
    ban = Change("ban", new.response_id, "import", by=by, text=new.text)
    return [new, ban] if record.get("banned") else [new]
