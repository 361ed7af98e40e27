"""The commands that look into a bank: list, show, export, log; and what all commands of `g2r bank` share."""

import getpass
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from g2r.artifacts import refuse_other, replacing
from g2r.bank import Change, ResponseBank
from g2r.bank.exchange import EXPORTS_BEGIN, record_of, write_csv, write_jsonl
from g2r.bank.finding import Wanted, resolve, rows_of
from g2r.bank.log import Action, change_row
from g2r.cli.base import DEFAULT_BOT, Json, app, errors

bank_app = typer.Typer(
    name="bank",
    help="Control what a bot may say: see, add, ban and tag responses, while it is served.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(bank_app)

Place = Annotated[Path, typer.Argument(metavar="BOT", help="A bot, a run, or the folder of a bank.")]
PlaceOption = Annotated[Path, typer.Option("--bot", help="A bot, a run, or the folder of a bank.")]
Tags = Annotated[str, typer.Option("--tags", help="Tags, separated by commas.")]
Without = Annotated[str, typer.Option("--without", help="Leave out responses with one of these tags.")]
Sources = Annotated[str, typer.Option("--source", help="Only those written by one of these, e.g. human.")]
Banned = Annotated[bool | None, typer.Option("--banned/--not-banned", help="Only banned ones, or none.")]
Added = Annotated[bool, typer.Option("--added", help="Only those added since the bank was built.")]
Contains = Annotated[str, typer.Option("--contains", help="Only texts that hold this.")]
By = Annotated[str, typer.Option("--by", help="Who, for the log. [default: your user name]")]


def bank_folder(path: Path) -> Path:
    """The folder of the bank of a bot or run, or that folder itself."""
    return path / "bank" if (path / "bank").is_dir() else path


def open_bank(path: Path) -> ResponseBank:
    """Open the bank of a bot or run, or the bank in that folder.

    Raises:
        InputError: there is none.
    """
    return ResponseBank.load(bank_folder(path))


def split_tags(given: str) -> list[str]:
    """Values given as one, separated by commas."""
    return [value.strip() for value in given.split(",") if value.strip()]


def whoever(by: str) -> str:
    """Who makes a change: as given, else the user's name, "" where the system knows none."""
    try:
        return by or getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def wanted_of(
    tags: str, without: str, source: str, banned: bool | None, added: bool, contains: str
) -> Wanted:
    """The filter that the options describe."""
    return Wanted(
        tags=frozenset(split_tags(tags)),
        without=frozenset(split_tags(without)),
        sources=frozenset(split_tags(source)),
        banned=banned,
        added=added,
        contains=contains,
    )


def print_json(value: Any) -> None:
    """Print one JSON object."""
    print(json.dumps(value, ensure_ascii=False))


def line_of(record: dict[str, Any]) -> str:
    """A response as one line: id, text, and in brackets what is special about it."""
    marks = [*(["banned"] if record["banned"] else []), *record["sources"], *record["tags"]]
    return f"{record['response_id']}  {record['text']}  [{', '.join(marks)}]"


@bank_app.command("list")
def list_(
    path: Place = DEFAULT_BOT,
    tags: Tags = "",
    without: Without = "",
    source: Sources = "",
    banned: Banned = None,
    added: Added = False,
    contains: Contains = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show at most so many; 0 for all.")] = 20,
    as_json: Json = False,
) -> None:
    """List responses, one a line: id, text, and whether banned, who wrote it, tags."""
    bank = open_bank(path)
    rows = rows_of(bank, wanted_of(tags, without, source, banned, added, contains))
    records = [record_of(bank, row) for row in rows[: limit or None]]
    if as_json:
        print_json({"responses": records, "matching": len(rows), "of": len(bank)})
        return
    for record in records:
        print(line_of(record))
    errors.print(f"{len(records)} of {len(rows)} matching among {len(bank)} responses", style="dim")


@bank_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="RESPONSE", help="Id, its beginning, or whole text.")],
    path: PlaceOption = DEFAULT_BOT,
    as_json: Json = False,
) -> None:
    """Show one response: where it comes from, the contexts it was written for, what was done to it."""
    bank = open_bank(path)
    response_id = resolve(bank, name)
    changes = [change_row(change) for change in bank.log if change.response_id == response_id]
    row = bank.find(response_id)
    record: dict[str, Any] = (
        {"response_id": response_id, "text": bank.forbidden[response_id], "banned": True}
        if row is None
        else record_of(bank, row)
    )
    if as_json:
        print_json({**record, "changes": changes, "bank_version": bank.version})
        return
    for field, value in record.items():
        if field != "contexts":
            print(f"{field}: {', '.join(value) if isinstance(value, list) else value}")
    for turns in record.get("contexts", ()):
        print(f"context: {' | '.join(turns)}")
    for change in changes:
        print(f"change: {json.dumps(change, ensure_ascii=False)}")


@bank_app.command()
def export(
    path: Place = DEFAULT_BOT,
    output: Annotated[str, typer.Option("--output", "-o", help='File; "-" is standard output.')] = "-",
    form: Annotated[
        Literal["auto", "jsonl", "csv"], typer.Option("--format", help="auto goes by the file's name.")
    ] = "auto",
    tags: Tags = "",
    without: Without = "",
    source: Sources = "",
    banned: Banned = None,
    added: Added = False,
    contains: Contains = "",
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is no earlier export, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write responses with their provenance as JSON Lines (which import reads) or CSV."""
    bank = open_bank(path)
    rows = rows_of(bank, wanted_of(tags, without, source, banned, added, contains))
    records = (record_of(bank, row) for row in rows)
    write = write_csv if "csv" in (form, output.rpartition(".")[2]) and form != "jsonl" else write_jsonl
    if output == "-":
        write(records, sys.stdout)
        return
    if not force:
        refuse_other(Path(output), begins=EXPORTS_BEGIN)
    with replacing(Path(output)) as new, new.open("w", encoding="utf-8", newline="") as handle:
        write(records, handle)
    if as_json:
        print_json({"responses": len(rows), "output": output})
    else:
        errors.print(f"{len(rows)} responses in {output}", markup=False)


@bank_app.command("log")
def log_(
    path: Place = DEFAULT_BOT,
    response: Annotated[str, typer.Option("--response", help="Only changes of this one.")] = "",
    action: Annotated[Action | None, typer.Option("--action", help="Only changes of this kind.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="The last so many; 0 for all.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what was done to the bank, oldest first: when, what, to which response, by whom, why."""
    bank = open_bank(path)
    meant = resolve(bank, response) if response else ""
    changes = [
        c for c in bank.log if c.action == (action or c.action) and c.response_id == (meant or c.response_id)
    ]
    shown = changes[-limit:]
    if as_json:
        print_json(
            {
                "changes": [change_row(c) for c in shown],
                "matching": len(changes),
                "bank_version": bank.version,
            }
        )
        return
    for line in map(_log_line, _with_texts(bank, shown)):
        print(line)


def _with_texts(bank: ResponseBank, changes: Iterable[Change]) -> list[Change]:
    """The changes with the texts of their responses, where the bank has them."""
    rows = [(change, bank.find(change.response_id)) for change in changes]
    return [c if c.text or row is None else replace(c, text=bank.text(row)) for c, row in rows]


def _log_line(change: Change) -> str:
    details = [", ".join(change.tags), f"by {change.by}" if change.by else "", change.reason]
    told = "; ".join(detail for detail in details if detail)
    return f"{change.at}  {change.action:<6} {change.response_id}  {change.text}" + (
        f"  [{told}]" if told else ""
    )
