"""The judgements of raters: one JSON line each, appended and never changed; an undo is a line of its own."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from g2r.bank.log import locked
from g2r.errors import ArtifactError, InputError
from g2r.rating.items import KINDS, PURPOSES, Item, Kind, Purpose
from g2r.reading.entries import Row
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines

ValueT = TypeVar("ValueT", bound=str)
VERDICTS: dict[Kind, tuple[str, ...]] = {
    "pairwise": ("a", "b", "tie", "both bad"),
    "absolute": ("not sensible", "sensible", "specific"),
}
"""What may be said of an item. A reply that is not sensible is not specific; one that is specific is sensible."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one rater said of one item.

    Attributes:
        item_id: of the item; the same for all raters.
        kind: as in `Item`, like the next three.
        purpose: what it was asked for.
        context_id: of the context.
        systems: who said the replies, in the order shown: "a" is the first.
        verdict: one of `VERDICTS` of its kind.
        rater: who judged.
        seconds: from when the item was shown.
        at: when, UTC.
    """

    item_id: str
    kind: Kind
    purpose: Purpose
    context_id: str
    systems: tuple[str, ...]
    verdict: str
    rater: str
    seconds: float
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def of(cls, item: Item, verdict: str, *, rater: str, seconds: float) -> "Judgement":
        """Judge an item.

        Raises:
            InputError: there is no such verdict on an item of its kind.
        """
        if verdict not in VERDICTS[item.kind]:
            raise InputError(f"verdict {verdict!r:.40}, expected one of {', '.join(VERDICTS[item.kind])}")
        return cls(
            item.item_id, item.kind, item.purpose, item.context_id, item.systems, verdict, rater, seconds
        )


class JudgementFile:
    """A file of judgements that raters, also in several processes, append to.

    What counts is what stands in the file, so that a rater goes on where they stopped, in any window.
    """

    def __init__(self, path: Path) -> None:
        """Open a file of judgements, or begin one.

        Raises:
            InputError: something else stands there.
            ArtifactError: the place is not writable.
        """
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path) as handle:
                whole = _ends_whole(handle)
        except OSError as error:
            raise ArtifactError(
                f"cannot write {path}: {error.strerror}; choose another place with -o"
            ) from error
        self.judgements("")
        if not whole:
            raise InputError(
                f"{path}: the last line has no end; mend or remove it, or choose another with -o"
            )

    def judgements(self, rater: str) -> list[Judgement]:
        """Those of one rater that were not undone, in their order."""
        return [judgement for judgement in read_judgements([self.path]) if judgement.rater == rater]

    def append(self, judgement: Judgement) -> None:
        """Add a judgement; it is on disk when this returns.

        Raises:
            InputError: this rater judged this item before, perhaps in another window.
            ArtifactError: the disk is full or the place is not writable; nothing is added.
        """
        with self._writing() as write:
            if any(judgement.item_id == before.item_id for before in self.judgements(judgement.rater)):
                raise InputError(
                    "this item is judged already, perhaps in another window; go on with the next"
                )
            write(asdict(judgement))

    def undo(self, rater: str) -> str:
        """Take back the rater's last judgement and return the id of its item.

        Raises:
            InputError: there is none.
            ArtifactError: as `append`.
        """
        with self._writing() as write:
            judged = self.judgements(rater)
            if not judged:
                raise InputError("nothing to undo")
            at = datetime.now(UTC).isoformat(timespec="seconds")
            write({"undo": judged[-1].item_id, "rater": rater, "at": at})
        return judged[-1].item_id

    @contextmanager
    def _writing(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Hold the file against other writers, and yield what adds a line to it."""
        try:
            with locked(self.path) as handle:
                yield partial(_write, handle)
        except OSError as error:
            raise ArtifactError(f"cannot write {self.path}: {error.strerror}; nothing is added") from error


def _write(handle: BinaryIO, record: Mapping[str, Any]) -> None:
    """Add a line, whole or not at all."""
    end = handle.seek(0, os.SEEK_END)
    try:
        handle.write(json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n")
        os.fsync(handle.fileno())
    except OSError:
        handle.truncate(end)
        raise


def _ends_whole(handle: BinaryIO) -> bool:
    end = handle.seek(0, os.SEEK_END)
    handle.seek(max(0, end - 1))
    return handle.read(1) in (b"", b"\n")


def read_judgements(paths: Iterable[Path]) -> list[Judgement]:
    """What raters said in these files, without what they took back.

    Raises:
        InputError: a line is no judgement, takes back what was not said, or says something else than an
            earlier one of the same rater on the same item.
    """
    said: dict[tuple[str, str], tuple[Judgement, str]] = {}
    for path in paths:
        for row in json_rows(numbered_lines(path), str(path)):
            if "undo" in row:
                _take_back(row, said)
                continue
            judgement = _judgement(row)
            key = judgement.rater, judgement.item_id
            before, where = said.get(key, (judgement, row.where))
            if before.verdict != judgement.verdict:
                raise InputError(
                    f"{row.where}: {judgement.rater!r} says {judgement.verdict!r} of item {judgement.item_id}, "
                    f"but {before.verdict!r} in {where}; remove one"
                )
            said[key] = judgement, row.where
    return [judgement for judgement, _ in said.values()]


def _take_back(row: Row, said: dict[tuple[str, str], tuple[Judgement, str]]) -> None:
    if said.pop((row.text("rater"), row.text("undo")), None) is None:
        raise row.wrong("undo", "the id of an item that this rater judged before")


def _judgement(row: Row) -> Judgement:
    kind = _one_of(KINDS, row, "kind")
    purpose = _one_of(PURPOSES, row, "purpose")
    verdict = _one_of(VERDICTS[kind], row, "verdict")
    systems = row.texts("systems")
    if len(set(systems)) != len(systems) or len(systems) != (2 if kind == "pairwise" else 1):
        raise row.wrong("systems", "two different systems for a pair, one for a single reply")
    return Judgement(
        row.text("item_id"),
        kind,
        purpose,
        row.text("context_id"),
        systems,
        verdict,
        row.text("rater"),
        row.number("seconds"),
        row.text("at"),
    )


def _one_of(values: tuple[ValueT, ...], row: Row, field: str) -> ValueT:
    text = row.text(field)
    for value in values:
        if value == text:
            return value
    raise row.wrong(field, " or ".join(values))
