"""The stages in order. Each reads files, writes its own whole or not at all, and is skipped while it is up to date."""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from g2r.artifacts import (
    Manifest,
    file_hash,
    library_versions,
    read_examples,
    read_manifest,
    refuse_other,
    replacing,
    write_examples,
    write_manifest,
)
from g2r.confidence import CALIBRATION_FILE
from g2r.config import (
    BotConfig,
    DataConfig,
    EvaluateConfig,
    ExportConfig,
    GenerateConfig,
    IndexConfig,
    JudgeTeacherConfig,
    OnPolicyConfig,
    RecordedTeacherConfig,
    ReportConfig,
    RunConfig,
    ScoreConfig,
    TeacherConfig,
    TrainConfig,
    TransformersTeacherConfig,
)
from g2r.errors import ArtifactError, ConfigError
from g2r.progress import Progress, silent
from g2r.reading.lines import STDIN
from g2r.reading.sources import CHITCHAT, RECORDED_CHITCHAT, packaged_files
from g2r.teachers import open_teacher

StageProgress = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress display for the stage of that name."""

_OWNER = "# run: "
_ROUND = "round"


def unwatched(stage: str) -> AbstractContextManager[Progress]:
    """The progress of a library call: none."""
    return nullcontext(silent)


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What one stage of a run did: `seconds` and `counts` are those of the run that made the artifact."""

    name: str
    output: Path
    seconds: float
    counts: Mapping[str, Any] = field(default_factory=dict)
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """One step from files to a file or folder.

    Attributes:
        name: shown to people and kept in the manifest.
        output: the artifact.
        config: everything but the inputs that the artifact depends on.
        inputs: files and folders it is made from, by name.
        work: makes the artifact and returns its counts.
        mark: a file that every folder of this kind holds; empty if the artifact is a single file.
        journal: finished work of a killed run, of no use once the artifact has its manifest.
        repeatable: False if an input cannot be looked at again, so that the stage is never up to date.
        finish: makes what shows the artifact with its manifest, once both stand there.
    """

    name: str
    output: Path
    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    work: Callable[[Progress], Mapping[str, Any]]
    mark: str = ""
    repeatable: bool = True
    journal: Path | None = None
    finish: Callable[[], object] | None = None

    def run(self, *, force: bool = False, progress: StageProgress = unwatched) -> StageSummary:
        """Make the artifact, unless it stands there already, made from the same configuration and inputs.

        Raises:
            ArtifactError: something that is no such artifact stands in its place.
        """
        refuse_other(self.output, mark=self.mark)
        if any(self.output.resolve() == path.resolve() for path in self.inputs.values()):
            raise ArtifactError(f"{self.output} is what the stage reads; choose another place with -o")
        origin = Manifest(
            stage=self.name.partition(" ")[0],
            config=self.config,
            inputs={name: file_hash(path) for name, path in self.inputs.items()},
        )
        made = read_manifest(self.output) if self.output.exists() else None
        if made and not force and self._is_up_to_date(made, origin):
            return StageSummary(self.name, self.output, made.seconds, made.counts, skipped=True)
        start = time.perf_counter()
        with progress(self.name) as report:
            counts = self.work(report)
        seconds = round(time.perf_counter() - start, 2)
        if os.environ.get("RANK", "0") != "0":  # under torchrun the first process writes for all
            return StageSummary(self.name, self.output, seconds, counts)
        manifest = Manifest(
            stage=origin.stage,
            config=origin.config,
            inputs=origin.inputs,
            output=file_hash(self.output),
            counts=dict(counts),
            seconds=seconds,
            versions=library_versions("numpy", "pyarrow"),
        )
        write_manifest(self.output, manifest)
        if self.finish:
            self.finish()
        if self.journal:
            self.journal.unlink(missing_ok=True)
        return StageSummary(self.name, self.output, seconds, counts)

    def _is_up_to_date(self, made: Manifest, origin: Manifest) -> bool:
        """The output counts too: a kill between a file and its manifest leaves the manifest of an older one."""
        return self.repeatable and made.same_origin(origin) and made.output == file_hash(self.output)


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
    journal = output.parent / f"{output.name}.journal"

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.generation import generate

        examples = generate(
            read_examples(source), open_teacher(teacher), settings=config, journal=journal, progress=progress
        )
        write_examples(examples, output)
        return examples.counts

    return Stage(
        "generate",
        output,
        _with_teacher(config, teacher),
        _with_record(source, teacher),
        work,
        journal=journal,
    )


