"""Work that goes on where a kill stopped it: an append-only file of the units that are finished."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from g2r.errors import ArtifactError


class Journal:
    """An append-only file of finished batches, so that a killed stage goes on where it stopped.

    Its first line names what is being made; each further line is one finished unit of work. A last
    line cut short by a kill is dropped. A journal that belongs to other work is discarded.
    """

    def __init__(self, path: Path, *, header: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._header = json.loads(json.dumps(header))
        self.entries: list[Any] = self._recover()

    def _recover(self) -> list[Any]:
        if not self.path.is_file():
            return []
        entries, whole = [], 0
        with self.path.open("rb") as handle:
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                entries.append(json.loads(line))
                whole += len(line)
        if not entries or entries[0] != self._header:
            self.path.unlink()
            return []
        os.truncate(self.path, whole)
        return entries[1:]

    def append(self, entry: Any) -> None:
        """Add one finished unit; it is on disk when this returns.

        Raises:
            ArtifactError: the disk is full or the place is not writable.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            with self.path.open("a", encoding="utf-8") as handle:
                for line in ([self._header] if new else []) + [entry]:
                    handle.write(json.dumps(line, ensure_ascii=False) + "\n")
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise ArtifactError(
                f"cannot write {self.path}: {error.strerror}; the finished part is kept, run the same command again"
            ) from error
        self.entries.append(entry)

    def delete(self) -> None:
        """Remove the journal once its content stands in the final file."""
        self.path.unlink(missing_ok=True)


def journalled(
    units: Sequence[Any], work: Callable[[int, Any], Any], *, journal: Journal | None, after: int = 0
) -> Iterable[Any]:
    """Yield `work(i, unit)` for each unit, taking from the journal those already finished.

    `work` must depend on its arguments alone and return JSON values, so that a resumed run gives the
    same results as an uninterrupted one. `after` is how many units of an earlier phase share the journal.
    """
    finished = journal.entries[after:] if journal else []
    yield from finished[: len(units)]
    for i in range(len(finished), len(units)):
        result = work(i, units[i])
        if journal:
            journal.append(result)
        yield result
