"""Data-level G2R: responses written by a teacher join the candidates of each context (METHOD: Data-level)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from g2r.config import GenerateConfig, parse_config
from g2r.dialogue import Candidate, Context, Example, Examples, Scores, clean_text, content_id
from g2r.duplicates import likeness, normal_form
from g2r.errors import TeacherError
from g2r.journal import Journal, journalled
from g2r.progress import Progress, silent
from g2r.teachers.base import Sample, Teacher, identity

CONTEXTS_PER_UNIT = 64
"""Contexts finished between two writes to the journal: what a kill can cost."""

ECHO_LIKENESS = 0.8
"""Likeness to a turn of the context from which a response says it again."""

REASONS = ("truncated", "empty", "short", "long", "degenerate", "echo", "repeated")
"""Why a sample is dropped, in the order they are looked for."""


def generate(
    examples: Sequence[Example],
    teacher: Teacher,
    *,
    settings: GenerateConfig | None = None,
    journal: Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Examples:
    """Return the examples with responses that the teacher wrote added to their candidates.

    Each distinct context is written for once. Samples are cleaned as human text is, and dropped where they
    are of no use. `counts` says how many were generated and kept, how many dropped for which reason, and how
    many contexts were left without a response of the teacher.

    Args:
        examples: contexts with their candidates so far.
        teacher: who writes.
        settings: how; `options` change single fields of it (`responses_per_context=5`).
        journal: file that keeps finished work. A run killed at any moment goes on from there and ends with
            the same examples as one that was not. Delete it when the result is safe.
        progress: told of finished contexts.

    Raises:
        TeacherError: the teacher failed, answered with a wrong number of lists, or wrote nothing at all.
        ConfigError: an unknown option or a value out of range.
        ArtifactError: the journal cannot be written.
    """
    settings = parse_config(
        GenerateConfig, {**(settings.model_dump() if settings else {}), **options}, where="generate"
    )
    contexts = _by_length({example.context_id: example.context for example in examples})
    units = [contexts[i : i + CONTEXTS_PER_UNIT] for i in range(0, len(contexts), CONTEXTS_PER_UNIT)]
    header = {
        "stage": "generate",
        "teacher": identity(teacher),
        "settings": settings.model_dump(mode="json"),
        "units": content_id([content_id([content_id(context) for context in unit]) for unit in units]),
    }

    def write(_: int, unit: Sequence[Context]) -> list[list[dict[str, Any]]]:
        samples = teacher.generate(unit, settings, seed=settings.seed)
        if len(samples) != len(unit):
            raise TeacherError(
                f"teacher {teacher.name} answered {len(unit)} contexts with {len(samples)} lists of responses; "
                "expected one list for each"
            )
        return [[asdict(sample) for sample in group] for group in samples]

    written: dict[str, list[Sample]] = {}
    finished = journalled(units, write, journal=Journal(journal, header=header) if journal else None)
    for unit, groups in zip(units, finished, strict=True):
        for context, group in zip(unit, groups, strict=True):
            written[content_id(context)] = [_sample(values) for values in group]
        progress(len(written), len(contexts))
    return _join(examples, written, teacher.name, settings)


def _by_length(contexts: Mapping[str, Context]) -> list[Context]:
    """Longest first; the order, and so what shares a batch, depends on the contexts alone."""
    return [
        context
        for _, context in sorted(
            contexts.items(), key=lambda item: (-sum(len(turn) for turn in item[1]), item[0])
        )
    ]


def _sample(values: Mapping[str, Any]) -> Sample:
    return Sample(values["text"], Scores(**values["scores"]), values["finished"])


def _join(
    examples: Sequence[Example],
    written: Mapping[str, Sequence[Sample]],
    source: str,
    settings: GenerateConfig,
) -> Examples:
    """Add the samples worth keeping to each example, and count."""
    if examples and not any(sample.text.strip() for group in written.values() for sample in group):
        raise TeacherError(
            f"teacher {source} wrote nothing for any of {len(written)} contexts; expected "
            f"{settings.responses_per_context} responses each: check the model, its prompt and max_tokens"
        )
    counts: Counter[str] = Counter({"generated": 0, "kept": 0, "contexts_without_response": 0})
    counts.update({f"dropped_{reason}": 0 for reason in REASONS})
    items = []
    for example in examples:
        kept: list[Candidate] = []
        said = {normal_form(candidate.text) for candidate in example.candidates}
        for sample in written[example.context_id]:
            text = clean_text(sample.text)
            reason = unusable(text, sample.finished, example.context, said, settings)
            counts["generated"] += 1
            counts[f"dropped_{reason}" if reason else "kept"] += 1
            if not reason:
                said.add(normal_form(text))
                kept.append(Candidate(text, source, scores=_scores_of(sample, text)))
        counts["contexts_without_response"] += not kept
        items.append(replace(example, candidates=(*example.candidates, *kept)))
    return Examples(tuple(items), dict(counts))


def unusable(
    text: str, finished: bool, context: Context, said: set[str], settings: GenerateConfig
) -> str | None:
    """Return why a response should not be kept, one of `REASONS`, or None if it should.

    Args:
        text: the response, cleaned.
        finished: False if it was cut at the token limit.
        context: what it answers.
        said: normal forms of the candidates that the context has already.
        settings: the limits, in words.
    """
    words = text.split()
    checks = (
        not finished,
        not words,
        len(words) < settings.min_words,
        len(words) > settings.max_words,
        is_degenerate(text),
        any(likeness(text, turn) >= ECHO_LIKENESS for turn in context),
        normal_form(text) in said,
    )
    return next((reason for reason, found in zip(REASONS, checks, strict=True) if found), None)


def is_degenerate(text: str, *, longest: int = 6) -> bool:
    """True if the same words are said over and over: one word four times in a row, or two to `longest` thrice."""
    words = normal_form(text).split()
    for n in range(1, longest + 1):
        times = 4 if n == 1 else 3
        run = 0  # how many words in a row equal the word n places before
        for word, before in zip(words[n:], words, strict=False):
            run = run + 1 if word == before else 0
            if run == n * (times - 1):
                return True
    return False


def _scores_of(sample: Sample, text: str) -> Scores:
    """The sample's scores; log-likelihoods belong to its very tokens, so not to a text that cleaning changed."""
    return sample.scores if text == sample.text else Scores(judge=sample.scores.judge)
