"""Growth: what the bot had no reply to becomes proposals for its bank, and the accepted ones join it.

The teacher writes responses to the logged conversations, a judge rates them, and what is left waits in a file
for a person. Nothing is served from the bank before it is accepted.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from g2r.artifacts import replacing
from g2r.bank import ResponseBank, addition
from g2r.bank.carrying import like_forbidden
from g2r.config import GenerateConfig, GrowConfig
from g2r.dialogue import Candidate, Context, Example
from g2r.duplicates import near_duplicate_groups
from g2r.errors import InputError
from g2r.generation import generate
from g2r.misses import Miss
from g2r.progress import Progress, silent
from g2r.reading.entries import Row
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines
from g2r.scoring import score
from g2r.teachers import Teacher

REASON = "grown from misses"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A response that may join the bank.

    Attributes:
        text: what would be said.
        contexts: conversations without a reply that it answers.
        score: the judge's rating, the best of all contexts; None if nobody rated it.
        sources: who wrote it.
        accepted: what a person decided; None if nobody has.
    """

    text: str
    contexts: tuple[Context, ...]
    score: float | None = None
    sources: tuple[str, ...] = ()
    accepted: bool | None = None

    def passes(self, over: float | None) -> bool:
        """Whether it may be served: accepted, or undecided and rated `over` or more where that is allowed."""
        if self.accepted is None:
            return over is not None and self.score is not None and self.score >= over
        return self.accepted


@dataclass(frozen=True, slots=True)
class Proposals:
    """Proposals, best rated first, with counts of what was read, written, kept and dropped, and why."""

    items: tuple[Proposal, ...]
    counts: Mapping[str, int]


def missed_examples(
    misses: Iterable[Miss], *, known: Iterable[Context] = ()
) -> tuple[list[Example], dict[str, int]]:
    """Each distinct conversation once, with what an LLM answered as candidates, and counts of the misses.

    Args:
        known: conversations that need no response any more.

    Raises:
        InputError: no miss has its conversation.
    """
    done = set(known)
    counts: Counter[str] = Counter({"misses": 0, "without text": 0, "answered since": 0, "contexts": 0})
    proposed: defaultdict[Context, dict[str, Candidate]] = defaultdict(dict)
    for miss in misses:
        counts["misses"] += 1
        counts["without text"] += not miss.turns
        counts["answered since"] += miss.turns in done
        if miss.turns and miss.turns not in done:
            own = proposed[miss.turns]
            if miss.proposed:
                own[miss.proposed] = Candidate(miss.proposed, miss.source)
    if counts["misses"] == counts["without text"]:
        raise InputError(
            f"{counts['misses']} misses, none with its conversation; serve with --grow, which keeps them"
        )
    counts["contexts"] = len(proposed)
    return [Example(context, tuple(own.values())) for context, own in proposed.items()], dict(counts)


def propose(
    misses: Iterable[Miss],
    bank: ResponseBank,
    teacher: Teacher,
    *,
    judge: Teacher | None = None,
    settings: GrowConfig | None = None,
    proposed: Sequence[Proposal] = (),
    journals: Path | None = None,
    progress: Progress = silent,
) -> Proposals:
    """Write responses to what was missed, rate them, and keep what is new and good enough.

    Args:
        misses: of the bot whose bank this is.
        teacher: who writes; it rates too if it can and there is no `judge`.
        proposed: earlier proposals, whose conversations are not asked for again.
        journals: folder that keeps finished work; a killed run goes on from there. Delete it when the result is safe.
        progress: told of finished conversations.

    Raises:
        InputError: no miss has its conversation, or there are `max_proposals` already.
        TeacherError: the teacher or the judge failed.
    """
    settings = settings or GrowConfig()
    if len(proposed) >= settings.max_proposals:
        raise InputError(
            f"{len(proposed)} proposals already, at most max_proposals={settings.max_proposals}; review them, take "
            "decided ones out of the file, and move misses away that were answered"
        )
    judge = judge or (teacher if "judge" in teacher.score_kinds else None)
    known = {context.turns for response in bank for context in response.contexts}
    known |= {context for proposal in proposed for context in proposal.contexts}
    examples, counts = missed_examples(misses, known=known)
    if not examples:
        return Proposals((), counts)
    writing = GenerateConfig(**{name: getattr(settings, name) for name in GenerateConfig.model_fields})
    written = generate(
        examples,
        teacher,
        settings=writing,
        journal=journals and journals / "written.jsonl",
        progress=progress,
    )
    rated = written
    if judge:
        rated = score(written, judge, scores=("judge",), journal=journals and journals / "rated.jsonl")
    uses = [_Use(candidate, example.context) for example in rated for candidate in example.candidates]
    counts |= {"written": len(uses)}
    kept, dropped = _worth(uses, bank, settings, rated=judge is not None)
    items = _merged(kept, settings.near_duplicates)
    return Proposals(items, {**counts, **dropped, "proposals": len(items)})


