"""Stepping a person through what was flagged; every decision stands in the bank's log before the next question."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from g2r.bank import Change, ResponseBank
from g2r.vetting.flagging import FlaggedResponse


@dataclass(frozen=True, slots=True)
class Question:
    """A response about which nobody has decided, with all flags on it."""

    response_id: str
    text: str
    flags: tuple[FlaggedResponse, ...]


class Review:
    """The open questions of a bank.

    A response is asked about once: what was banned, or kept in spite of flags of the same labels, is not
    asked about again, in this review or a later one, by whomever. What was skipped is.
    """

    def __init__(self, bank: ResponseBank, flags: Sequence[FlaggedResponse], *, by: str = "") -> None:
        self.bank = bank
        self.by = by
        self._flags: defaultdict[str, list[FlaggedResponse]] = defaultdict(list)
        for flag in flags:
            self._flags[flag.response_id].append(flag)

    def questions(self) -> list[Question]:
        """What is left to decide, in the order of the flags."""
        self.bank.refresh()
        kept: defaultdict[str, set[str]] = defaultdict(set)
        for change in self.bank.log:
            if change.action == "keep":
                kept[change.response_id] |= set(change.tags)
        return [
            Question(response_id, flags[0].text, tuple(flags))
            for response_id, flags in self._flags.items()
            if self.bank.find(response_id) is not None
            and response_id not in self.bank.forbidden
            and not {flag.label for flag in flags} <= kept[response_id]
        ]

    def keep(self, question: Question, *tags: str) -> None:
        """Leave a response in the bank, with `tags` put on it.

        Raises:
            InputError: a tag is blank or holds a comma; nothing is decided.
            ArtifactError: the log cannot be written.
        """
        if tags:
            self.bank.tag(question.response_id, *tags, by=self.by)
        labels = tuple(sorted({flag.label for flag in question.flags}))
        self.bank.record([Change("keep", question.response_id, "review", tags=labels, by=self.by)])

    def ban(self, question: Question) -> None:
        """Ban a response, with its flags as the reason."""
        reason = "; ".join(f"{flag.label}: {flag.reason}" for flag in question.flags)
        self.bank.ban(question.response_id, f"review: {reason}", by=self.by)
