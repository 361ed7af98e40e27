"""The log of a bank: one JSON line for each ban, tag, and their undoing; appended, never rewritten."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from g2r.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a response, why, and when (UTC)."""

    action: Literal["ban", "unban", "tag", "untag"]
    response_id: str
    reason: str = ""
    tags: tuple[str, ...] = ()
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def append_changes(path: Path, changes: Sequence[Change]) -> None:
    """Add changes to the log; they are on disk when this returns.

    What a kill left of an unfinished line is cut off first. Each call is one write, so that lines of
    several processes do not mix.

    Raises:
        ArtifactError: the disk is full or the place is not writable.
    """
    lines = "".join(json.dumps(asdict(change), ensure_ascii=False) + "\n" for change in changes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as handle:
            _cut_torn_line(handle)
            handle.write(lines.encode())
            os.fsync(handle.fileno())
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror}; the change was not made, nothing else is touched"
        ) from error


def _cut_torn_line(handle: BinaryIO) -> None:
    """Drop the bytes after the last end of a line."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(max(size - 1, 0))
    if handle.read(1) not in (b"", b"\n"):
        handle.seek(0)
        handle.truncate(handle.read().rfind(b"\n") + 1)


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
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            values = json.loads(line)
            changes.append(Change(**{**values, "tags": tuple(values["tags"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(
                f"{path}, line {number} after byte {start}, is no change of a bank ({error}); "
                "expected action, response_id, reason, tags, at: mend or remove that line"
            ) from error
    return changes, start + whole
