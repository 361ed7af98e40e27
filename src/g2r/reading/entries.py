"""What a source of dialogues holds, before histories are cut and anything is dropped."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from g2r.dialogue import Candidate
from g2r.errors import InputError

_SPLIT_NAMES = {"validation": "valid", "val": "valid", "dev": "valid", "eval": "valid"}
_SPLIT = re.compile(r"(train|validation|valid|val|dev|eval|test)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns of two speakers in alternation; any of them but the first may be a response.

    Attributes:
        turns: as they stand in the source, oldest first.
        id: what splits are drawn by.
        split: "train", "valid" or "test" where the source says so, else "".
    """

    turns: tuple[str, ...]
    id: str
    split: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A context and responses to it that the source itself pairs; fields as in `Dialogue` and `Example`."""

    context: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    dialogue_id: str
    split: str = ""


Entry = Dialogue | Exchange


def split_named(name: str) -> str:
    """Return the split that a file or a Hugging Face split of that name stands for, "" for none.

    "validation", "val", "dev" and "eval" are valid; what follows a separator is left aside: "test-00000-of-00001".
    """
    match = _SPLIT.match(name)
    split = match[1].lower() if match else ""
    return _SPLIT_NAMES.get(split, split)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a source, whose fields are fetched with their kind checked.

    Attributes:
        fields: the record.
        where: the place errors name, e.g. "chats.jsonl, line 3".
    """

    fields: Mapping[str, Any]
    where: str

    def __contains__(self, field: str) -> bool:
        return self.fields.get(field) is not None

    def wrong(self, field: str, expected: str) -> InputError:
        """The error that says what stands in `field`; dotted and indexed names are shown as they are."""
        value: Any = self.fields
        for part in re.findall(r"[^.\[\]]+", field):
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, Sequence) and part.isdigit():
                value = value[int(part)]
        got = "nothing" if value is None else f"{type(value).__name__} {value!r:.60}"
        return InputError(f"{self.where}, field {field}: got {got}, expected {expected}; mend or remove it")

    def text(self, field: str) -> str:
        """Return a string.

        Raises:
            InputError: `field` is missing or something else; the same holds for the methods below.
        """
        value = self.fields.get(field)
        if not isinstance(value, str):
            raise self.wrong(field, "a string")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return _strings(self.values(field), self, field)

    def text_lists(self, field: str) -> tuple[tuple[str, ...], ...]:
        """Return a list of lists of strings."""
        lists = self.values(field)
        for i, texts in enumerate(lists):
            if not isinstance(texts, list):
                raise self.wrong(f"{field}[{i}]", "a list of strings")
        return tuple(_strings(texts, self, f"{field}[{i}]") for i, texts in enumerate(lists))

    def values(self, field: str) -> Sequence[Any]:
        """Return a list of anything."""
        value = self.fields.get(field)
        if not isinstance(value, list):
            raise self.wrong(field, "a list")
        return value

    def number(self, field: str) -> float:
        """Return a finite number."""
        return _finite(self.fields.get(field), self, field)

    def numbers(self, field: str) -> tuple[float, ...]:
        """Return a list of finite numbers."""
        return tuple(_finite(value, self, f"{field}[{i}]") for i, value in enumerate(self.values(field)))

    def inner(self, field: str) -> "Row":
        """Return the record inside `field`."""
        value = self.fields.get(field)
        if not isinstance(value, Mapping):
            raise self.wrong(field, "an object")
        return Row(value, f"{self.where}, field {field}")

    def split(self) -> str:
        """Return the split that the record names, "" if it names none."""
        if "split" not in self:
            return ""
        split = split_named(self.text("split"))
        if not split:
            raise self.wrong("split", '"train", "valid" or "test"')
        return split


def _strings(values: Sequence[Any], row: Row, field: str) -> tuple[str, ...]:
    for i, value in enumerate(values):
        if not isinstance(value, str):
            raise row.wrong(f"{field}[{i}]", "a string")
    return tuple(values)


def _finite(value: Any, row: Row, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise row.wrong(field, "a finite number")
    return float(value)
