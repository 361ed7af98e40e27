"""Flags on the responses of a bank: in a file beside its log, or turned into bans at a build."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from g2r.artifacts import replacing
from g2r.bank import Change, ResponseBank
from g2r.bank.carrying import decided_on
from g2r.errors import ArtifactError
from g2r.progress import Progress, silent
from g2r.vetting.base import Classifier

FLAGS_FILE = "flags.jsonl"
BY = "vetting"


@dataclass(frozen=True, slots=True)
class FlaggedResponse:
    """One flag on one response: a line of flags.jsonl; `classifier` is the name of who raised it."""

    response_id: str
    text: str
    classifier: str
    label: str
    score: float
    reason: str


def vet(
    bank: ResponseBank, classifiers: Sequence[Classifier], *, progress: Progress = silent
) -> list[FlaggedResponse]:
    """Show every response that is not banned to the classifiers; return what they flag, in order of rows."""
    banned = bank.banned
    rows = [row for row in range(len(bank)) if not banned[row]]
    texts = [bank.text(row) for row in rows]
    found: list[tuple[int, FlaggedResponse]] = []
    for number, classifier in enumerate(classifiers, 1):
        for row, text, flags in zip(rows, texts, classifier.flags(texts), strict=True):
            found += [
                (
                    row,
                    FlaggedResponse(
                        bank.response_id(row), text, classifier.name, flag.label, flag.score, flag.reason
                    ),
                )
                for flag in flags
            ]
        progress(number, len(classifiers), note=classifier.name)
    return [flagged for _, flagged in sorted(found, key=lambda each: each[0])]


def write_flags(folder: Path, flags: Sequence[FlaggedResponse], *, of: Sequence[str]) -> None:
    """Write the flags that the classifiers named `of` raised in place of their earlier ones; others' stay.

    Raises:
        ArtifactError: the file there cannot be read, or the place cannot be written.
    """
    kept = [flag for flag in read_flags(folder) if flag.classifier not in of]
    lines = [json.dumps(asdict(flag), ensure_ascii=False) + "\n" for flag in [*kept, *flags]]
    with replacing(folder / FLAGS_FILE) as new:
        new.write_text("".join(lines), encoding="utf-8")


def read_flags(folder: Path) -> list[FlaggedResponse]:
    """The flags in a bank's folder; none if nothing was vetted.

    Raises:
        ArtifactError: a line is no flag.
    """
    path = folder / FLAGS_FILE
    if not path.is_file():
        return []
    flags = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        try:
            flags += [FlaggedResponse(**json.loads(line))] if line else []
        except (ValueError, TypeError) as error:
            raise ArtifactError(
                f"{path}, line {number}, is no flag ({error}); run g2r bank vet again"
            ) from error
    return flags


def ban_flagged(bank: ResponseBank, classifiers: Sequence[Classifier]) -> Mapping[str, int]:
    """Ban what the classifiers flag, with the reason in the log; return how many by label.

    A response about which the log holds a decision (banned, allowed again, kept) is left as it is.
    """
    decided = decided_on(bank.log)
    reasons: dict[str, list[FlaggedResponse]] = {}
    for flag in vet(bank, classifiers):
        if flag.response_id not in decided:
            reasons.setdefault(flag.response_id, []).append(flag)
    bank.record(
        [
            Change(
                "ban", response_id, "; ".join(f"{f.classifier}: {f.label}, {f.reason}" for f in flags), by=BY
            )
            for response_id, flags in reasons.items()
        ]
    )
    counts = Counter(f"flagged {label}" for flags in reasons.values() for label in {f.label for f in flags})
    return {"banned by vetting": len(reasons), **dict(sorted(counts.items()))}
