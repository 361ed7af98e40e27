"""What holds for a bank after the changes in its log: who is banned, tagged, added. Replaced, never altered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from g2r.bank.log import Change
from g2r.bank.rows import BankContext, BankResponse
from g2r.bank.table import BankTable

_MASKS = 64


@dataclass(frozen=True, slots=True)
class BankState:
    """One moment of a bank: its built rows, then the added ones in the order of the log.

    Attributes:
        banned: (rows,).
        tags: of the rows that have some.
        fresh: the rows that are not as they were built: added ones, and built ones that were given further
            contexts; with the tags they were built with. An index of the built rows lacks the keys of these. The
            same object as long as no row changes.
        added: rows of the added responses, by id.
        forbidden: text of every banned response by id, whether the bank has a row of it (any more) or not;
            "" where the log does not tell.
        revision: how many changes led here.
        masks: what `allowed` made.
    """

    banned: NDArray[np.bool_]
    tags: Mapping[int, frozenset[str]]
    fresh: Mapping[int, BankResponse] = field(default_factory=dict)
    added: Mapping[str, int] = field(default_factory=dict)
    forbidden: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    masks: dict[tuple[frozenset[str], frozenset[str]], NDArray[np.bool_]] = field(
        default_factory=dict, repr=False
    )

    def allowed(self, tags: frozenset[str], without: frozenset[str]) -> NDArray[np.bool_]:
        """The rows that are not banned, carry all of `tags` and none of `without`: (rows,), read-only.

        Made once for each pair of sets.
        """
        asked = (tags, without)
        mask = self.masks.get(asked)
        if mask is None:
            mask = self._mask(*asked)
            mask.setflags(write=False)
            if len(self.masks) >= _MASKS:
                self.masks.clear()
            self.masks[asked] = mask
        return mask

    def _mask(self, tags: frozenset[str], without: frozenset[str]) -> NDArray[np.bool_]:
        allowed = ~self.banned
        if tags:
            tagged = np.zeros(len(allowed), dtype=np.bool_)
            tagged[[row for row, has in self.tags.items() if tags <= has]] = True
            allowed &= tagged
        if without:
            allowed[[row for row, has in self.tags.items() if not without.isdisjoint(has)]] = False
        return allowed


def state_of(built: BankTable) -> BankState:
    """The state before any change."""
    return BankState(np.zeros(len(built), dtype=np.bool_), built.tags())


def replay(state: BankState, changes: Sequence[Change], built: BankTable) -> BankState:
    """The state after `changes`. A ban or tag of a response that has no row here changes no row."""
    fresh, added = dict(state.fresh), dict(state.added)
    tags, forbidden = dict(state.tags), dict(state.forbidden)
    bans: dict[int, bool] = {}
    rows_changed = False
    for change in changes:
        row = added.get(change.response_id, built.find(change.response_id))
        if change.action == "add" and row is None:
            row = added[change.response_id] = len(built) + len(added)
            bans[row] = change.response_id in forbidden
        match change.action:
            case "add" if row is not None:
                before = fresh.get(row, built[row] if row < len(built) else None)
                after = extended(before, change)
                if after != before:
                    fresh[row] = after
                    rows_changed = True
                tags[row] = tags.get(row, frozenset()) | set(change.tags)
            case "ban":
                forbidden[change.response_id] = change.text
            case "unban":
                forbidden.pop(change.response_id, None)
            case "tag" if row is not None:
                tags[row] = tags.get(row, frozenset()) | set(change.tags)
            case "untag" if row is not None:
                tags[row] = tags.get(row, frozenset()) - set(change.tags)
        if change.action in ("ban", "unban") and row is not None:
            bans[row] = change.action == "ban"
    banned = np.zeros(len(built) + len(added), dtype=np.bool_)
    banned[: len(state.banned)] = state.banned
    banned[list(bans)] = list(bans.values())
    return BankState(
        banned,
        {row: has for row, has in tags.items() if has},
        fresh if rows_changed else state.fresh,
        added,
        forbidden,
        state.revision + len(changes),
    )


def extended(response: BankResponse | None, change: Change) -> BankResponse:
    """A response with the contexts and sources that an addition gives it; a new one if there was none."""
    response = response or BankResponse(change.response_id, change.text, ())
    known = {context.turns for context in response.contexts}
    return replace(
        response,
        sources=tuple(sorted({*response.sources, *change.sources})),
        contexts=response.contexts
        + tuple(BankContext(turns) for turns in dict.fromkeys(change.contexts) if turns not in known),
    )
