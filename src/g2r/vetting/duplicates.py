"""Clusters of responses that say nearly the same: one of each is enough."""

from collections import defaultdict
from collections.abc import Sequence

from g2r.duplicates import likeness, near_duplicate_groups
from g2r.vetting.base import Flag


class NearDuplicates:
    """Flags each text that is like an earlier one, all but the first of a cluster.

    Attributes:
        threshold: Jaccard likeness (`g2r.duplicates.likeness`) from which two texts are in one cluster.
    """

    name = "duplicates"

    def __init__(self, threshold: float = 0.7) -> None:
        self.threshold = threshold

    def flags(self, texts: Sequence[str]) -> list[list[Flag]]:
        flags: list[list[Flag]] = [[] for _ in texts]
        for cluster in clusters(texts, self.threshold):
            first = texts[cluster[0]]
            for place in cluster[1:]:
                alike = likeness(first, texts[place])
                flags[place].append(Flag("near duplicate", round(alike, 3), f"says nearly {first!r}"))
        return flags


def clusters(texts: Sequence[str], threshold: float) -> list[list[int]]:
    """The places of near duplicates, cluster by cluster, largest first; texts alone in theirs are left out.

    Raises:
        ConfigError: the threshold is not over 0 and at most 1.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(near_duplicate_groups(texts, threshold)):
        members[group].append(place)
    return sorted((c for c in members.values() if len(c) > 1), key=lambda c: (-len(c), c[0]))
