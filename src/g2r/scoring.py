"""Model-level G2R: a teacher's scores of every candidate (METHOD: Model-level)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from g2r.config import ScoreConfig, parse_config
from g2r.dialogue import NO_SCORES, Candidate, Context, Example, Examples, Scores, content_id
from g2r.errors import TeacherError
from g2r.journal import Journal, journalled
from g2r.progress import Progress, silent
from g2r.teachers.base import Teacher, identity, own_likelihoods_differ

CONTEXTS_PER_UNIT = 64
"""Contexts whose candidates are scored between two writes to the journal."""

RESPONSES_PER_UNIT = 512
"""Responses scored without a context between two writes to the journal."""

_MADE_FROM = {"ll": "ll", "mi": "ll", "judge": "judge"}
_FIELDS = {"ll": ("ll_sum", "tokens", "mi"), "judge": ("judge",)}
_EMPTY: Context = ()

_Key = tuple[str, str]
"""Context id and text of a candidate."""


@dataclass(frozen=True, slots=True)
class _Request:
    """Texts to score after one context, each once."""

    context: Context
    texts: tuple[str, ...]


def score(
    examples: Sequence[Example],
    teacher: Teacher,
    *,
    settings: ScoreConfig | None = None,
    journal: Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Examples:
    """Return the examples with the teacher's scores of every candidate.

    LL is kept as sum and token count; MI(r, c) = LL(r | c) - LL(r | empty context), in nats per token, the
    second term computed once per distinct response. What the teacher wrote itself and scored as it wrote is
    not scored again, unless the two would not compare (`own_likelihoods_differ`) and others stand in its
    list; scores of these kinds that stem from elsewhere are replaced. A text that stands twice
    among the candidates of a context stays once, with its best score (METHOD: the loss, demand 3).

    `counts` says how many candidates were scored, of how many the teacher knew nothing, how many had its
    scores already, and how many duplicates were merged.

    Args:
        examples: contexts with their candidates.
        teacher: who scores.
        settings: which scores; `options` change single fields of it (`scores=("judge",)`).
        journal: file that keeps finished work. A run killed at any moment goes on from there and ends with
            the same examples as one that was not. Delete it when the result is safe.
        progress: told of finished contexts, then of responses scored without a context.

    Raises:
        TeacherError: the teacher cannot give what is asked for, gave scores of the wrong number or none at
            all, or ones that are not finite.
        ConfigError: an unknown option or a value out of range.
        ArtifactError: the journal cannot be written.
    """
    settings = parse_config(
        ScoreConfig, {**(settings.model_dump() if settings else {}), **options}, where="score"
    )
    _check_kinds(teacher, settings.scores)
    merged = [merge_duplicates(example) for example in examples]
    own = [_forget_others(example, teacher, settings.scores) for example in merged]
    units = _slices(_requests(own, settings.scores), CONTEXTS_PER_UNIT)
    header = {
        "stage": "score",
        "teacher": identity(teacher),
        "settings": settings.model_dump(mode="json"),
        "examples": content_id([content_id(repr(example)) for example in own]),
    }
    stored = Journal(journal, header=header) if journal else None
    found = _score_after_context(teacher, units, stored, progress)
    if found and not any(scores != NO_SCORES for scores in found.values()):
        raise TeacherError(
            f"teacher {teacher.name} gave no score for any of {len(found)} candidates; expected "
            f"{', '.join(settings.scores)}: is it the teacher of these dialogues?"
        )
    scored = [_with_found(example, found) for example in own]
    if "mi" in settings.scores:
        texts = sorted({c.text for example in scored for c in example.candidates if _lacks_mi(c.scores)})
        alone = _score_alone(teacher, texts, stored, len(units), progress)
        scored = [_with_mi(example, alone) for example in scored]
    return Examples(tuple(scored), _counts(examples, scored, found))


def merge_duplicates(example: Example) -> Example:
    """Return the example with each text once: said in the dialogue if any of its copies was, best scores."""
    copies: dict[str, list[Candidate]] = {}
    for candidate in example.candidates:
        copies.setdefault(candidate.text, []).append(candidate)
    candidates = []
    for group in copies.values():
        first = next((c for c in group if c.original), group[0])
        candidates.append(replace(first, scores=reduce(_best, (c.scores for c in group))))
    return replace(example, candidates=tuple(candidates))


def _best(a: Scores, b: Scores) -> Scores:
    """The higher score of each kind; the sum and token count of an LL stay together."""
    higher = max((a, b), key=lambda s: -math.inf if s.ll is None else s.ll)
    return Scores(
        ll_sum=higher.ll_sum,
        tokens=higher.tokens,
        mi=max((s.mi for s in (a, b) if s.mi is not None), default=None),
        judge=max((s.judge for s in (a, b) if s.judge is not None), default=None),
    )


def _check_kinds(teacher: Teacher, wanted: Sequence[str]) -> None:
    given = teacher.score_kinds
    possible = [kind for kind, source in _MADE_FROM.items() if source in given]
    missing = [kind for kind in wanted if kind not in possible]
    if missing:
        left = f"set scores to {' or '.join(possible)}" if possible else "it gives no scores at all"
        raise TeacherError(
            f"teacher {teacher.name} cannot give {', '.join(missing)}; {left}, or choose another teacher"
        )


def _forget_others(example: Example, teacher: Teacher, wanted: Sequence[str]) -> Example:
    """Take away the wanted kinds of score that are not the teacher's, or not comparable in this list."""
    kinds = {_MADE_FROM[kind] for kind in wanted}
    forgotten: dict[str, Any] = {field: None for kind in kinds for field in _FIELDS[kind]}
    mixed = own_likelihoods_differ(teacher) and any(c.source != teacher.name for c in example.candidates)
    candidates = tuple(
        c if c.source == teacher.name and not mixed else replace(c, scores=replace(c.scores, **forgotten))
        for c in example.candidates
    )
    return replace(example, candidates=candidates)


