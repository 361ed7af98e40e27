"""How far a student's choice stands from the best in its reach, by the teacher's score (EVALUATION: tier D)."""

from collections.abc import Mapping, Sequence

import numpy as np

from g2r.dialogue import Context
from g2r.errors import InputError, TeacherError
from g2r.evaluation.metrics import Floats, NotComputed, oracle_gap
from g2r.evaluation.systems import BotSystem
from g2r.teachers.base import Teacher

REACH = 100
"""Candidates among which the best is sought."""


def oracle_gaps(
    students: Mapping[str, BotSystem], contexts: Sequence[Context], teacher: Teacher, *, reach: int = REACH
) -> dict[str, Floats] | NotComputed:
    """Best teacher score among a student's first `reach` candidates less that of its choice (contexts,).

    Log-likelihoods are means per token. NaN where a student finds nothing to say.

    Raises:
        TeacherError: the teacher failed.
    """
    kind = next((kind for kind in ("ll", "judge") if kind in teacher.score_kinds), None)
    if kind is None:
        return NotComputed(f"the teacher {teacher.name} scores nothing")
    known: dict[tuple[Context, str], float] = {}
    gaps: dict[str, Floats] = {}
    for name, system in students.items():
        own = []
        for context in contexts:
            found = system.candidates(context, reach).candidates
            texts = [candidate.text for candidate in found]
            new = [text for text in texts if (context, text) not in known]
            for text, scores in zip(new, teacher.score([context], [new])[0] if new else [], strict=True):
                value = getattr(scores, kind)
                if value is None:
                    return NotComputed(
                        f"the teacher {teacher.name} has no score for {text!r:.40}; a record knows its own only"
                    )
                known[context, text] = value
            scored = [known[context, text] for text in texts]
            own.append(oracle_gap([[c.score for c in found]], [scored])[0] if texts else np.nan)
        gaps[name] = np.array(own)
    return gaps


def oracle_gaps_or_reason(
    students: Mapping[str, BotSystem], contexts: Sequence[Context], teacher: Teacher | None
) -> dict[str, Floats] | NotComputed:
    """The gaps, or why there are none: no teacher, or one that failed."""
    if teacher is None:
        return NotComputed("no teacher was given that scores any text")
    try:
        return oracle_gaps(students, contexts, teacher)
    except (TeacherError, InputError) as error:
        return NotComputed(str(error))
