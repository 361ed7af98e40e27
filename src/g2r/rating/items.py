"""What a rater is shown: contexts with one reply or two, in an order and on sides drawn by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Literal

from g2r.config import RateConfig
from g2r.dialogue import Context, content_id
from g2r.errors import InputError
from g2r.reading.entries import Row
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines

Kind = Literal["pairwise", "absolute"]
Purpose = Literal["main", "attention", "repeat"]
KINDS: tuple[Kind, ...] = ("pairwise", "absolute")
PURPOSES: tuple[Purpose, ...] = ("main", "attention", "repeat")

HUMAN, RANDOM = "human reply", "random reply"
"""The two sides of an attention item."""


@dataclass(frozen=True, slots=True)
class RepliedContext:
    """A context with what each system said, and what was said in the dialogue itself if that is known."""

    context_id: str
    turns: Context
    replies: Mapping[str, str]
    original: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to judge.

    Attributes:
        kind: two replies to choose from, or one to label.
        purpose: what it is asked for; "attention" has a right answer, "repeat" was asked before.
        context_id: of the context.
        turns: the context.
        systems: who said the replies, in the order in which they are shown.
        replies: the texts, in the same order.
    """

    kind: Kind
    purpose: Purpose
    context_id: str
    turns: Context
    systems: tuple[str, ...]
    replies: tuple[str, ...]

    @property
    def item_id(self) -> str:
        """The same for all raters, whatever the sides; another text makes another item."""
        sides = sorted(zip(self.systems, self.replies, strict=True))
        return content_id(
            [self.kind, self.purpose, self.context_id, *(text for side in sides for text in side)]
        )


def read_replies(path: Path) -> list[RepliedContext]:
    """Read the replies of several systems to the same contexts.

    One JSON object a line with `context_id`, `turns`, `replies` (text by system) and, where it is known,
    `original`: a report's results.jsonl, or any file like it.

    Raises:
        InputError: a field is missing or malformed, a context stands there twice, the systems are not the
            same everywhere, or there is no context.
    """
    contexts: dict[str, RepliedContext] = {}
    for row in json_rows(numbered_lines(path), str(path)):
        context = _replied_context(row)
        first = next(iter(contexts.values()), context)
        if context.context_id in contexts:
            raise InputError(f"{row.where}: context {context.context_id} a second time; remove one")
        if odd := context.replies.keys() ^ first.replies.keys():
            raise InputError(
                f"{row.where}: {min(odd)!r} replies here or in the first line, not in both; "
                "expected the same systems for every context"
            )
        contexts[context.context_id] = context
    if not contexts:
        raise InputError(f"{path} is empty; expected one context with its replies a line")
    return list(contexts.values())


def _replied_context(row: Row) -> RepliedContext:
    turns, replies = row.texts("turns"), row.inner("replies")
    if not turns:
        raise row.wrong("turns", "one turn or more")
    if not replies.fields:
        raise row.wrong("replies", "the reply of one system or more")
    return RepliedContext(
        row.text("context_id"),
        turns,
        {system: replies.text(system) for system in replies.fields},
        row.text("original") if "original" in row else None,
    )


def choose_systems(parts: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The systems named by a comma-separated list, which was cut at its commas; a name may hold commas itself.

    Raises:
        InputError: one is not among `known`, or is named twice.
    """
    rest = ", ".join(part.strip() for part in parts)
    chosen: list[str] = []
    while rest:
        fitting = [name for name in known if f"{rest}, ".startswith(f"{name}, ")]
        if not fitting:
            raise InputError(f"no system at {rest!r:.60}; expected some of {', '.join(map(repr, known))}")
        name = max(fitting, key=len)
        if name in chosen:
            raise InputError(f"system {name!r} named twice; expected different ones")
        chosen.append(name)
        rest = rest[len(name) + 2 :]
    return tuple(chosen or known)


def draw_items(contexts: Sequence[RepliedContext], config: RateConfig) -> list[Item]:
    """What `config.rater` is shown, in order: first the pairs, then the single replies.

    All raters get the same contexts and pairs; order, sides and repeats are their own, and the same again
    after a restart. Contexts to which both systems say the same are no choice and are left out.

    Raises:
        InputError: a system is unknown, pairs need a second one, or there is nothing to choose between.
    """
    systems = choose_systems(config.systems, list(contexts[0].replies))
    shared = Random(f"{config.seed}")
    drawn = shared.sample(contexts, len(contexts))
    own = Random(f"{config.seed} {config.rater}")
    items: list[Item] = []
    if config.tasks != "absolute":
        pairs = _pairs(drawn, systems, config.items)
        checks = _attention(
            shared.sample(contexts, len(contexts)), round(config.attention * len(pairs)), shared
        )
        items += _with_repeats([_sided(item, own) for item in pairs + checks], config.repeats, own)
    if config.tasks != "pairwise":
        singles = [
            Item("absolute", "main", c.context_id, c.turns, (system,), (c.replies[system],))
            for c in drawn[: config.items]
            for system in systems
        ]
        items += _with_repeats(singles, config.repeats, own)
    return items


def _pairs(contexts: Sequence[RepliedContext], systems: Sequence[str], most: int) -> list[Item]:
    """One pair of systems a context, each pair about as often as the others."""
    pairs = list(combinations(systems, 2))
    if not pairs:
        raise InputError(
            f"one system ({systems[0]!r}), expected two or more to choose between; or --tasks absolute"
        )
    items: list[Item] = []
    for c in contexts:
        a, b = pairs[len(items) % len(pairs)]
        if len(items) < most and c.replies[a] != c.replies[b]:
            items.append(_pair("main", c, {a: c.replies[a], b: c.replies[b]}))
    if not items:
        raise InputError(
            f"{' and '.join(systems)} say the same to all {len(contexts)} contexts; nothing to choose"
        )
    return items


def _attention(contexts: Sequence[RepliedContext], count: int, random: Random) -> list[Item]:
    """Pairs of the human reply and that of another context, as far as human replies are known."""
    known = [(c, c.original) for c in contexts if c.original]
    items = []
    for c, original in known[:count]:
        others = [text for _, text in known if text != original]
        if others:
            items.append(_pair("attention", c, {HUMAN: original, RANDOM: random.choice(others)}))
    return items


def _pair(purpose: Purpose, context: RepliedContext, replies: Mapping[str, str]) -> Item:
    return Item(
        "pairwise", purpose, context.context_id, context.turns, tuple(replies), tuple(replies.values())
    )


def _sided(item: Item, random: Random) -> Item:
    return _swapped(item) if random.random() < 0.5 else item


def _swapped(item: Item, purpose: Purpose | None = None) -> Item:
    return Item(
        item.kind,
        purpose or item.purpose,
        item.context_id,
        item.turns,
        item.systems[::-1],
        item.replies[::-1],
    )


def _with_repeats(items: Sequence[Item], share: float, random: Random) -> list[Item]:
    """The items in random order; some of the first half come again in the second, sides swapped."""
    order = random.sample(items, len(items))
    half = len(order) // 2
    early = [item for item in order[:half] if item.purpose == "main"]
    for item in random.sample(early, min(len(early), round(share * len(items)))):
        order.insert(random.randint(half + 1, len(order)), _swapped(item, "repeat"))
    return order