def _requests(examples: Sequence[Example], wanted: Sequence[str]) -> list[_Request]:
    """What must be scored, longest contexts first: the order depends on the examples alone."""
    kinds = {_MADE_FROM[kind] for kind in wanted}
    texts: dict[Context, dict[str, None]] = {}
    for example in examples:
        for candidate in example.candidates:
            if any(getattr(candidate.scores, _FIELDS[kind][0]) is None for kind in kinds):
                texts.setdefault(example.context, {})[candidate.text] = None
    order = sorted(texts, key=lambda context: (-sum(map(len, context)), content_id(context)))
    return [_Request(context, tuple(texts[context])) for context in order]


def _slices(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _score_after_context(
    teacher: Teacher,
    units: Sequence[Sequence[_Request]],
    journal: Journal | None,
    progress: Progress,
) -> dict[_Key, Scores]:
    def work(_: int, unit: Sequence[_Request]) -> list[list[dict[str, Any]]]:
        return _ask(teacher, unit)

    found: dict[_Key, Scores] = {}
    done, total = 0, sum(map(len, units))
    for unit, groups in zip(units, journalled(units, work, journal=journal), strict=True):
        for request, group in zip(unit, groups, strict=True):
            context_id = content_id(request.context)
            found |= {
                (context_id, text): Scores(**values)
                for text, values in zip(request.texts, group, strict=True)
            }
        done += len(unit)
        progress(done, total)
    return found


def _score_alone(
    teacher: Teacher, texts: Sequence[str], journal: Journal | None, after: int, progress: Progress
) -> dict[str, float]:
    """LL(r) of each text, nats per token: scored after the empty context."""
    units = _slices(texts, RESPONSES_PER_UNIT)

    def work(_: int, unit: Sequence[str]) -> list[dict[str, Any]]:
        return _ask(teacher, [_Request(_EMPTY, tuple(unit))])[0]

    alone: dict[str, float] = {}
    for unit, group in zip(units, journalled(units, work, journal=journal, after=after), strict=True):
        for text, values in zip(unit, group, strict=True):
            ll = Scores(**values).ll
            if ll is None:
                raise TeacherError(
                    f"teacher {teacher.name} gave no LL of {text!r:.80} without a context, so no MI can be "
                    "computed; set scores to ll"
                )
            alone[text] = ll
        progress(len(alone), len(texts), note="without context")
    return alone


def _ask(teacher: Teacher, requests: Sequence[_Request]) -> list[list[dict[str, Any]]]:
    """The teacher's scores as JSON values, checked: as many as asked for, and finite."""
    groups = teacher.score([r.context for r in requests], [r.texts for r in requests])
    got, expected = [len(group) for group in groups], [len(r.texts) for r in requests]
    if got != expected:
        raise TeacherError(
            f"teacher {teacher.name} gave {got!r:.60} scores, expected {expected!r:.60}, one for each response"
        )
    for request, group in zip(requests, groups, strict=True):
        for text, scores in zip(request.texts, group, strict=True):
            bad = [k for k, v in asdict(scores).items() if v is not None and not math.isfinite(v)]
            if bad:
                raise TeacherError(
                    f"teacher {teacher.name} gave {bad[0]}={getattr(scores, bad[0])} for {text!r:.80} after "
                    f"{list(request.context)!r:.160}; expected a finite number"
                )
    return [[asdict(scores) for scores in group] for group in groups]


def _with_found(example: Example, found: Mapping[_Key, Scores]) -> Example:
    candidates = tuple(
        replace(c, scores=c.scores.merge(found.get((example.context_id, c.text), NO_SCORES)))
        for c in example.candidates
    )
    return replace(example, candidates=candidates)


def _lacks_mi(scores: Scores) -> bool:
    """True if MI can and must be computed; a teacher that replays a record may have given it."""
    return scores.ll is not None and scores.mi is None


def _with_mi(example: Example, alone: Mapping[str, float]) -> Example:
    return replace(example, candidates=tuple(_add_mi(c, alone) for c in example.candidates))


def _add_mi(candidate: Candidate, alone: Mapping[str, float]) -> Candidate:
    ll = candidate.scores.ll
    if ll is None or not _lacks_mi(candidate.scores):
        return candidate
    return replace(candidate, scores=replace(candidate.scores, mi=ll - alone[candidate.text]))


def _counts(
    examples: Sequence[Example], scored: Sequence[Example], found: Mapping[_Key, Scores]
) -> dict[str, int]:
    given = sum(len(example.candidates) for example in examples)
    keys = [(example.context_id, c.text) for example in scored for c in example.candidates]
    unknown = sum(found.get(key) == NO_SCORES for key in keys)
    asked = sum(key in found for key in keys)
    return {
        "scored": asked - unknown,
        "unknown": unknown,
        "scored_before": len(keys) - asked,
        "duplicates_merged": given - len(keys),
    }
