"""From where a source is and what it looks like to the entries it holds."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from g2r import starter
from g2r.config import SourceConfig
from g2r.errors import ConfigError, InputError
from g2r.reading.chitchat import conversations, dataset_path, recorded_contexts
from g2r.reading.entries import Dialogue, Entry, Row, split_named
from g2r.reading.formats import (
    Lines,
    json_rows,
    parlai_exchanges,
    release_exchange,
    row_entries,
    text_dialogues,
)
from g2r.reading.huggingface import HUB, huggingface_entries, is_huggingface
from g2r.reading.lines import numbered_lines, source_name

STARTER = "starter"
CHITCHAT = "chitchat"
RECORDED_CHITCHAT = "chitchat-recorded"
_OTHER_FORMATS = (".csv", ".tsv", ".xml", ".html", ".yaml", ".yml", ".zip", ".tar", ".arrow")
_JSON_LINES = (".jsonl", ".ndjson")
_FILE_PATTERNS = ("*.jsonl", "*.jsonl.gz", "*.txt", "*.txt.gz")
_ARRAY = re.compile(r'\s*\[\s*(["{\[]|$)')
_TURNS_OF_ONE_DIALOGUE = 500


def read_source(source: SourceConfig) -> list[Entry]:
    """Return what a source holds.

    Raises:
        InputError: the source is missing, unreadable, malformed, empty, or has no split of the asked-for name.
        ConfigError: `source.columns` is given for something that has no columns.
        DependencyError: the source needs a package that is not installed.
    """
    huggingface = _is_huggingface(source)
    if source.columns and not huggingface:
        raise ConfigError(f"columns is for Hugging Face datasets, and {source.path} is none; leave it out")
    entries = list(huggingface_entries(source) if huggingface else _named_entries(source))
    if not entries:
        raise InputError(f"{source.path} is empty; expected at least one dialogue")
    return entries if huggingface or not source.split else _of_split(entries, source)


def packaged_files(sources: Iterable[str]) -> dict[str, Path]:
    """The files behind the sources that are known by name, each under its own: what a manifest hashes.

    Raises:
        DependencyError: the chitchat package is not installed.
    """
    found: dict[str, Path] = {}
    for source in sources:
        names = {
            STARTER: [f"{name}.jsonl" for name in (*starter.CORPUS, "contexts")],
            CHITCHAT: ["chitchat_splits.jsonl"],
            RECORDED_CHITCHAT: ["chitchat_splits.jsonl", "recorded.jsonl"],
        }.get(source, [])
        found |= {f"starter/{name}": starter.FOLDER / name for name in names}
        if source in (CHITCHAT, RECORDED_CHITCHAT):
            found["chitchat_dataset"] = dataset_path()
    return found


def _is_huggingface(source: SourceConfig) -> bool:
    if source.format == "auto":
        return source.path.startswith(HUB) or is_huggingface(Path(source.path))
    return source.format == "huggingface"


def _named_entries(source: SourceConfig) -> Iterator[Entry]:
    if source.path == STARTER:
        yield from starter_entries()
    elif source.path == CHITCHAT:
        yield from conversations()
    elif source.path == RECORDED_CHITCHAT:
        yield from recorded_contexts()
    elif Path(source.path).is_dir():
        yield from _folder_entries(source)
    else:
        yield from _file_entries(source.path, source.format)


def starter_entries() -> Iterator[Entry]:
    """Yield the embedded dialogues, situations and plain replies."""
    for name, rows in starter.corpus().items():
        for number, fields in enumerate(rows, 1):
            yield from row_entries(Row(fields, f"starter/{name}.jsonl, line {number}"))


def _folder_entries(source: SourceConfig) -> Iterator[Entry]:
    """The files of a folder; one named train, valid or test is that split."""
    folder = Path(source.path)
    files = sorted(file for pattern in _FILE_PATTERNS for file in folder.glob(pattern))
    if not files:
        raise InputError(
            f"{folder} is a folder without {', '.join(_FILE_PATTERNS)} or parquet files; name a file of dialogues"
        )
    for file in files:
        named = split_named(file.name)
        for entry in _file_entries(str(file), source.format):
            yield entry if entry.split else replace(entry, split=named)


def _file_entries(path: str, written_as: str) -> Iterator[Entry]:
    lines = numbered_lines(path)
    name = source_name(path)
    if written_as == "auto":
        head = list(_head(lines))
        written_as = _guess(name, head[-1][1] if head else "")
        lines = chain(head, lines)
        if written_as == "text":
            yield from _guessed_text(lines, name)
            return
    match written_as:
        case "text":
            yield from text_dialogues(lines)
        case "parlai":
            yield from parlai_exchanges(lines, name)
        case "g2r":
            yield from map(release_exchange, json_rows(lines, name))
        case _:
            for row in json_rows(lines, name):
                yield from row_entries(row)


def _head(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines up to the first that is not blank."""
    for number, line in lines:
        yield number, line
        if line.strip():
            return


def _guess(name: str, first: str) -> str:
    """The format of a file by its name and its first line.

    Raises:
        InputError: it is in none of the formats.
    """
    suffix = Path(name.removesuffix(".gz")).suffix.lower()
    if suffix in _JSON_LINES:
        return "jsonl"
    if suffix in _OTHER_FORMATS or _ARRAY.match(first):
        kind = f"a {suffix} file" if suffix in _OTHER_FORMATS else "one JSON array"
        raise InputError(
            f"{name} looks like {kind}; expected JSON Lines, plain text, ParlAI format or parquet "
            "(if it is one of them, say which: --format, or format in a run file)"
        )
    if first.lstrip().startswith("{") or suffix == ".json":
        return "jsonl"
    return "parlai" if _is_parlai(first) else "text"


def _is_parlai(line: str) -> bool:
    fields = line.split("\t")
    return len(fields) > 1 and any(field.startswith("text:") for field in fields)


def _guessed_text(lines: Lines, name: str) -> Iterator[Dialogue]:
    """The dialogues of what was guessed to be text, unless it turns out to be something else."""
    for dialogue in text_dialogues(_plain(lines, name)):
        if len(dialogue.turns) > _TURNS_OF_ONE_DIALOGUE:
            raise InputError(
                f"{name} reads as a dialogue of {len(dialogue.turns)} turns; expected a blank line between "
                "dialogues (if it is right as it stands, say so: --format text, or format in a run file)"
            )
        yield dialogue


def _plain(lines: Lines, name: str) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        if line.startswith('{"') or "\t" in line:
            raise InputError(
                f"{name}, line {number}: JSON or tab-separated fields in what reads as plain text; "
                "mend the line, or say what it is: --format, or format in a run file"
            )
        yield number, line


def _of_split(entries: Iterable[Entry], source: SourceConfig) -> list[Entry]:
    """The entries of the asked-for split."""
    entries = list(entries)
    chosen = [entry for entry in entries if entry.split and entry.split == split_named(source.split)]
    if not chosen:
        named = sorted({entry.split for entry in entries} - {""})
        raise InputError(
            f"{source.path} has no split {source.split!r}; it has {', '.join(named) or 'no named splits'}"
        )
    return chosen
