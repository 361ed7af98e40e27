"""The files of a report, read back: what its page is made of, checked before anything is drawn."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FiniteFloat, ValidationError

from g2r.artifacts import Manifest, read_manifest
from g2r.errors import InputError
from g2r.evaluation.report import RESULTS, SUMMARY, TABLES, Section, read_summary

SPEED = "latency.json"
"""What `g2r bench` measured, where it was copied beside the report."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Record(BaseModel):
    """Fields that a later version adds are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class LeakRecord(_Record):
    """A text of the context that stands elsewhere: see `g2r.evaluation.leakage.Leak`."""

    what: str
    where: str
    degree: str
    found: str


class Item(_Record):
    """One context of `results.jsonl`.

    Attributes:
        turns: the context, oldest turn first.
        original: what was said.
        ranks: of the original, by student and number of candidates, one a training seed.
        replies: by system; None if it had nothing to say.
        scores: of the replies, by system and scorer; None where there is none.
        timings_ms: of the replies, by system and phase.
    """

    context_id: str
    turns: tuple[str, ...] = ()
    original: str | None = None
    ranks: Mapping[str, Mapping[int, tuple[int, ...]]] = {}
    replies: Mapping[str, str | None] = {}
    scores: Mapping[str, Mapping[str, FiniteFloat | None]] = {}
    timings_ms: Mapping[str, Mapping[str, FiniteFloat]] = {}
    leaks: tuple[LeakRecord, ...] = ()


def _value(given: Any) -> Any:
    """A number, or that of an estimate; none of what was not computed."""
    return given.get("value") if isinstance(given, Mapping) else given


_Number = Annotated[FiniteFloat | None, BeforeValidator(_value)]


class Speed(_Record):
    """How fast one system replied on one device, the median in milliseconds.

    Attributes:
        responses: size of the bank; None for a system that has none.
    """

    system: str
    device: str = ""
    responses: int | None = None
    p50: _Number


class Search(_Record):
    """How fast one structure was searched, the median in milliseconds, and how much of an exact search it found.

    Attributes:
        structure: its name, which ends in the effort if it has one.
        effort: how hard it was searched; 0 where there is nothing to choose.
    """

    structure: str
    effort: int = 0
    responses: int
    p50: _Number
    recall_at_10: _Number

    @property
    def kind(self) -> str:
        """The structure without its effort: what one curve is of."""
        return self.structure.removesuffix(f" {self.effort}") if self.effort else self.structure


class _SpeedFile(_Record):
    rows: tuple[Speed, ...] = ()
    searches: tuple[Search, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A report as its files tell it.

    Attributes:
        sections: their `values` are plain JSON.
        speeds: of systems; empty where nothing was timed.
        searches: of banks; empty where none was timed.
    """

    title: str
    sections: tuple[Section, ...]
    items: tuple[Item, ...]
    speeds: tuple[Speed, ...] = ()
    searches: tuple[Search, ...] = ()
    manifest: Manifest | None = None


def read_report(folder: Path) -> Report:
    """Read the report that `write_report` wrote in `folder`.

    Raises:
        InputError: a file is missing, malformed or holds NaN; no context was evaluated; two contexts have
            replies of different systems.
    """
    title, sections = read_summary(_text(folder / SUMMARY))
    values = _values(folder / TABLES)
    timed = folder / SPEED
    speed = _parsed(_SpeedFile, _text(timed), str(timed)) if timed.is_file() else _SpeedFile()
    return Report(
        title,
        tuple(Section(s.title, s.text, s.table, values.get(s.title)) for s in sections),
        read_items(folder / RESULTS),
        speed.rows,
        speed.searches,
        read_manifest(folder),
    )


def read_items(path: Path) -> tuple[Item, ...]:
    """The contexts of a `results.jsonl`, all with the same systems.

    Raises:
        InputError: as `read_report`; the message names the line.
    """
    lines = enumerate(_text(path).split("\n"), start=1)
    items = [(_parsed(Item, line, f"{path} line {n}"), n) for n, line in lines if line.strip()]
    if not items:
        raise InputError(f"{path} holds no context; expected one a line, evaluate again with report.contexts")
    seen: dict[str, int] = {}
    first, first_line = items[0]
    for item, n in items:
        if seen.setdefault(item.context_id, n) != n:
            raise InputError(f"{path} line {n} repeats the context of line {seen[item.context_id]}")
        _same_systems(item.replies, first.replies, "replies", f"{path} line {n}", first_line)
        _same_systems(item.ranks, first.ranks, "ranks", f"{path} line {n}", first_line)
    return tuple(item for item, _ in items)


def _same_systems(
    found: Mapping[str, Any], expected: Mapping[str, Any], what: str, where: str, first_line: int
) -> None:
    lacking, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if lacking or extra:
        difference = f"lacks the {what} of {lacking}" if lacking else f"has {what} of {extra}"
        raise InputError(
            f"{where} {difference}, line {first_line} does not: systems are compared on the same contexts only; "
            "evaluate them together"
        )


def _values(path: Path) -> Mapping[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"it holds {constant}, which is no number")

    try:
        values = json.loads(_text(path), parse_constant=refuse)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON: {error}; evaluate again") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}, expected values by section title")
    return values


def _parsed(kind: type[ModelT], text: str, where: str) -> ModelT:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise InputError(
            f"{where}: {f'{field}: ' if field else ''}{problem['msg']}, got {problem['input']!r:.80}; evaluate again"
        ) from None


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(
            f"no file {path}; expected the folder of a report, written by g2r run or g2r evaluate"
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text ({error.reason}); evaluate again") from None
