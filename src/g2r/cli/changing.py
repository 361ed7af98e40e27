"""The commands that change a bank: add, ban, unban, tag, untag, import."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from g2r.artifacts import read_manifest
from g2r.bank import ADDED, Change, ResponseBank, addition
from g2r.bank.carrying import like_forbidden
from g2r.bank.exchange import import_changes, record_of
from g2r.bank.finding import resolve
from g2r.bank.log import Action
from g2r.cli.banking import (
    By,
    PlaceOption,
    Tags,
    bank_app,
    bank_folder,
    line_of,
    open_bank,
    print_json,
    split_tags,
    whoever,
)
from g2r.cli.base import DEFAULT_BOT, Json, errors
from g2r.errors import InputError
from g2r.reading.entries import Row
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines, source_name

Names = Annotated[
    list[str], typer.Argument(metavar="RESPONSE...", help="Ids, their beginnings, or whole texts.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the log.")]


@bank_app.command()
def add(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What may be said.")],
    context: Annotated[
        list[str] | None,
        typer.Option("--context", help='What it answers, as often as you like: a turn, or ["turn", "turn"].'),
    ] = None,
    tags: Tags = "",
    source: Annotated[str, typer.Option("--source", help="Who wrote it.")] = ADDED,
    reason: Reason = "",
    by: By = "",
    path: PlaceOption = DEFAULT_BOT,
    as_json: Json = False,
) -> None:
    """Add responses, each for all of the contexts given; a running server says them within a second."""
    bank = open_bank(path)
    contexts = [_turns(given) for given in context or ()]
    _check_reach(path, contexts)
    by, marks = whoever(by), split_tags(tags)
    changes = [addition(text, contexts, marks, sources=(source,), reason=reason, by=by) for text in texts]
    _apply(bank, changes, as_json=as_json)


def _turns(given: str) -> Any:
    """The turns of a context given as text, or as a JSON list, which `addition` checks."""
    if not given.lstrip().startswith("["):
        return [given]
    try:
        return json.loads(given)
    except ValueError as error:
        raise InputError(
            f'--context {given!r:.80} is no JSON ({error}); expected a turn, or ["turn", "turn"]'
        ) from error


def _check_reach(path: Path, contexts: Sequence[Any]) -> None:
    """Refuse a response that nothing would find; tell where contexts do not count in the search of a bank.

    Raises:
        InputError: there is no context, and the bank is searched by contexts alone.
    """
    manifest = read_manifest(bank_folder(path) / "index")
    weights = manifest.config if manifest else {}
    if not contexts and weights.get("response_key") == 0:
        raise InputError(
            "this bank is searched by contexts alone (response_key 0), so a response without one is never "
            "found; give what it answers with --context"
        )
    if contexts and weights.get("context_key") == 0:
        errors.print(
            "note: this bank is searched by its responses alone (context_key 0): the contexts are kept, and "
            "count once it is built with context keys",
            style="dim",
        )


@bank_app.command()
def ban(
    names: Names, reason: Reason = "", by: By = "", path: PlaceOption = DEFAULT_BOT, as_json: Json = False
) -> None:
    """Never say these responses again; near duplicates stay out of rebuilt banks too."""
    _change_all("ban", names, path, as_json=as_json, reason=reason, by=by)


@bank_app.command()
def unban(
    names: Names, reason: Reason = "", by: By = "", path: PlaceOption = DEFAULT_BOT, as_json: Json = False
) -> None:
    """Allow banned responses again."""
    _change_all("unban", names, path, as_json=as_json, reason=reason, by=by)


@bank_app.command()
def tag(
    names: Names, tags: Tags, by: By = "", path: PlaceOption = DEFAULT_BOT, as_json: Json = False
) -> None:
    """Put tags on responses."""
    _change_all("tag", names, path, as_json=as_json, tags=tags, by=by)


@bank_app.command()
def untag(
    names: Names, tags: Tags, by: By = "", path: PlaceOption = DEFAULT_BOT, as_json: Json = False
) -> None:
    """Take tags off responses."""
    _change_all("untag", names, path, as_json=as_json, tags=tags, by=by)


def _change_all(
    action: Action,
    names: Sequence[str],
    path: Path,
    *,
    as_json: bool,
    tags: str = "",
    reason: str = "",
    by: str = "",
) -> None:
    """Do the same to several responses, to all or none."""
    bank = open_bank(path)
    marks = tuple(split_tags(tags))
    if action in ("tag", "untag") and not marks:
        raise InputError(f"no tags to {action}; expected --tags with one or more, separated by commas")
    changes = [Change(action, resolve(bank, name), reason, tags=marks, by=whoever(by)) for name in names]
    for change in changes:
        if action in ("ban", "unban") and (change.response_id in bank.forbidden) == (action == "ban"):
            held = "is banned already" if action == "ban" else "is not banned"
            errors.print(f"note: {change.response_id} {held}", style="dim")
    _apply(bank, changes, as_json=as_json)


def _apply(bank: ResponseBank, changes: Sequence[Change], *, as_json: bool) -> None:
    """Make changes and tell what stands now, one line a response."""
    bank.record(changes)
    responses = [
        record_of(bank, row)
        for response_id in dict.fromkeys(change.response_id for change in changes)
        if (row := bank.find(response_id)) is not None
    ]
    if as_json:
        print_json({"responses": responses, "bank_version": bank.version, "bank_revision": bank.revision})
        return
    for record in responses:
        print(line_of(record))


@bank_app.command("import")
def import_(
    file: Annotated[
        str,
        typer.Argument(help='JSON Lines: {"text": ..., "contexts": [[...]], "tags": [...]}; "-" is stdin.'),
    ],
    tags: Tags = "",
    source: Annotated[str, typer.Option("--source", help="Who wrote what does not say so.")] = ADDED,
    by: By = "",
    path: PlaceOption = DEFAULT_BOT,
    as_json: Json = False,
) -> None:
    """Add the responses of a file, all or none; near duplicates of banned ones are left out and counted."""
    bank = open_bank(path)
    records = [_record(row) for row in json_rows(numbered_lines(file), source_name(file))]
    refused = like_forbidden([record["text"] for record in records], bank.forbidden)
    by, marks, before = whoever(by), split_tags(tags), bank.revision
    changes = [
        change
        for place, record in enumerate(records)
        if place not in refused
        for change in import_changes(record, tags=marks, source=source, by=by)
    ]
    size = len(bank)
    bank.record(changes)
    counts = {
        "read": len(records),
        "near duplicates of banned": len(refused),
        "new": len(bank) - size,
        "changes": bank.revision - before,
        "responses": len(bank),
    }
    if as_json:
        print_json(counts)
    else:
        print(", ".join(f"{name} {count}" for name, count in counts.items()))
        for place in refused:
            errors.print(f"left out, as banned: {records[place]['text']}", markup=False)


def _record(row: Row) -> dict[str, Any]:
    """A line of an import with its fields checked."""
    record: dict[str, Any] = {"text": row.text("text"), "banned": row.fields.get("banned") is True}
    if not record["text"].strip():
        raise row.wrong("text", "a response to say")
    for field in ("tags", "sources"):
        if field in row:
            record[field] = row.texts(field)
    if "contexts" in row:
        record["contexts"] = row.text_lists("contexts")
    if any(not turns or not turns[-1].strip() for turns in record.get("contexts", ())):
        raise row.wrong("contexts", "lists of turns, none empty")
    return record
