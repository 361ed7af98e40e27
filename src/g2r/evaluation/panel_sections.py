"""The parts of a report that a panel adds: exams, learned scores and their worth, oracle gap, pairwise judge."""

from collections.abc import Mapping, Sequence

import numpy as np

from g2r.config import ReportConfig
from g2r.errors import DependencyError, TeacherError
from g2r.evaluation.exams import Exam
from g2r.evaluation.grid import Results
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.oracle import oracle_gaps_or_reason
from g2r.evaluation.paired import Values
from g2r.evaluation.pairwise import choices, prefer
from g2r.evaluation.panel import Panel
from g2r.evaluation.preferences import bradley_terry_intervals
from g2r.evaluation.report import Section
from g2r.evaluation.rivals import DRAWN, SAID
from g2r.evaluation.sections import standing_section
from g2r.evaluation.significance import Difference, paired_difference
from g2r.evaluation.systems import BotSystem
from g2r.evaluation.tables import Value, table


def exam_section(
    exam: Exam, taken: Values, panel: Panel, *, reference: str, clean: Sequence[bool], seed: int
) -> Section:
    """One exam, learned scorers under their labels."""
    names = {scorer.name for scorer in (*panel.scorers, *panel.rankers)}
    shown = {panel.label(name) if name in names else name: own for name, own in taken.items()}
    return standing_section(
        exam.name,
        exam.text,
        shown,
        measure=exam.measure,
        reference=reference,
        clean=clean,
        bounds=exam.bounds,
        seed=seed,
    )


def learned_sections(
    scores: Mapping[str, Mapping[str, Floats]],
    panel: Panel,
    *,
    reference: str,
    clean: Sequence[bool],
    seed: int,
) -> list[Section]:
    """Tier E: each learned score of the replies, with what it is worth.

    Args:
        scores: by scorer and system, NaN where there is no reply (contexts,).
    """
    sections = []
    for scorer, by_system in scores.items():
        text = f"{_worth(scorer, panel)} {_validity(by_system, seed)}"
        sections.append(
            standing_section(
                f"Learned score: {panel.label(scorer)}",
                text,
                {name: [own] for name, own in by_system.items()},
                measure="mean",
                reference=reference,
                clean=clean,
                seed=seed,
            )
        )
    return sections


def _worth(scorer: str, panel: Panel) -> str:
    """How a scorer agrees with people, in a sentence."""
    found = next((v for v in panel.validations if v.scorer == scorer), None)
    if found is None or not found.agreements:
        return "Not validated against people: no ratings were given."
    parts = []
    for agreement in found.agreements:
        ceiling = panel.ceilings.get(agreement.file, NotComputed("unknown"))
        most = f"raters allow {ceiling:.2f}" if isinstance(ceiling, float) else "one rating a reply"
        rho = agreement.spearman
        shown = (
            str(rho) if isinstance(rho, NotComputed) else f"{rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}]"
        )
        parts.append(f"{agreement.file} {shown} ({most})")
    beats = (
        "It agrees more than length and word overlap do."
        if found.beats_baselines
        else ("It agrees no more than length and word overlap do: read nothing into it.")
    )
    return f"Spearman's rho with people: {', '.join(parts)}. {beats}"


def _validity(by_system: Mapping[str, Floats], seed: int) -> str:
    """A metric that does not rank what people said over random replies says nothing on this run."""
    if SAID not in by_system or DRAWN not in by_system:
        return "Whether it ranks human over random replies: not computed, a control is missing."
    both = ~(np.isnan(by_system[SAID]) | np.isnan(by_system[DRAWN]))
    gap = paired_difference(by_system[SAID][both], by_system[DRAWN][both], seed=seed)
    if isinstance(gap, Difference) and gap.low > 0:
        return f"Valid on this run: human over random by {gap.value:.3f} [{gap.low:.3f}, {gap.high:.3f}]."
    return "INVALID on this run: it does not rank human over random replies."


def people_section(panel: Panel) -> list[Section]:
    """How every learned scorer agrees with people, beside the baselines and the raters' ceiling."""
    if not panel.validations or not panel.ceilings:
        return []
    files = list(panel.ceilings)
    rows: list[tuple[Value, ...]] = [
        (
            v.label,
            *(a.spearman for a in v.agreements),
            *(a.pearson for a in v.agreements),
            v.margin,
            v.length_bias,
        )
        for v in panel.validations
    ]
    rows.append(("ceiling by rater noise", *panel.ceilings.values(), *([None] * len(files)), None, None))
    headers = ("scorer", *files, *(f"{name} (Pearson)" for name in files), "margin", "with length")
    text = (
        "Correlation with the mean human rating, Spearman's unless told, 0.95 bootstrap intervals over replies. The "
        "margin is rho less the better one of length and word overlap, mean over the files: a scorer whose "
        "interval reaches 0 is no better than they are. The ceiling is what a perfect scorer would reach "
        "against raters who differ this much. The last column is rho with the length of the reply."
    )
    read = {"validations": panel.validations, "ceilings": panel.ceilings}
    return [Section("Learned scorers against people", text, table(headers, rows), read)]


def oracle_section(
    served: Mapping[str, BotSystem], results: Results, panel: Panel, reference: str, config: ReportConfig
) -> list[Section]:
    """Tier D: how far each student's choice stands from the best in its reach."""
    if panel.teacher is None or not served:
        return []
    contexts = results.contexts[: panel.oracle_contexts]
    gaps = oracle_gaps_or_reason(served, contexts, panel.teacher)
    if isinstance(gaps, NotComputed):
        return [Section("Oracle gap", f"{str(gaps).capitalize()}.", values=gaps)]
    text = (
        f"The teacher's score of the best among a student's first 100 less that of its choice, {len(contexts)} "
        "contexts; 0 is the teacher's own choice."
    )
    values = {name: [own] for name, own in gaps.items()}
    clean = [True] * len(contexts)
    return [
        standing_section(
            "Oracle gap", text, values, measure="gap", reference=reference, clean=clean, seed=config.seed
        )
    ]


def preference_section(results: Results, panel: Panel, reference: str) -> list[Section]:
    """Tier F: what a language model prefers."""
    if panel.judge is None:
        return []
    title, n = "Pairwise judge", panel.judge_contexts
    replies = {name: [r.text for r in own[:n]] for name, own in results.replies.items() if ", " not in name}
    try:
        found = prefer(panel.judge, results.contexts[:n], replies, against=reference)
    except (TeacherError, DependencyError) as error:
        return [Section(title, f"Not computed: {error}.", values=NotComputed(str(error)))]
    strengths = bradley_terry_intervals(choices(found, against=reference))
    rows = [
        (
            name,
            p.rate
            if isinstance(p.rate, NotComputed)
            else f"{p.rate.value:.3f} [{p.rate.low:.3f}, {p.rate.high:.3f}]",
            None if isinstance(p.rate, NotComputed) else p.rate.p,
            p.outcomes.count("tie"),
            p.consistency,
            strengths if isinstance(strengths, NotComputed) else strengths.get(name),
        )
        for name, p in found.items()
    ]
    text = (
        f"How often {panel.judge.model} prefers a system to {reference}, ties left out, exact sign test; each pair "
        "asked in both orders, disagreement is a tie. Consistent: share of contexts where both orders agree. "
        "A language model is no person."
    )
    headers = ("system", "win rate", "p", "ties", "consistent", "Bradley-Terry")
    return [Section(title, text, table(headers, rows), {"reference": reference, "systems": found})]
