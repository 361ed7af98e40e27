"""Finding responses of a bank: by id, by text, by what they carry."""

from dataclasses import dataclass

from g2r.bank.responses import ResponseBank
from g2r.bank.rows import ADDED, BankResponse
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

    def takes(self, response: BankResponse, *, banned: bool) -> bool:
        """Whether a response is meant, its place in the bank aside."""
        return (
            self.tags <= response.tags
            and self.without.isdisjoint(response.tags)
            and (not self.sources or not self.sources.isdisjoint(response.sources))
            and (self.banned is None or self.banned == banned)
            and self.contains.casefold() in response.text.casefold()
        )


def rows_of(bank: ResponseBank, wanted: Wanted) -> list[int]:
    """The rows of the responses that are meant, ascending."""
    banned, fresh = bank.banned, bank.fresh
    return [
        row
        for row, response in enumerate(bank)
        if (not wanted.added or row in fresh or ADDED in response.sources)
        and wanted.takes(response, banned=bool(banned[row]))
    ]


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
