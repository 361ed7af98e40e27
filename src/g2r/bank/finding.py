"""Finding responses of a bank: by id, by text, by what they carry."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2r.bank.responses import ResponseBank
from g2r.bank.rows import ADDED
from g2r.bank.state import BankState
from g2r.duplicates import jaccard, normal_form, shingles
from g2r.errors import InputError

_SHORTEST_PREFIX = 4
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which responses are meant: those that pass all that is asked.

    Attributes:
        tags: carrying all of them.
        without: carrying none of them.
        sources: written by one of them; any if empty.
        banned: banned ones, ones that are not, or both (None).
        added: only those that were added after the bank was built, or given contexts then.
        contains: their text holds this, whatever the case.
    """

    tags: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    banned: bool | None = None
    added: bool = False
    contains: str = ""


def rows_of(bank: ResponseBank, wanted: Wanted) -> list[int]:
    """The rows of the responses that are meant, ascending.

    What costs little is looked at first: of a large bank few responses are read with their provenance.
    """
    held = bank.state
    rows = [int(row) for row in np.flatnonzero(_fitting(held, wanted))]
    if wanted.contains:
        letters, texts = wanted.contains.casefold(), bank.texts
        rows = [row for row in rows if letters in texts[row].casefold()]
    if wanted.sources:
        rows = [row for row in rows if not wanted.sources.isdisjoint(bank[row].sources)]
    if wanted.added:
        rows = [row for row in rows if row in held.fresh or ADDED in bank[row].sources]
    return rows


def _fitting(held: BankState, wanted: Wanted) -> NDArray[np.bool_]:
    """Which rows fit by ban and tags: (responses,)."""
    fitting = (
        np.ones(len(held.banned), dtype=np.bool_) if wanted.banned is None else held.banned == wanted.banned
    )
    if wanted.tags:
        tagged = np.zeros(len(fitting), dtype=np.bool_)
        tagged[[row for row, has in held.tags.items() if wanted.tags <= has]] = True
        fitting &= tagged
    if wanted.without:
        fitting[[row for row, has in held.tags.items() if not wanted.without.isdisjoint(has)]] = False
    return fitting


def resolve(bank: ResponseBank, name: str) -> str:
    """Return the id of the response that a person means: its id, the beginning of it, or its text.

    Texts are compared by their normal form. A banned response that has no row any more is known by its id.

    Raises:
        InputError: no response or several are meant; the message names the nearest.
    """
    if bank.find(name) is not None or name in bank.forbidden:
        return name
    ids = [bank.response_id(row) for row in range(len(bank))]
    begun = [i for i in ids if len(name) >= _SHORTEST_PREFIX and i.startswith(name.lower())]
    form = normal_form(name)
    meant = begun or [i for i, text in zip(ids, bank.texts, strict=True) if normal_form(text) == form]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise InputError(
            f"{name!r} means {len(meant)} responses: {_listed(bank, meant)}; name one of them by its id"
        )
    raise InputError(
        f"no response {name!r} among the {len(bank)} of this bank; nearest: {_listed(bank, _nearest(bank, name))}; "
        "g2r bank list --contains WORD shows ids"
    )


def _nearest(bank: ResponseBank, text: str) -> list[str]:
    grams = shingles(text)
    alike = [(-jaccard(grams, shingles(other)), row) for row, other in enumerate(bank.texts)]
    return [bank.response_id(row) for _, row in sorted(alike)[:_NEAREST]]


def _listed(bank: ResponseBank, response_ids: list[str]) -> str:
    shown = [f"{i} ({bank.text(bank.row(i))!r:.60})" for i in response_ids[:_NEAREST]]
    return ", ".join(shown) + (", ..." if len(response_ids) > _NEAREST else "")
