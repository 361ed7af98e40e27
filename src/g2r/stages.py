"""The stages: what each reads, what it makes of it, and all that its artifact depends on."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from g2r.artifacts import read_examples, write_examples
from g2r.config import (
    BotConfig,
    CompressConfig,
    DataConfig,
    ExportConfig,
    GenerateConfig,
    IndexConfig,
    JudgeTeacherConfig,
    RecordedTeacherConfig,
    ReportConfig,
    ScoreConfig,
    TeacherConfig,
    TrainConfig,
    TransformersTeacherConfig,
)
from g2r.dialogue import Examples
from g2r.progress import Progress
from g2r.reading.lines import STDIN
from g2r.reading.sources import CHITCHAT, RECORDED_CHITCHAT, packaged_files
from g2r.stage import Stage
from g2r.teachers import open_teacher


def read_stage(config: DataConfig, output: Path) -> Stage:
    """Dialogues to examples."""

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.reading import read_data

        examples = read_data(config)
        write_examples(examples, output)
        return examples.counts

    files = {**packaged_files(s.path for s in config.sources), **_own_files(config)}
    repeatable = all(s.path != STDIN for s in config.sources)
    return Stage("read", output, config.model_dump(mode="json"), files, work, repeatable=repeatable)


def _own_files(config: DataConfig) -> dict[str, Path]:
    return {source.path: Path(source.path) for source in config.sources if Path(source.path).exists()}


def generate_stage(source: Path, teacher: TeacherConfig, config: GenerateConfig, output: Path) -> Stage:
    """Data-level G2R: examples to examples with the teacher's responses."""
    from g2r.generation import generate

    return _taught_stage("generate", generate, source, teacher, config, output)


def score_stage(source: Path, teacher: TeacherConfig, config: ScoreConfig, output: Path) -> Stage:
    """Model-level G2R: examples to examples with the teacher's scores."""
    from g2r.scoring import score

    return _taught_stage("score", score, source, teacher, config, output)


def _taught_stage(
    name: str,
    teach: Callable[..., Examples],
    source: Path,
    teacher: TeacherConfig,
    config: BaseModel,
    output: Path,
) -> Stage:
    """Examples to examples with what a teacher adds to them; a killed one goes on from its journal."""
    journal = output.parent / f"{output.name}.journal"

    def work(progress: Progress) -> Mapping[str, Any]:
        examples = teach(
            read_examples(source), open_teacher(teacher), settings=config, journal=journal, progress=progress
        )
        write_examples(examples, output)
        return examples.counts

    settings = {**config.model_dump(mode="json"), "teacher": teacher.model_dump(mode="json")}
    return Stage(name, output, settings, _with_record(source, teacher), work, journal=journal)


def _with_record(source: Path, teacher: TeacherConfig) -> dict[str, Path]:
    """What the teacher is made of, where it lies in files: a record, the packaged one, or a model's folder."""
    inputs = {"examples": source}
    if isinstance(teacher, RecordedTeacherConfig):
        record = packaged_files([RECORDED_CHITCHAT if teacher.path == CHITCHAT else teacher.path])
        inputs |= {"record": Path(teacher.path)} if Path(teacher.path).is_file() else record
    elif isinstance(teacher, TransformersTeacherConfig) and Path(teacher.model).is_dir():
        inputs["model"] = Path(teacher.model)
    elif isinstance(teacher, JudgeTeacherConfig):
        inputs["judge"] = Path(teacher.path)
    return inputs


def train_stage(
    source: Path, config: TrainConfig, output: Path, *, name: str = "student", init: Path | None = None
) -> Stage:
    """Examples to a student, started from the student in `init` if given."""

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.training import LOG_FILE, distill

        distill(
            read_examples(source),
            base=str(init) if init else config.base,
            output=output,
            config=config,
            progress=progress,
        )
        return _training_counts(output / LOG_FILE)

    inputs = {"examples": source}
    if init:
        inputs["init"] = init
    elif Path(config.base).is_dir():
        inputs["base"] = Path(config.base)
    return Stage(f"train {name}", output, config.model_dump(mode="json"), inputs, work, mark="g2r.json")


