"""What any scorer of responses can be put to: lists with a known answer, one value an item (EVALUATION: tiers C, D).

An exam is given to every student, to BM25 and to every learned scorer alike; a student may sit it by its
response key, by context keys, and by both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from g2r.config import SCORES
from g2r.dialogue import Context, Example
from g2r.evaluation import metrics
from g2r.evaluation.judging import contexts_of
from g2r.evaluation.metrics import GOOD, Floats
from g2r.evaluation.scorers import Scorer
from g2r.evaluation.selection import AdversarialItem, JudgedList, adversarial_accuracy, evaluate_judged

STUDENT_TEMPERATURE = 0.05
"""What cosines are divided by before KL, as in training by default."""


@dataclass(frozen=True, slots=True)
class Exam:
    """A measure of scorers on fixed items.

    Attributes:
        name: title of its table.
        measure: what a value is.
        text: how to read it.
        contexts: of the items (items,), for the leakage check.
        take: the values of a scorer, NaN where it has none: float (items,).
        bounds: values of what knows nothing and of what knows everything (items,).
        written_for: contexts that candidates were written for; with them a student sits the exam by context
            keys too.
        cosines_only: the values mean something for students alone.
    """

    name: str
    measure: str
    text: str
    contexts: tuple[Context, ...]
    take: Callable[[Scorer], Floats]
    bounds: Mapping[str, Floats] = field(default_factory=dict)
    written_for: Mapping[str, Sequence[Context]] = field(default_factory=dict)
    cosines_only: bool = False


def judged_exam(lists: Sequence[JudgedList], *, training: Sequence[Example] = (), good: float = GOOD) -> Exam:
    """How often a scorer's first choice in a judged list is a good one.

    Args:
        training: examples that tell what contexts the candidates were written for.
    """
    judged = [item.scores for item in lists]
    texts = {text for item in lists for text in item.candidates}
    written_for = contexts_of(training, texts)
    known = (
        f"Contexts are on record for {len(written_for) / len(texts):.0%} of the candidates; without one the "
        "context key gives 0."
        if written_for
        else "By context keys: not computed, no candidate stands in the training data."
    )
    return Exam(
        "Judged lists",
        "first choice good",
        f"{len(lists)} lists of retrieved replies with a judge's scores: how often is the first choice one of "
        f"{good:g} or more? It tells a reply that follows from one that only shares the topic. {known}",
        tuple(item.context for item in lists),
        lambda scorer: evaluate_judged(scorer, lists, good=good).first_good,
        {
            "random choice": np.array([np.mean(np.asarray(scores) >= good) for scores in judged]),
            "best possible": metrics.any_good(judged, good=good),
        },
        written_for,
    )


def adversarial_exams(items: Sequence[AdversarialItem]) -> list[Exam]:
    """Pairs of a fitting response and one that only shares words with the context, and of one and a random one."""
    exams = []
    kinds: tuple[tuple[Literal["adversarial", "random"], str], ...] = (
        ("adversarial", "one that shares words with the context but does not fit"),
        ("random", "one of another context"),
    )
    for against, what in kinds:
        both = [i for i in items if i.positives and getattr(i, against)]
        if both:
            exams.append(
                Exam(
                    f"Adversarial pairs: {against}",
                    "pairs in order",
                    f"{len(both)} contexts: share of the pairs of a fitting response and {what} that are in the "
                    "right order; chance .5.",
                    tuple(item.context for item in both),
                    partial(adversarial_accuracy, items=both, against=against),
                )
            )
    return exams


def fidelity_exams(examples: Sequence[Example]) -> list[Exam]:
    """How a scorer's order of the candidates agrees with the teacher's, for each kind of score in the data.

    Contexts with two scored candidates of different scores count. KL is that of the student's
    distribution over them from the softmax of the teacher's standardised scores, nats.
    """
    return [exam for kind in SCORES if kind != "ll_sum" for exam in _fidelity(examples, kind)]


def _fidelity(examples: Sequence[Example], kind: str) -> list[Exam]:
    scored = [
        (e.context, tuple(texts), np.array([texts[text] for text in texts], dtype=np.float64))
        for e in examples
        if len(set((texts := _scores(e, kind)).values())) > 1
    ]
    if not scored:
        return []
    contexts = tuple(context for context, _, _ in scored)
    candidates = [texts for _, texts, _ in scored]
    teacher = [scores for _, _, scores in scored]
    standard = [(scores - scores.mean()) / scores.std() for scores in teacher]

    def divergence(scorer: Scorer) -> Floats:
        return metrics.kl_divergence(
            scorer(contexts, candidates), standard, student_temperature=STUDENT_TEMPERATURE
        )

    text = f"Agreement with the teacher's {kind} of the candidates of {len(scored)} contexts; it shows imitation only."
    return [
        Exam(
            f"Fidelity to {kind}: Spearman",
            "rho",
            text,
            contexts,
            lambda scorer: metrics.spearman(scorer(contexts, candidates), teacher),
        ),
        Exam(
            f"Fidelity to {kind}: Kendall",
            "tau-b",
            text,
            contexts,
            lambda scorer: metrics.kendall(scorer(contexts, candidates), teacher),
        ),
        Exam(
            f"Fidelity to {kind}: KL",
            "nats, lower is nearer",
            f"{text} Cosines over {STUDENT_TEMPERATURE:g}; teacher scores standardised in each list.",
            contexts,
            divergence,
            cosines_only=True,
        ),
    ]


def _scores(example: Example, kind: str) -> dict[str, float]:
    """The teacher's scores of an example's candidates, the best of each text."""
    best: dict[str, float] = {}
    for candidate in example.candidates:
        score = getattr(candidate.scores, kind)
        if score is not None:
            best[candidate.text] = max(score, best.get(candidate.text, score))
    return best
