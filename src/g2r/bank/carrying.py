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
_CONTRARY = {"ban": "unban", "unban": "ban", "tag": "untag", "untag": "tag"}


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
    if not forbidden:
        return []
    return bans_of_like(
        [built.response_id(row) for row in range(len(built))], built.texts, forbidden, changes
    )


def bans_of_like(
    response_ids: Sequence[str], texts: Sequence[str], forbidden: Mapping[str, str], changes: Iterable[Change]
) -> list[Change]:
    """Bans for those of some responses that are near duplicates of forbidden texts, as `near_duplicate_bans`."""
    decided = decided_on(changes)
    return [
        Change("ban", response_ids[place], f"near duplicate of banned {banned}", text=texts[place])
        for place, banned in like_forbidden(texts, forbidden).items()
        if response_ids[place] not in decided
    ]


def handed_over(changes: Iterable[Change], there: Sequence[Change]) -> list[Change]:
    """Of the changes to one bank those that another one lacks, whose own changes are `there`, in order.

    Left out are those whose contrary stands there with a later date.
    """
    dates: defaultdict[tuple[str, str, tuple[str, ...]], str] = defaultdict(str)
    for change in there:  # not ordered by date: what was carried stands after what was decided later
        made = (change.response_id, change.action, change.tags)
        dates[made] = max(dates[made], change.at)
    return [
        change
        for change in not_among(changes, there)
        if dates.get((change.response_id, _CONTRARY.get(change.action, ""), change.tags), "") <= change.at
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
