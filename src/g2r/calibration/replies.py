"""Replies of a bot to held-out contexts, each with its signals and a judge score."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2r.bot import Bot
from g2r.confidence import Signals, signals_of
from g2r.dialogue import Candidate, Context, Example, Scores, clean_text, content_id
from g2r.errors import InputError, TeacherError
from g2r.journal import Journal, journalled
from g2r.progress import Progress, silent
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines
from g2r.teachers import Teacher
from g2r.teachers.base import identity

CONTEXTS_PER_UNIT = 64
_RATER = "rated"


@dataclass(frozen=True, slots=True)
class RatedReply:
    """What the bot knew of a reply, and the judge score (0 to 10) that the reply got."""

    signals: Signals
    score: float


@dataclass(frozen=True, slots=True)
class RatedReplies:
    """Rated replies in the order of their contexts, with counts of what was answered and left out."""

    items: tuple[RatedReply, ...]
    counts: Mapping[str, int]


def draw_contexts(examples: Sequence[Example], *, split: str, contexts: int, seed: int = 0) -> list[Context]:
    """At most so many contexts of a split, one a dialogue, in an order drawn by `seed`.

    Contexts of one dialogue are alike; bounds hold for independent ones.

    Raises:
        InputError: the split has none.
    """
    drawn: dict[str, tuple[str, Context]] = {}
    for example in examples:
        if example.split == split:
            unit, place = example.dialogue_id or example.context_id, _place(seed, example.context_id)
            drawn[unit] = min(drawn.get(unit, (place, example.context)), (place, example.context))
    if not drawn:
        raise InputError(f"none of {len(examples)} examples is of split {split}; choose another with --split")
    order = sorted(drawn, key=lambda unit: _place(seed, unit))
    return [drawn[unit][1] for unit in order[:contexts]]


def _place(seed: int, name: str) -> str:
    return content_id([str(seed), name])


def read_ratings(path: Path) -> list[Example]:
    """Read replies rated by people or a model: JSON Lines of {"turns", "text", "score"}.

    Returns an example a context, its candidates with the mean of their ratings as judge score.

    Raises:
        InputError: the file cannot be read, a field is missing or malformed, or a score is not 0 to 10.
    """
    ratings: defaultdict[Context, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in json_rows(numbered_lines(path), str(path)):
        turns = tuple(clean_text(turn) for turn in row.texts("turns"))
        score = row.number("score")
        if not turns or not turns[-1]:
            raise row.wrong("turns", "the turns so far, the last one said by the partner")
        if not 0 <= score <= 10:
            raise row.wrong("score", "a rating from 0 to 10")
        ratings[turns][clean_text(row.text("text"))].append(score)
    return [
        Example(
            turns,
            tuple(
                Candidate(text, _RATER, scores=Scores(judge=sum(given) / len(given)))
                for text, given in own.items()
            ),
        )
        for turns, own in ratings.items()
    ]


def rate_replies(
    bot: Bot,
    contexts: Sequence[Context],
    teacher: Teacher,
    *,
    journal: Path | None = None,
    progress: Progress = silent,
) -> RatedReplies:
    """Let the bot answer, whether it would abstain or not, and the teacher judge what it says.

    Args:
        journal: file that keeps finished work; a killed run goes on from there.
        progress: told of finished contexts.

    Raises:
        TeacherError: the teacher is no judge, or gave no rating of any reply.
    """
    if "judge" not in teacher.score_kinds:
        raise TeacherError(
            f"teacher {teacher.name} gives no judge scores, which tell good replies from bad ones; choose a "
            "judge, a record with ratings, an endpoint with teacher.score: judge, or --ratings FILE"
        )
    units = [contexts[i : i + CONTEXTS_PER_UNIT] for i in range(0, len(contexts), CONTEXTS_PER_UNIT)]
    header = {
        "stage": "calibrate",
        "teacher": identity(teacher),
        "origin": bot.origin.model_dump(mode="json"),
        "revision": bot.bank.revision,
        "contexts": content_id([content_id(context) for context in contexts]),
    }

    def work(_: int, unit: Sequence[Context]) -> list[dict[str, Any] | None]:
        return _rate(bot, unit, teacher)

    counts = {"contexts": len(contexts), "answered": 0, "rated": 0}
    rated: list[RatedReply] = []
    stored = Journal(journal, header=header) if journal else None
    for number, group in enumerate(journalled(units, work, journal=stored)):
        answered = [values for values in group if values is not None]
        counts["answered"] += len(answered)
        rated += [RatedReply(**values) for values in answered if values["score"] is not None]
        progress(min((number + 1) * CONTEXTS_PER_UNIT, len(contexts)), len(contexts))
    if not rated:
        raise TeacherError(
            f"teacher {teacher.name} rated none of {counts['answered']} replies; a record can only rate the "
            "replies that stand in it: rate this bot's own"
        )
    return RatedReplies(tuple(rated), {**counts, "rated": len(rated)})


def _rate(bot: Bot, contexts: Sequence[Context], teacher: Teacher) -> list[dict[str, Any] | None]:
    """Signals and judge score of each reply as JSON values; None where the rules left no candidate."""
    shown = [reply.candidates for reply in bot.reply_batch(contexts, candidates=2)]
    texts = [[candidates[0].text] if candidates else [] for candidates in shown]
    scores = teacher.score(contexts, texts)
    return [
        {"signals": signals_of(candidates), "score": own[0].judge} if candidates else None
        for candidates, own in zip(shown, scores, strict=True)
    ]
