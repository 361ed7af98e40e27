"""What outlives a rebuild: bans reach the near duplicates of what was banned, additions join the rows."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from g2r.bank.log import Change
from g2r.bank.rows import BankResponse
from g2r.bank.state import BankState
from g2r.bank.table import BankTable
from g2r.duplicates import likeness, near_duplicate_groups

SAME_RESPONSE = 0.85
"""Jaccard likeness from which a response counts as one that was banned."""


def like_forbidden(texts: Sequence[str], forbidden: Mapping[str, str]) -> dict[int, str]:
    """The places in `texts` of near duplicates of forbidden texts, each with the id of the forbidden one.

    Compared one to one (`g2r.duplicates.likeness`), never by a chain of others.
    """
    known = {response_id: text for response_id, text in forbidden.items() if text}
    if not known or not texts:
        return {}
    ids = list(known)
    groups = near_duplicate_groups([*texts, *known.values()], SAME_RESPONSE)
    by_group: defaultdict[int, list[str]] = defaultdict(list)
    for response_id, group in zip(ids, groups[len(texts) :], strict=True):
        by_group[group].append(response_id)
    found = {}
    for place, group in enumerate(groups[: len(texts)]):
        for response_id in by_group.get(group, ()):
            if likeness(texts[place], known[response_id]) >= SAME_RESPONSE:
                found[place] = response_id
                break
    return found


def decided_on(changes: Iterable[Change]) -> frozenset[str]:
    """The ids of the responses that were banned, allowed again or kept: no rebuild decides about them anew."""
    return frozenset(change.response_id for change in changes if change.action in ("ban", "unban", "keep"))


def near_duplicate_bans(
    built: BankTable, forbidden: Mapping[str, str], changes: Iterable[Change]
) -> list[Change]:
    """Bans for the rows that are near duplicates of forbidden texts.

    A response about which `changes` hold a decision is left as it is.
    """
    decided = decided_on(changes)
    if not forbidden:
        return []
    texts = built.texts
    return [
        Change("ban", built.response_id(row), f"near duplicate of banned {banned}", text=texts[row])
        for row, banned in like_forbidden(texts, forbidden).items()
        if built.response_id(row) not in decided
    ]


def folded(built: BankTable, state: BankState) -> list[BankResponse]:
    """The responses of a bank with what was added to it among them, as rows of a new one."""
    return [state.fresh[row] if row in state.fresh else built[row] for row in range(len(state.banned))]


def not_among(changes: Iterable[Change], others: Iterable[Change]) -> list[Change]:
    """The changes that `others` lack, in order; one that was made twice is needed twice."""
    there = Counter(others)
    missing = []
    for change in changes:
        if there[change]:
            there[change] -= 1
        else:
            missing.append(change)
    return missing
