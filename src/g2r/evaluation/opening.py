"""From the options of an evaluation to what the systems are put before: files read, models opened."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from g2r.config import EvaluateConfig, OpenAITeacherConfig, RunConfig
from g2r.dialogue import Example
from g2r.errors import ConfigError, InputError
from g2r.evaluation.exams import Exam, adversarial_exams, fidelity_exams, judged_exam
from g2r.evaluation.learned.base import JudgeScorer, LearnedScorer
from g2r.evaluation.panel import Panel
from g2r.evaluation.ratings import RatedReply, rater_ceiling, read_ratings, validate_scorers
from g2r.evaluation.selection import read_adversarial, read_judged_lists
from g2r.reading.rated import read_ids
from g2r.teachers import open_teacher, parse_teacher
from g2r.teachers.base import Teacher


def open_panel(settings: EvaluateConfig, run: RunConfig, examples: Sequence[Example]) -> Panel:
    """Read and open what `settings` name; what they do not name is noted as not computed.

    Args:
        run: the run that is evaluated, for its base and its own teacher.
        examples: those of the run, all splits.

    Raises:
        InputError: a file is missing or malformed.
        ArtifactError: a folder holds no scorers.
        ConfigError: the teacher or the endpoint cannot be understood.
        TeacherError: the teacher is not there.
    """
    test = [e for e in examples if e.split == "test"]
    train = [e for e in examples if e.split == "train"]
    notes: list[str] = []
    judges = [_judge(path) for path in settings.judges]
    scorers = [*_trained(settings, run, test, notes), *judges]
    rankers: list[LearnedScorer] = [*_poly_encoder(settings), *judges]
    rated = _rated_files(settings.ratings)
    learned = [*scorers, *(ranker for ranker in rankers if ranker not in scorers)]
    validations = validate_scorers(learned, rated, seed=settings.seed) if learned and rated else []
    return Panel(
        exams=(*_list_exams(settings, train, notes), *fidelity_exams(test)),
        scorers=tuple(scorers),
        validations=tuple(validations),
        ceilings={name: rater_ceiling(replies, seed=settings.seed) for name, replies in rated.items()},
        rankers=tuple(rankers),
        rerank=settings.rerank,
        teacher=_teacher(settings, run),
        oracle_contexts=settings.oracle_contexts,
        judge=_endpoint(settings.endpoint),
        judge_contexts=settings.judge_contexts,
        notes=tuple(notes),
    )


def _list_exams(settings: EvaluateConfig, train: Sequence[Example], notes: list[str]) -> list[Exam]:
    exams = []
    if settings.judged:
        ids = read_ids(Path(settings.judged_ids)) if settings.judged_ids else []
        exams.append(judged_exam(read_judged_lists(Path(settings.judged), ids=ids), training=train))
    else:
        notes.append("Judged lists: not computed, none were given.")
    if settings.adversarial:
        items = read_adversarial(Path(settings.adversarial))
        kept = np.random.default_rng(settings.seed).permutation(len(items))[: settings.contexts]
        pairs = adversarial_exams([items[i] for i in sorted(kept)])
        if not pairs:
            notes.append("Adversarial pairs: not computed, no context drawn has positives and negatives.")
        exams += pairs
    else:
        notes.append("Adversarial pairs: not computed, none were given.")
    return exams


def _trained(
    settings: EvaluateConfig, run: RunConfig, test: Sequence[Example], notes: list[str]
) -> list[LearnedScorer]:
    """VUP, NUP, MaUdE-style and, with a masked language model, MLM and their combination."""
    if not settings.scorers:
        notes.append("VUP, NUP and MaUdE-style: not computed, no scorers were given.")
        return []
    from g2r.evaluation.learned.scorers import UslScorer, load_scorers

    scorers, record = load_scorers(Path(settings.scorers))
    if record.base == run.train.base:
        notes.append(
            f"VUP, NUP and MaUdE-style read vectors of {record.base}, the students' own base: "
            "their values may favour it."
        )
    if not settings.masked_model:
        notes.append("MLM and USL-H-style: not computed, no masked language model was given.")
        return scorers
    from g2r.evaluation.learned.masked import MaskedScorer

    replies = [e.originals[0].text for e in test if e.originals]
    masked = MaskedScorer.load(settings.masked_model, replies[:200])
    vup, nup = scorers[:2]
    return [*scorers, masked, UslScorer(vup, nup, masked)]


def _judge(path: str) -> LearnedScorer:
    from g2r.judge.model import Judge

    return JudgeScorer(Judge.load(path), name=f"judge {Path(path).name}")


def _poly_encoder(settings: EvaluateConfig) -> list[LearnedScorer]:
    if not settings.poly_encoder:
        return []
    from g2r.evaluation.polyencoder import PolyEncoder

    return [PolyEncoder.load(Path(settings.poly_encoder))]


def _rated_files(paths: Sequence[str]) -> dict[str, list[RatedReply]]:
    """Ratings by a name of their file that tells them apart: its own, or its folder's for a split's name."""
    files: dict[str, list[RatedReply]] = {}
    for path in map(Path, paths):
        name = path.name.partition(".")[0]
        if name in ("train", "valid", "test"):
            name = path.absolute().parent.name
        if name in files:
            raise InputError(f"two files of ratings are called {name!r}; rename one")
        files[name] = read_ratings(path)
    return files


def _teacher(settings: EvaluateConfig, run: RunConfig) -> Teacher | None:
    if not settings.teacher:
        return None
    if settings.teacher != "run":
        return open_teacher(parse_teacher(settings.teacher))
    if run.teacher is None:
        raise ConfigError(
            "teacher is 'run', but the run names none; name one: a hub name, recorded:FILE, ..."
        )
    return open_teacher(run.teacher)


def _endpoint(text: str) -> OpenAITeacherConfig | None:
    if not text:
        return None
    config = parse_teacher(text)
    if not isinstance(config, OpenAITeacherConfig):
        raise ConfigError(f"endpoint is {text!r}, expected openai:MODEL@http://host:port/v1")
    return config