def _training_counts(log: Path) -> dict[str, Any]:
    """Steps taken and the best value of each measure on the validation split."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    measures = {key for entry in entries for key in entry if key in ("eval_hits@1", "eval_bank_score")}
    best = {key.removeprefix("eval_"): max(e[key] for e in entries if key in e) for key in sorted(measures)}
    return {"steps": max((e["step"] for e in entries), default=0), **best}


def compress_stage(source: Path, student: Path, bank: Path, config: CompressConfig, output: Path) -> Stage:
    """A student and the bank that it indexed to a student with a small context tower, for the same index."""

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.bot import open_encoder
        from g2r.compression import compress, gather, save
        from g2r.student import BiEncoder

        examples, full = read_examples(source), open_encoder(student, precision="fp32")
        material = gather(examples, bank, full, most_held_out=config.valid_contexts, progress=progress)
        made = compress(BiEncoder.load(student), material, config, progress=progress)
        save(made, output)
        return made.student.training

    inputs = {"examples": source, "student": student, "bank": bank}
    return Stage("compress", output, config.model_dump(mode="json"), inputs, work, mark="g2r.json")


def export_stage(source: Path, student: Path, config: ExportConfig) -> Stage:
    """A student to the ONNX graphs in its folder `onnx`; the examples decide whether 8 bits are enough."""

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.export import export
        from g2r.student import BiEncoder

        return export(
            BiEncoder.load(student), student / "onnx", examples=read_examples(source), config=config
        )

    inputs = {"examples": source, "student": student}
    return Stage("export", student / "onnx", config.model_dump(mode="json"), inputs, work, mark="g2r.json")


def index_stage(
    source: Path, student: Path, config: IndexConfig, output: Path, *, name: str = "bank"
) -> Stage:
    """Examples and a student to a bank with its search index."""

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.bank import ResponseBank
        from g2r.bot import open_encoder
        from g2r.index import build_bank
        from g2r.vetting import ban_flagged, open_classifier

        classifiers = [open_classifier(name) for name in config.vet]
        return build_bank(
            ResponseBank.from_examples(read_examples(source), config=config),
            open_encoder(student, precision="fp32"),
            config,
            output,
            vet=partial(ban_flagged, classifiers=classifiers),
            progress=progress,
        )

    files = {classifier: Path(classifier.partition(":")[2]) for classifier in config.vet}  # words:FILE
    inputs = {"examples": source, "student": student, **{c: p for c, p in files.items() if p.is_file()}}
    return Stage(
        f"index {name}", output, config.model_dump(mode="json"), inputs, work, mark="responses.parquet"
    )


def retrieve_stage(
    source: Path,
    folder: Path,
    rules: BotConfig,
    output: Path,
    *,
    top: int,
    student: str = "student",
    bank: str = "bank",
) -> Stage:
    """Examples to examples with what the bot in `folder` finds for their contexts, its second stage left out."""
    plain = BotConfig(top_k=rules.top_k, repeat_likeness=rules.repeat_likeness, without=rules.without)

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.bot import Bot
        from g2r.retrieval import retrieve

        bot = Bot.load(folder, student=student, bank=bank, config=plain)
        examples = retrieve(read_examples(source), bot, top=top, progress=progress)
        write_examples(examples, output)
        return examples.counts

    inputs = {"examples": source, "student": folder / student, "bank": folder / bank}
    return Stage("retrieve", output, {**plain.model_dump(mode="json"), "top": top}, inputs, work)


def report_stage(
    source: Path,
    students: Mapping[str, Path],
    banks: Mapping[str, Path],
    base: str,
    config: ReportConfig,
    output: Path,
    *,
    rules: BotConfig | None = None,
    judge: Path | None = None,
) -> Stage:
    """Students and banks on held-out contexts: the table that closes a run.

    Args:
        rules: of the bot that is served, by which all reply; the defaults if None.
        judge: where its second stage stands, if it has one.
    """
    rules = rules or BotConfig()

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.evaluation.comparison import write_comparison
        from g2r.evaluation.rules import ReplyRules

        return write_comparison(
            read_examples(source),
            students=students,
            banks=banks,
            base=base,
            config=config,
            rules=ReplyRules.of(rules, judge),
            output=output,
            progress=progress,
        )

    inputs = {
        "examples": source,
        **{f"student {n}": p for n, p in students.items()},
        **{f"bank {n}": p for n, p in banks.items()},
    }
    if Path(base).is_dir():
        inputs["base"] = Path(base)
    if rules.rerank and judge is not None and judge.is_dir():
        inputs["judge"] = judge
    settings = {**config.model_dump(mode="json"), "base": base, "bot": rules.model_dump(mode="json")}
    return Stage(
        "report", output, settings, inputs, work, mark="summary.md", finish=partial(write_report_page, output)
    )


def write_report_page(report: Path) -> None:
    """The page shows the manifest too, so it is written when that stands."""
    from g2r.evaluation.html.page import write_page

    write_page(report)
