"""Dialogues from a Hugging Face dataset: a hub name, a saved folder, or parquet files."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from g2r.config import SourceConfig
from g2r.dialogue import HUMAN, Candidate, content_id
from g2r.errors import ConfigError, DependencyError, InputError
from g2r.reading.entries import Dialogue, Entry, Exchange, Row, split_named

HUB = "hf:"
_SAVED = ("dataset_dict.json", "state.json")
_TURNS = ("turns", "dialog", "dialogue", "dialogs", "conversation", "conversations", "messages", "utterances")
_CONTEXT = ("context", "history")
_RESPONSE = ("response", "reply")
_TEXT_KEYS = ("text", "content", "utterance", "value")
_ROLE_KEYS = ("role", "from")

Rows = Iterable[Mapping[str, Any]]


def is_huggingface(path: Path) -> bool:
    """True for a parquet file, a folder that holds some, or one written by `save_to_disk`."""
    if path.is_dir():
        return any((path / name).is_file() for name in _SAVED) or any(path.rglob("*.parquet"))
    return path.suffix == ".parquet"


def huggingface_entries(source: SourceConfig) -> Iterator[Entry]:
    """Yield the dialogues of a Hugging Face dataset.

    A turns column holds a list of strings, or of records with a text, content, utterance or value field (a
    system message among them is left out); a context column a list of strings or one string, with a
    response column beside it. `source.columns` names them where they are called something else. An id
    column, if there is one, is that of the dialogue: splits are drawn by it.

    Raises:
        InputError: there is no such dataset, split or column, or a value is malformed.
        ConfigError: `source.columns` maps something else than turns, context, response, id.
        DependencyError: the datasets package is needed and not installed.
    """
    for name, columns, rows in _tables(source):
        where = f"{source.path}, split {name}" if name else source.path
        entry = _entry_reader(_column_names(source.columns, columns, where))
        for number, fields in enumerate(rows):
            yield from entry(Row(fields, f"{where}, row {number}"), split_named(name))


def _tables(source: SourceConfig) -> Iterator[tuple[str, Sequence[str], Rows]]:
    """Yield the name, the columns and the rows of each split that is asked for."""
    path = Path(source.path)
    if source.path.startswith(HUB) or any((path / name).is_file() for name in _SAVED):
        splits = _loaded_splits(source)
        for name in _chosen(source, list(splits)):
            yield name, splits[name].column_names, splits[name]
    else:
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        by_name = {str(file.relative_to(path)) if path.is_dir() else "": file for file in files}
        for name in _chosen(source, list(by_name)):
            table = _parquet(by_name[name])
            yield Path(name).stem, table.schema_arrow.names, _parquet_rows(table)


def _chosen(source: SourceConfig, names: Sequence[str]) -> list[str]:
    """The splits or files to read: all, or those of the asked-for name."""
    if not source.split:
        return list(names)
    chosen = [n for n in names if n == source.split] or [
        n for n in names if split_named(Path(n).stem) == split_named(source.split) != ""
    ]
    if not chosen:
        raise InputError(f"{source.path} has no split {source.split!r}; it has {', '.join(names)}")
    return chosen


def _loaded_splits(source: SourceConfig) -> Mapping[str, Any]:
    """The splits of a hub dataset or saved folder, by name."""
    try:
        import datasets
    except ImportError as error:
        raise DependencyError(
            "reading this needs the datasets package; run: pip install 'g2r[train]'"
        ) from error
    try:
        if source.path.startswith(HUB):
            loaded = datasets.load_dataset(source.path.removeprefix(HUB), source.name or None)
        else:
            loaded = datasets.load_from_disk(source.path)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"cannot load {source.path} ({reason:.160}); check its name and the network, or give a local folder"
        ) from error
    return loaded if isinstance(loaded, Mapping) else {str(loaded.split or ""): loaded}


def _parquet(file: Path) -> Any:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} is not a readable parquet file ({reason:.160}); make it again") from error


def _parquet_rows(table: Any) -> Iterator[Mapping[str, Any]]:
    for batch in table.iter_batches():
        yield from batch.to_pylist()


def _column_names(mapping: Mapping[str, str], columns: Sequence[str], where: str) -> dict[str, str]:
    """The column for each of turns, or context and response, and id where there is one."""
    wanted = {"turns": _TURNS, "context": _CONTEXT, "response": _RESPONSE, "id": ("dialogue_id",)}
    if unknown := set(mapping) - set(wanted):
        raise ConfigError(f"columns: unknown key {min(unknown)!r}, expected turns, context, response or id")
    if {"context_id", "candidates"} <= set(columns):
        raise InputError(
            f"{where} holds examples that g2r made; expected dialogues, the source they came from"
        )
    if missing := [column for column in mapping.values() if column not in columns]:
        raise InputError(f"{where} has no column {missing[0]!r}; it has {', '.join(columns)}")
    found = {key: next((n for n in names if n in columns), "") for key, names in wanted.items()}
    if mapping.keys() - {"id"}:
        found |= dict.fromkeys(("turns", "context", "response"), "")
    found |= mapping
    if not (found["turns"] or (found["context"] and found["response"])):
        raise InputError(
            f"{where}: its columns are {', '.join(columns)}; say which hold the dialogues, "
            "columns: {turns: ...} or {context: ..., response: ...}"
        )
    return found


def _entry_reader(column: Mapping[str, str]) -> Callable[[Row, str], Iterator[Entry]]:
    """How a row becomes an entry, given the column names."""

    def dialogue(row: Row, split: str) -> Iterator[Entry]:
        turns = _turn_texts(row, column["turns"])
        yield Dialogue(turns, _id(row, turns), split)

    def exchange(row: Row, split: str) -> Iterator[Entry]:
        context = _turn_texts(row, column["context"])
        replies = _turn_texts(row, column["response"])
        candidates = tuple(Candidate(text, HUMAN, original=True) for text in replies)
        yield Exchange(context, candidates, _id(row, context[:1]), split)

    def _id(row: Row, texts: Sequence[str]) -> str:
        return str(row.fields[column["id"]]) if column["id"] in row else content_id(texts)

    return dialogue if column["turns"] else exchange


def _turn_texts(row: Row, field: str) -> tuple[str, ...]:
    """The strings of a column: a string, a list of strings or of records, or a record of lists."""
    value = row.fields.get(field)
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping):
        key = next((key for key in _TEXT_KEYS if key in value), "")
        return row.inner(field).texts(key) if key else row.texts(field)
    turns = [v for v in row.values(field) if not (isinstance(v, Mapping) and _role(v) == "system")]
    return tuple(_turn_text(row, field, i, turn) for i, turn in enumerate(turns))


def _role(turn: Mapping[str, Any]) -> Any:
    return next((turn[key] for key in _ROLE_KEYS if key in turn), None)


def _turn_text(row: Row, field: str, i: int, turn: Any) -> str:
    text = next((turn[key] for key in _TEXT_KEYS if key in turn), None) if isinstance(turn, Mapping) else turn
    if not isinstance(text, str):
        raise row.wrong(f"{field}[{i}]", "a string, or a record with a text or content field")
    return text
