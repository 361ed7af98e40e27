"""The contexts and replies of a report, as small JSON for the examples of its page."""

from collections.abc import Sequence
from typing import Any

from g2r.evaluation.html.files import Item

FIRST_CHOICE = 5
"""Systems shown at first, at most: the students, if results.jsonl tells which they are."""


def examples_data(items: Sequence[Item]) -> dict[str, Any] | None:
    """What the page's script shows and filters; None if no system replied.

    Each text stands there once and is named by its number: systems often say the same.
    """
    systems = list(items[0].replies)
    if not systems:
        return None
    numbers: dict[str, int] = {}

    def number(text: str | None) -> int | None:
        return None if text is None else numbers.setdefault(text, len(numbers))

    scorers = list(dict.fromkeys(name for item in items for own in item.scores.values() for name in own))
    ranked = list(items[0].ranks)
    rows = [
        {
            "id": item.context_id,
            "turns": [number(turn) for turn in item.turns],
            "original": number(item.original),
            "replies": [number(item.replies[name]) for name in systems],
            "ranks": [_first_rank(item, name) for name in ranked],
            "scores": [_scores(item, name, scorers) for name in systems] if scorers else None,
            "leaks": len(item.leaks),
        }
        for item in items
    ]
    return {
        "texts": list(numbers),
        "systems": systems,
        "chosen": [systems.index(name) for name in _first_choice(items[0])],
        "ranked": ranked,
        "scorers": scorers,
        "items": rows,
    }


def _first_choice(item: Item) -> list[str]:
    """The systems shown at first: what was ranked and replies, else the first ones."""
    students = [name for name in item.replies if name in item.ranks]
    return (students or list(item.replies))[:FIRST_CHOICE]


def _first_rank(item: Item, name: str) -> int | None:
    """The rank of the original in the shortest lists, by the first training seed."""
    by_size = item.ranks[name]
    return by_size[min(by_size)][0] if by_size and by_size[min(by_size)] else None


def _scores(item: Item, system: str, scorers: Sequence[str]) -> list[float | None]:
    own = item.scores.get(system, {})
    values = (own.get(name) for name in scorers)
    return [None if value is None else round(value, 3) for value in values]