@dataclass(frozen=True, slots=True)
class _Use:
    """A candidate in its context."""

    candidate: Candidate
    context: Context

    @property
    def rating(self) -> float:
        judge = self.candidate.scores.judge
        return -1.0 if judge is None else judge


def _worth(
    uses: Sequence[_Use], bank: ResponseBank, settings: GrowConfig, *, rated: bool
) -> tuple[list[_Use], dict[str, int]]:
    """What is rated well enough and is no near duplicate of a response of the bank, banned ones included."""
    counts = {"rated low": 0, "banned": 0, "in the bank": 0}
    good = [use for use in uses if not rated or use.rating >= settings.min_judge]
    counts["rated low"] = len(uses) - len(good)
    banned = like_forbidden([use.candidate.text for use in good], bank.forbidden)
    counts["banned"] = len(banned)
    allowed = [use for place, use in enumerate(good) if place not in banned]
    texts = [use.candidate.text for use in allowed]
    groups = near_duplicate_groups([*texts, *bank.texts], settings.near_duplicates)
    there = set(groups[len(texts) :])
    new = [use for use, group in zip(allowed, groups, strict=False) if group not in there]
    counts["in the bank"] = len(allowed) - len(new)
    return new, counts


def _merged(uses: Sequence[_Use], threshold: float) -> tuple[Proposal, ...]:
    """One proposal of near-duplicate texts: the best rated one, for the contexts of all; best rated first."""
    groups: defaultdict[int, list[_Use]] = defaultdict(list)
    numbers = near_duplicate_groups([use.candidate.text for use in uses], threshold)
    for use, number in zip(uses, numbers, strict=True):
        groups[number].append(use)
    found = []
    for group in groups.values():
        best_first = sorted(group, key=lambda use: -use.rating)
        best = best_first[0].candidate
        found.append(
            Proposal(
                text=best.text,
                contexts=tuple(dict.fromkeys(use.context for use in best_first)),
                score=best.scores.judge,
                sources=tuple(sorted({use.candidate.source for use in group})),
            )
        )
    return tuple(sorted(found, key=lambda p: (-1.0 if p.score is None else -p.score, p.text)))


def accept(
    bank: ResponseBank, proposals: Sequence[Proposal], *, over: float | None = None, by: str = ""
) -> dict[str, int]:
    """Add the accepted proposals to the bank, each with its contexts as keys; return what was done.

    They are in the bank's log, on disk, when this returns; a running server says them from its next reply on.

    Args:
        over: take undecided proposals too that were rated so high, without review.
        by: who adds them, for the log.

    Raises:
        ArtifactError: the log cannot be written; nothing is added.
    """
    passing = [proposal for proposal in proposals if proposal.passes(over)]
    banned = like_forbidden([proposal.text for proposal in passing], bank.forbidden)
    taken = [proposal for place, proposal in enumerate(passing) if place not in banned]
    size, changes = len(bank), bank.revision
    bank.record([addition(p.text, p.contexts, sources=p.sources, reason=REASON, by=by) for p in taken])
    return {
        "proposals": len(proposals),
        "accepted": len(passing),
        "undecided": sum(p.accepted is None and not p.passes(over) for p in proposals),
        "banned": len(banned),
        "changes": bank.revision - changes,
        "new": len(bank) - size,
    }


def write_proposals(path: Path, proposals: Iterable[Proposal]) -> None:
    """Write proposals as JSON Lines, whole or not at all.

    Raises:
        ArtifactError: the place cannot be written.
    """
    with replacing(path) as new, new.open("w", encoding="utf-8") as handle:
        for proposal in proposals:
            handle.write(json.dumps(asdict(proposal), ensure_ascii=False) + "\n")


def read_proposals(path: Path) -> list[Proposal]:
    """Read proposals, with what people decided.

    Raises:
        InputError: the file cannot be read, or a field is missing or malformed.
    """
    return [_proposal(row) for row in json_rows(numbered_lines(path), str(path))]


def _proposal(row: Row) -> Proposal:
    accepted: Any = row.fields.get("accepted")
    if not isinstance(accepted, bool | None):
        raise row.wrong("accepted", "true, false, or null while nobody has decided")
    text, contexts = row.text("text"), row.text_lists("contexts")
    if not text.strip():
        raise row.wrong("text", "a response to say")
    if any(not turns or not turns[-1].strip() for turns in contexts):
        raise row.wrong("contexts", "lists of turns, none empty")
    return Proposal(
        text,
        contexts,
        row.number("score") if "score" in row else None,
        row.texts("sources"),
        accepted,
    )


def decided(proposals: Sequence[Proposal], place: int, accepted: bool) -> list[Proposal]:
    """The proposals with a decision about one of them."""
    return [replace(p, accepted=accepted) if i == place else p for i, p in enumerate(proposals)]
