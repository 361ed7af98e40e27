"""The chitchat dataset: human conversations read from the package of that name, and what was recorded for them."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from g2r import starter
from g2r.dialogue import NO_SCORES
from g2r.errors import DependencyError, InputError
from g2r.reading.entries import Dialogue, Exchange, Row
from g2r.reading.formats import recorded_exchange
from g2r.reading.record_ids import RecordId

HISTORY = 4
"""Turns of a recorded context."""

_LONG_NUMBER = re.compile(r"\d[\d\s().-]{6,}\d")
"""Telephone numbers and the like: 8 characters or more from first to last digit."""


def dataset_path() -> Path:
    """Return where the installed chitchat-dataset package keeps its dataset.json, without importing it.

    Raises:
        DependencyError: the package is not installed.
    """
    spec = find_spec("chitchat_dataset")
    if spec is None or spec.origin is None:
        raise DependencyError("the chitchat dataset is not installed; run: pip install 'g2r[starter]'")
    return Path(spec.origin).with_name("dataset.json")


def conversations() -> Iterator[Dialogue]:
    """Yield the conversations, with splits that never change: valid and test are listed with the starter data.

    The successive messages of a sender are one turn; long numbers are replaced by [number].

    Raises:
        DependencyError: the package is not installed.
        InputError: its data file is not what is expected.
    """
    splits = starter.chitchat_splits()
    for key, turns in _all_turns().items():
        yield Dialogue(turns, key, splits.get(key[:8], "train"))


def recorded_exchanges(source: str) -> Iterator[Exchange]:
    """Yield the recorded contexts, rebuilt from the package, with the human reply and the teacher's responses.

    Raises:
        DependencyError: the package is not installed.
        InputError: it is of another version, and lacks a conversation.
    """
    turns_of = {key[:8]: turns for key, turns in _all_turns().items()}
    for number, fields in enumerate(starter.recorded(), 1):
        row = Row(fields, f"starter/recorded.jsonl, line {number}")
        place = RecordId.parse(fields["id"])
        turns = turns_of.get(place.conversation, ()) if place else ()
        if place is None or place.turn >= len(turns):
            raise row.wrong("id", "a turn of the chitchat-dataset package (version 0.9.0)")
        context = list(turns[max(0, place.turn - HISTORY) : place.turn])
        yield recorded_exchange(
            Row({**fields, "turns": context, "human": turns[place.turn]}, row.where), source
        )


def recorded_contexts() -> Iterator[Exchange]:
    """Yield the recorded contexts with the human reply alone: what the recorded teacher can be asked for.

    Raises:
        As `recorded_exchanges`.
    """
    for exchange in recorded_exchanges(""):
        said = tuple(replace(c, scores=NO_SCORES) for c in exchange.candidates if c.original)
        yield replace(exchange, candidates=said)


@lru_cache(maxsize=1)
def _all_turns() -> dict[str, tuple[str, ...]]:
    """The turns of every conversation by its id."""
    path = dataset_path()
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: _turns(conversation["messages"]) for key, conversation in data.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not the data of chitchat-dataset 0.9.0 ({error!r:.80}); run: pip install 'g2r[starter]'"
        ) from error


def _turns(messages: list[list[dict[str, str]]]) -> tuple[str, ...]:
    """One turn for each group of a sender's successive messages that says anything."""
    joined = (" ".join(text for m in group if (text := m["text"].strip())) for group in messages)
    folded = (" ".join(text.split()) for text in joined)
    return tuple(_LONG_NUMBER.sub("[number]", text) for text in folded if text)
