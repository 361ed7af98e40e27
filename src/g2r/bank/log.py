"""The log of a bank: one JSON line for each change to it; appended under a lock, never rewritten in place."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from g2r.dialogue import Context
from g2r.errors import ArtifactError

if sys.platform != "win32":
    import fcntl

LOG_FILE = "log.jsonl"
Action = Literal["add", "ban", "unban", "tag", "untag", "keep"]
_OPTIONAL = ("by", "text", "contexts", "sources")


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a response, why, by whom, and when.

    Attributes:
        action: add, ban, unban, tag, untag, or keep: reviewed, and left as it is in spite of the flags in `tags`.
        response_id: whose.
        reason: why, in the words of whoever did it.
        tags: those put on or taken off; of keep, the labels of the flags.
        at: when, UTC.
        by: who; "" where nobody said.
        text: of what is added or banned: what is forbidden stays known when its row is gone.
        contexts: those that an addition was written for.
        sources: who wrote an addition.
    """

    action: Action
    response_id: str
    reason: str = ""
    tags: tuple[str, ...] = ()
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    by: str = ""
    text: str = ""
    contexts: tuple[Context, ...] = ()
    sources: tuple[str, ...] = ()


def change_row(change: Change) -> dict[str, Any]:
    """A change as JSON values; what only some changes have is left out where it is empty."""
    return {name: value for name, value in asdict(change).items() if value or name not in _OPTIONAL}


def _change_of(row: Mapping[str, Any]) -> Change:
    if row["action"] not in get_args(Action) or not isinstance(row["response_id"], str):
        raise ValueError(f"action {row['action']!r} on {row['response_id']!r}")
    lists = {name: tuple(row[name]) for name in ("tags", "sources") if name in row}
    contexts = tuple(tuple(turns) for turns in row.get("contexts", ()))
    return Change(**{**row, **lists, "contexts": contexts})


def append_changes(path: Path, changes: Sequence[Change]) -> None:
    """Add changes to a log; they are on disk when this returns.

    Writers take turns, so that lines never mix. What a kill left of an unfinished line is cut off first.

    Raises:
        ArtifactError: the disk is full, the place is not writable, or the folder is gone; nothing is added.
    """
    append_lines(path, [json.dumps(change_row(change), ensure_ascii=False) for change in changes])


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Add lines to a file that several processes append to, as `append_changes` does.

    Raises:
        ArtifactError: they cannot be written; nothing is added.
    """
    content = "".join(line + "\n" for line in lines)
    try:
        with locked(path) as handle:
            end = _cut_torn_line(handle)
            try:
                _write_whole(handle, content.encode(errors="replace"))
            except OSError:
                handle.truncate(end)
                raise
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror}; the change was not made, nothing else is touched"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[BinaryIO]:
    """Open a log for reading and appending while nobody else writes to it; wait for whoever does.

    A log whose folder was replaced meanwhile is let go for the one that stands there now. Where the system
    has no such locks (Windows) one process at a time may write.

    Raises:
        OSError: it cannot be opened.
    """
    while True:
        with path.open("a+b", buffering=0) as handle:
            if sys.platform != "win32":
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                yield handle
                return


def read_log(folder: Path) -> list[Change]:
    """The changes in the log of a bank folder, none if there is no log. Raises as `read_changes`."""
    log = folder / LOG_FILE
    return read_changes(log)[0] if log.is_file() else []


@contextmanager
def held_log(folder: Path) -> Iterator[list[Change]]:
    """Yield the changes in the log of a bank folder that is about to be replaced; no more come meanwhile.

    A writer that waits goes on with the log that stands there afterwards, so no change gets lost.

    Raises:
        ArtifactError: as `read_changes`.
    """
    log = folder / LOG_FILE
    if not log.is_file():
        yield []
        return
    with locked(log):
        yield read_changes(log)[0]


def _cut_torn_line(handle: BinaryIO) -> int:
    """Drop the bytes after the last end of a line, and return where that is."""
    end = handle.seek(0, os.SEEK_END)
    handle.seek(max(end - 1, 0))
    if handle.read(1) not in (b"", b"\n"):
        handle.seek(0)
        end = handle.read().rfind(b"\n") + 1
        handle.truncate(end)
    return end


def _write_whole(handle: BinaryIO, content: bytes) -> None:
    """Write all of it to disk; one call of the system may take less than it was given."""
    while content:
        content = content[handle.write(content) :]
    os.fsync(handle.fileno())


def read_changes(path: Path, start: int = 0) -> tuple[list[Change], int]:
    """Return the changes from byte `start` on, and the byte after the last whole line.

    A last line without its end is not read: it is being written, or was cut short by a kill.

    Raises:
        ArtifactError: a whole line is no change, or the file cannot be read.
    """
    try:
        with path.open("rb") as handle:
            handle.seek(start)
            content = handle.read()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    whole = content.rfind(b"\n") + 1
    changes = []
    for number, line in enumerate(content[:whole].split(b"\n")[:-1], 1):
        try:
            changes.append(_change_of(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(
                f"{path}, line {number} after byte {start}, is no change of a bank ({error}); "
                "expected action, response_id, reason, tags, at: mend or remove that line"
            ) from error
    return changes, start + whole
