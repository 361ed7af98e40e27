"""The comparison: students, banks, controls and rivals on held-out contexts, as a report (EVALUATION: controls)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g2r.config import ReportConfig
from g2r.dialogue import Context, Example
from g2r.errors import InputError
from g2r.evaluation.exams import Exam
from g2r.evaluation.grid import SERVED, Banks, Results, examine_student, open_student, student_name
from g2r.evaluation.kinds import kind_section
from g2r.evaluation.leakage import Leakage, find_leaks
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.panel import Panel
from g2r.evaluation.panel_sections import (
    exam_section,
    learned_sections,
    oracle_section,
    people_section,
    preference_section,
)
from g2r.evaluation.report import Section, write_report
from g2r.evaluation.rivals import UNTRAINED, add_controls, add_rivals, reply_scores
from g2r.evaluation.rules import ReplyRules
from g2r.evaluation.sections import (
    bank_section,
    clean_section,
    leak_section,
    reply_sections,
    selection_section,
    side_by_side_section,
)
from g2r.evaluation.students import Comparison, compare_selections, longest_lists
from g2r.evaluation.systems import BotSystem
from g2r.progress import Progress, silent


def write_comparison(
    examples: Sequence[Example],
    *,
    students: Mapping[str, Path],
    banks: Mapping[str, Path],
    base: str,
    config: ReportConfig | None = None,
    panel: Panel | None = None,
    rules: ReplyRules | None = None,
    further: Sequence[Section] = (),
    output: Path,
    progress: Progress = silent,
) -> Mapping[str, Any]:
    """Compare students and banks on the test split and write the report; return its counts.

    Args:
        examples: all splits; leaks of the test split into the others are looked for.
        students: folders by name, in the order of the table; NAME@SEED is a further training seed of NAME.
            Differences are to the first one.
        banks: folders of banks with their index by name; each is searched by each student's first seed.
        base: what the students were trained from: the untrained control.
        panel: exams, learned scorers, rivals and teachers.
        rules: by which all reply; the bot's defaults if None.
        further: what was measured elsewhere and belongs in this report.

    Raises:
        InputError: no held-out context has an original response, or a student or bank cannot be read.
        ArtifactError: the report cannot be written.
    """
    config, panel, rules = config or ReportConfig(), panel or Panel(), rules or ReplyRules()
    test = held_out(examples, config.sources)
    lists = longest_lists(test, candidates=config.candidates, contexts=config.contexts, seed=config.seed)
    by_id = {e.context_id: e for e in reversed(test)}
    results = Results(
        lists, [by_id[item.context_id] for item in lists], missing=[*panel.notes, *filter(None, [rules.note])]
    )
    loaded = Banks.load(banks, responses=config.responses, seed=config.seed, without=rules.config.without)
    steps = 3 + len(students)
    served: dict[str, BotSystem] = {}
    places: dict[str, str | Path] = {UNTRAINED: base, **students}
    for done, (label, place) in enumerate(places.items()):
        bots = examine_student(results, label, open_student(place), loaded, panel.exams, config, rules)
        if SERVED in bots:
            served[label] = bots[SERVED].first_stage()
        progress(done + 1, steps, note=label)
    add_controls(results, loaded, panel, config, rules)
    add_rivals(results, panel, next(reversed(served.values()), None), config, rules)
    progress(steps - 1, steps, note="controls and rivals")
    training = [e for e in examples if e.split == "train"]
    texts = loaded.whole[SERVED].texts if SERVED in loaded.whole else ()
    leakage = find_leaks(results.examples, bank=texts, training=training)
    reference = _reference(students)
    comparison = compare_selections(
        results.selections, reference=reference, candidates=config.candidates, seed=config.seed
    )
    rated = reply_scores(results, panel)
    sections = [
        selection_section(comparison, results.missing),
        *clean_section(results.selections, leakage, reference, config),
        *_kind_sections(results, students, config),
        *_exam_sections(results, panel, training, reference, config),
        *oracle_section(served, results, panel, reference, config),
        *_said_sections(results, rated, panel, leakage, reference, config, rules),
        *further,
        bank_section(loaded),
        leak_section(leakage),
    ]
    write_report(output, sections, _items(results, rated, leakage), title="Comparison")
    progress(steps, steps, note="report")
    return _counts(comparison)


def _counts(comparison: Comparison) -> dict[str, Any]:
    hits = {row.name: row.hits[comparison.candidates] for row in comparison.rows}
    return {
        "contexts": comparison.contexts,
        **{
            f"hits@1/{comparison.candidates} {name}": round(value.value, 4)
            for name, value in hits.items()
            if not isinstance(value, NotComputed)
        },
    }


def _exam_sections(
    results: Results, panel: Panel, training: Sequence[Example], reference: str, config: ReportConfig
) -> list[Section]:
    free = unleaked(panel.exams, training)
    return [
        exam_section(
            exam,
            results.taken[exam.name],
            panel,
            reference=reference,
            clean=free[exam.name],
            seed=config.seed,
        )
        for exam in panel.exams
    ]


def _kind_sections(results: Results, students: Mapping[str, Path], config: ReportConfig) -> list[Section]:
    """Where the student that is served, the last one, fails."""
    if not students:
        return []
    served = student_name(list(students)[-1])
    return [
        kind_section(
            served,
            results.selections[served],
            results.contexts,
            candidates=config.candidates,
            seed=config.seed,
        )
    ]


def _said_sections(
    results: Results,
    rated: Mapping[str, Mapping[str, Floats]],
    panel: Panel,
    leakage: Leakage,
    reference: str,
    config: ReportConfig,
    rules: ReplyRules,
) -> list[Section]:
    """What is to say of the replies; the reference is the first system if that student has no served bank."""
    speaking = reference if reference in results.replies else next(iter(results.replies))
    clean = [e.context_id in leakage.clean for e in results.examples]
    return [
        *reply_sections(results, leakage, speaking, config, rules),
        *learned_sections(rated, panel, reference=speaking, clean=clean, seed=config.seed),
        *people_section(panel),
        *preference_section(results, panel, speaking),
        *side_by_side_section(results, config),
    ]


def held_out(examples: Sequence[Example], sources: Sequence[str] = ()) -> list[Example]:
    """The test examples with an original response, of the given sources only.

    Raises:
        InputError: there is none.
    """
    test = [
        e
        for e in examples
        if e.split == "test" and any(not sources or c.source in sources for c in e.originals)
    ]
    if not test:
        wanted = f" from {', '.join(sources)}" if sources else ""
        raise InputError(
            f"none of {len(examples)} examples is a test example with an original response{wanted}; "
            "raise data.test_fraction or mend report.sources"
        )
    return test


def unleaked(exams: Sequence[Exam], training: Sequence[Example]) -> dict[str, list[bool]]:
    """By exam, which items have a context that is not in the training data, exact or near."""
    seen = [Example(e.context, ()) for e in training]
    clean: dict[tuple[Context, ...], list[bool]] = {}
    for contexts in {exam.contexts for exam in exams}:
        asked = [Example(context, ()) for context in contexts]
        free = find_leaks(asked, training=seen).clean
        clean[contexts] = [e.context_id in free for e in asked]
    return {exam.name: clean[exam.contexts] for exam in exams}


def _reference(students: Mapping[str, Path]) -> str:
    """What the others are compared with: the first student, or the untrained base if there is but one."""
    names = list(dict.fromkeys(student_name(label) for label in students))
    return names[0] if len(names) > 1 else UNTRAINED


def _items(
    results: Results, rated: Mapping[str, Mapping[str, Floats]], leakage: Leakage
) -> list[dict[str, Any]]:
    """One record a context: ranks by student and seed, replies by system with their scores and times."""
    leaks = defaultdict(list)
    for leak in leakage.leaks:
        leaks[leak.context_id].append(leak)

    def scores(system: str, place: int) -> dict[str, float | None]:
        own = results.replies[system][place].score
        learned = {name: float(values[system][place]) for name, values in rated.items()}
        return {"own": own, **{name: None if np.isnan(v) else v for name, v in learned.items()}}

    return [
        {
            "context_id": e.context_id,
            "turns": e.context,
            "original": e.originals[0].text,
            "ranks": {
                name: {size: [int(own.ranks[size][i]) for own in seeds] for size in seeds[0].ranks}
                for name, seeds in results.selections.items()
            },
            "replies": {name: own[i].text for name, own in results.replies.items()},
            "scores": {name: scores(name, i) for name in results.replies},
            "timings_ms": {name: dict(own[i].timings_ms) for name, own in results.replies.items()},
            "leaks": leaks[e.context_id],
        }
        for i, e in enumerate(results.examples)
    ]