def score_stage(source: Path, teacher: TeacherConfig, config: ScoreConfig, output: Path) -> Stage:
    """Model-level G2R: examples to examples with the teacher's scores."""
    journal = output.parent / f"{output.name}.journal"

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.scoring import score

        examples = score(
            read_examples(source), open_teacher(teacher), settings=config, journal=journal, progress=progress
        )
        write_examples(examples, output)
        return examples.counts

    return Stage(
        "score", output, _with_teacher(config, teacher), _with_record(source, teacher), work, journal=journal
    )


def _with_teacher(config: BaseModel, teacher: TeacherConfig) -> dict[str, Any]:
    return {**config.model_dump(mode="json"), "teacher": teacher.model_dump(mode="json")}


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
) -> Stage:
    """Students and banks on held-out contexts: the table that closes a run."""

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.evaluation.comparison import write_comparison

        return write_comparison(
            read_examples(source),
            students=students,
            banks=banks,
            base=base,
            config=config,
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
    settings = {**config.model_dump(mode="json"), "base": base}
    return Stage(
        "report", output, settings, inputs, work, mark="summary.md", finish=partial(_write_page, output)
    )


def _write_page(report: Path) -> None:
    """The page shows the manifest too, so it is written when that stands."""
    from g2r.evaluation.html.page import write_page

    write_page(report)


def evaluate_stage(config: RunConfig, folder: Path, settings: EvaluateConfig, output: Path) -> Stage:
    """The students and banks of a finished run under every tier of the evaluation that `settings` ask for."""
    made = stages(config, folder)[-1].inputs  # what the report that closes the run is made from
    students = {name.removeprefix("student "): p for name, p in made.items() if name.startswith("student ")}
    banks = {name.removeprefix("bank "): p for name, p in made.items() if name.startswith("bank ")}

    calibration = folder / CALIBRATION_FILE

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.evaluation.comparison import write_comparison
        from g2r.evaluation.opening import open_panel
        from g2r.evaluation.reliability import calibration_sections

        examples = read_examples(made["examples"])
        return write_comparison(
            examples,
            students=students,
            banks=banks,
            base=config.train.base,
            config=settings,
            panel=open_panel(settings, config, examples),
            further=calibration_sections(calibration),
            output=output,
            progress=progress,
        )

    given = [
        settings.judged,
        settings.judged_ids,
        settings.adversarial,
        settings.scorers,
        settings.poly_encoder,
        settings.masked_model if Path(settings.masked_model).is_dir() else "",
    ]
    files = {path: Path(path) for path in (*given, *settings.ratings, *settings.judges) if path}
    if calibration.is_file():
        files["calibration"] = calibration
    return Stage(
        "evaluate",
        output,
        {**settings.model_dump(mode="json"), "base": config.train.base},
        {**made, **files},
        work,
        mark="summary.md",
        repeatable=not (settings.teacher or settings.endpoint),
        finish=partial(_write_page, output),
    )


def run(
    config: RunConfig,
    folder: Path,
    *,
    name: str = "run",
    force: bool = False,
    progress: StageProgress = unwatched,
) -> list[StageSummary]:
    """Run all stages of `config` in `folder`, skipping those that are up to date.

    Raises:
        ArtifactError: the folder holds another run or something else.
        ConfigError: the stages do not fit together.
        G2RError: a stage failed; finished stages stay, the same call goes on from there.
    """
    steps = stages(config, folder)
    _claim(folder, config, name)
    summaries = [stage.run(force=force, progress=progress) for stage in steps]
    with replacing(folder / "bot.json") as new:
        new.write_text(config.bot.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return summaries


def stages(config: RunConfig, folder: Path) -> list[Stage]:
    """The stages of a run in order; the student and bank that are served stand in `student/` and `bank/`."""
    examples = folder / "dialogues.parquet"
    steps = [read_stage(config.data, examples)]
    if config.generate or config.score:
        if config.teacher is None:
            raise ConfigError("the run generates or scores but names no teacher; add a teacher section")
        if config.generate:
            steps.append(
                generate_stage(examples, config.teacher, config.generate, folder / "candidates.parquet")
            )
            examples = steps[-1].output
        if config.score:
            steps.append(score_stage(examples, config.teacher, config.score, folder / "scored.parquet"))
            examples = steps[-1].output
    students = _student_stages(config, examples, folder)
    steps += students.values()
    if config.onpolicy:
        rounds = _round_stages(config, config.onpolicy, examples, folder)
        steps += rounds
        students |= {s.name.removeprefix("train "): s for s in rounds if s.name.startswith("train ")}
    served = folder / "student"
    steps.append(export_stage(examples, served, config.export))
    banks = {
        name: index_stage(examples, served, index, _place(folder, "bank", name), name=name)
        for name, index in config.bank_configs().items()
    }
    steps += banks.values()
    steps.append(
        report_stage(
            examples,
            {name: stage.output for name, stage in students.items()},
            {name: stage.output for name, stage in banks.items()},
            config.train.base,
            config.report,
            folder / "report",
        )
    )
    return steps


def _student_stages(config: RunConfig, examples: Path, folder: Path) -> dict[str, Stage]:
    """One training per student and seed; that of the first seed carries the student's plain name.

    A student that names its own seed is trained once, and all seeds start from it. With on-policy rounds the
    student that they start from is round0.
    """
    if config.onpolicy and (taken := {n for n in config.compare if n.startswith(_ROUND)}):
        raise ConfigError(
            f"compare names {sorted(taken)}, as the rounds of onpolicy are named; choose another"
        )
    steps: dict[str, Stage] = {}
    for seed in config.seeds:
        for name, train in config.student_configs().items():
            fixed = "seed" in config.compare.get(name, {})
            plain = f"{_ROUND}0" if config.onpolicy and name == "student" else name
            label = plain if fixed or seed == config.seeds[0] else f"{plain}@{seed}"
            init = f"{train.init}@{seed}" if f"{train.init}@{seed}" in steps else train.init
            if label not in steps:
                steps[label] = train_stage(
                    examples,
                    train if fixed else train.model_copy(update={"seed": seed}),
                    _place(folder, "student", label),
                    name=label,
                    init=steps[init].output if init else None,
                )
    return steps


def _round_stages(config: RunConfig, onpolicy: OnPolicyConfig, examples: Path, folder: Path) -> list[Stage]:
    """Index, retrieve, score and train, round after round; the last student is the one that is served.

    Raises:
        ConfigError: nobody is there to score what is retrieved.
    """
    teacher = onpolicy.teacher or config.teacher
    if teacher is None:
        raise ConfigError(
            "onpolicy names no teacher, and the run has none; add onpolicy.teacher, e.g. a judge"
        )
    steps: list[Stage] = []
    student = _place(folder, "student", f"{_ROUND}0")
    for number in range(1, onpolicy.rounds + 1):
        name = f"{_ROUND}{number}" if number < onpolicy.rounds else "student"
        place = folder / "rounds" / str(number)
        bank = index_stage(examples, student, config.bank_configs()["bank"], place / "bank", name=name)
        retrieved = retrieve_stage(
            examples,
            folder,
            config.bot,
            place / "retrieved.parquet",
            top=onpolicy.top,
            student=str(student.relative_to(folder)),
            bank=str(bank.output.relative_to(folder)),
        )
        scored = score_stage(retrieved.output, teacher, onpolicy.score, place / "scored.parquet")
        trained = train_stage(
            scored.output, config.round_config(), _place(folder, "student", name), name=name, init=student
        )
        steps += [bank, retrieved, scored, trained]
        student = trained.output
    return steps


def _place(folder: Path, kind: str, name: str) -> Path:
    """Where a student or bank stands: the served one under its kind, the others under the plural."""
    return folder / kind if name == kind else folder / f"{kind}s" / name


def _claim(folder: Path, config: RunConfig, name: str) -> None:
    """Write the run's configuration into its folder, unless the folder is somebody else's."""
    record = folder / "config.yaml"
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file; expected a folder for the run, choose another with -o")
    if folder.is_dir() and any(folder.iterdir()):
        if not record.is_file():
            raise ArtifactError(f"{folder} holds files that are no run of g2r; choose another folder with -o")
        owner = record.read_text(encoding="utf-8").partition("\n")[0].removeprefix(_OWNER)
        if owner != name:
            raise ArtifactError(
                f"{folder} belongs to the run {owner!r}, not to {name!r}; choose another folder with -o"
            )
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    with replacing(record) as new:
        new.write_text(f"{_OWNER}{name}\n{settings}", encoding="utf-8")
