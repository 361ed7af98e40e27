"""Controls and rivals of the students: who else chooses, replies and rates (EVALUATION: controls)."""

from collections import defaultdict
from functools import partial

import numpy as np

from g2r.config import GenerateConfig, OpenAITeacherConfig, RecordedTeacherConfig, ReportConfig
from g2r.errors import DependencyError, TeacherError
from g2r.evaluation.grid import Banks, Results
from g2r.evaluation.learned.base import list_scorer, pair_scores
from g2r.evaluation.metrics import Floats
from g2r.evaluation.panel import Panel
from g2r.evaluation.replies import reply_to_all
from g2r.evaluation.rules import ReplyRules
from g2r.evaluation.scorers import Scorer, bm25_scorer
from g2r.evaluation.selection import SelectionList, evaluate_selection
from g2r.evaluation.students import LONG
from g2r.evaluation.systems import (
    GREEDY,
    PAPER_BEAM,
    Bm25System,
    BotSystem,
    HumanSystem,
    HybridSystem,
    RandomSystem,
    RerankSystem,
    System,
    TeacherSystem,
)
from g2r.teachers.base import Teacher

UNTRAINED, BM25 = "untrained base", "BM25"
SAID, DRAWN = "original reply", "random reply"
"""Controls; with a space, which the name of a student cannot have."""

SURE = GenerateConfig(method="sample", top_k=0, temperature=1e-4, responses_per_context=1)
"""Greedy for endpoints, whose protocol has no beams."""


def add_controls(
    results: Results, banks: Banks, panel: Panel, config: ReportConfig, rules: ReplyRules
) -> None:
    """What was said, anything from the served bank, and BM25."""
    contexts, texts, likeness = results.contexts, banks.served, rules.config.repeat_likeness
    results.replies[SAID] = reply_to_all(HumanSystem(results.examples), contexts)
    if texts:
        drawn = RandomSystem(texts, seed=config.seed, repeat_likeness=likeness)
        results.replies[DRAWN] = reply_to_all(drawn, contexts)
    try:
        results.selections[BM25] = [
            evaluate_selection(bm25_scorer(), results.lists, sizes=(config.candidates, LONG))
        ]
        _take(results, panel, BM25, bm25_scorer())
        if texts:
            results.replies[BM25] = reply_to_all(Bm25System(texts, repeat_likeness=likeness), contexts)
    except DependencyError as error:
        results.missing.append(f"{BM25}: not computed, {error}.")


def add_rivals(
    results: Results, panel: Panel, served: BotSystem | None, config: ReportConfig, rules: ReplyRules
) -> None:
    """Learned scorers sit the exams; rankers choose, too, and re-rank; the teacher writes.

    Args:
        served: the served student without a second stage.
    """
    short = [
        SelectionList(item.context_id, item.context, item.candidates[: config.candidates])
        for item in results.lists
    ]
    for scorer in panel.scorers:
        _take(results, panel, scorer.name, list_scorer(scorer))
    for ranker in panel.rankers:
        scorer_of_lists = list_scorer(ranker)
        results.selections[ranker.name] = [
            evaluate_selection(scorer_of_lists, short, sizes=(config.candidates,))
        ]
        if ranker.name not in {scorer.name for scorer in panel.scorers}:
            _take(results, panel, ranker.name, scorer_of_lists)
        if served is not None:
            system = RerankSystem(served, scorer_of_lists, k=panel.rerank)
            results.replies[f"{ranker.name} re-ranking {panel.rerank}"] = reply_to_all(
                system, results.contexts
            )
    if panel.teacher is not None:
        for name, written in _teacher_systems(panel.teacher, served, rules.config.repeat_likeness).items():
            try:
                results.replies[name] = reply_to_all(written, results.contexts)
            except TeacherError as error:
                results.missing.append(f"{name}: not computed, {error}.")


def _teacher_systems(teacher: Teacher, served: System | None, likeness: float) -> dict[str, System]:
    """The teacher's ways to reply: greedy, the paper's beam, and with a retrieved reply in its context."""
    config = getattr(teacher, "config", None)
    alone = partial(TeacherSystem, teacher, repeat_likeness=likeness)
    if isinstance(config, RecordedTeacherConfig):
        return {"teacher on record": alone()}
    endpoint = isinstance(config, OpenAITeacherConfig)
    greedy = SURE if endpoint else GREEDY
    systems: dict[str, System] = {"teacher greedy": alone(greedy)}
    if not endpoint:
        systems["teacher beam 10"] = alone(PAPER_BEAM)
    if served is not None:
        systems["retrieve and refine"] = HybridSystem(served, teacher, greedy, repeat_likeness=likeness)
    return systems


def _take(results: Results, panel: Panel, name: str, scorer: Scorer) -> None:
    for exam in panel.exams:
        if not exam.cosines_only:
            results.taken[exam.name][name].append(exam.take(scorer))


def reply_scores(results: Results, panel: Panel) -> dict[str, dict[str, Floats]]:
    """Every learned score of every reply, by scorer and system, NaN where there is no reply: (contexts,)."""
    scores: dict[str, dict[str, Floats]] = defaultdict(dict)
    for scorer in panel.scorers:
        for system, own in results.replies.items():
            said = [i for i, reply in enumerate(own) if reply.text is not None]
            values = np.full(len(own), np.nan)
            texts = [text for reply in own if (text := reply.text) is not None]
            values[said] = pair_scores(scorer, [results.contexts[i] for i in said], texts)
            scores[scorer.name][system] = values
    return scores
