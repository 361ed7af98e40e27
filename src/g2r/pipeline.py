"""A run: its stages in order, planned from its configuration, in a folder of its own."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from g2r.artifacts import read_examples, replacing
from g2r.bot import CONFIG_FILE, JUDGE_FOLDER, read_rules
from g2r.confidence import CALIBRATION_FILE
from g2r.config import EvaluateConfig, OnPolicyConfig, RunConfig
from g2r.errors import ArtifactError, ConfigError
from g2r.progress import Progress
from g2r.stage import Stage, StageProgress, StageSummary, unwatched
from g2r.stages import (
    export_stage,
    generate_stage,
    index_stage,
    read_stage,
    report_stage,
    retrieve_stage,
    score_stage,
    train_stage,
    write_report_page,
)

_OWNER = "# run: "
_ROUND = "round"


def evaluate_stage(config: RunConfig, folder: Path, settings: EvaluateConfig, output: Path) -> Stage:
    """The students and banks of a finished run under every tier of the evaluation that `settings` ask for."""
    made = stages(config, folder)[-1].inputs  # what the report that closes the run is made from
    students = {name.removeprefix("student "): p for name, p in made.items() if name.startswith("student ")}
    banks = {name.removeprefix("bank "): p for name, p in made.items() if name.startswith("bank ")}

    calibration, judge = folder / CALIBRATION_FILE, folder / JUDGE_FOLDER
    rules = read_rules(folder) if (folder / CONFIG_FILE).is_file() else config.bot

    def work(progress: Progress) -> Mapping[str, Any]:
        from g2r.evaluation.comparison import write_comparison
        from g2r.evaluation.opening import open_panel
        from g2r.evaluation.reliability import calibration_sections
        from g2r.evaluation.rules import ReplyRules

        examples = read_examples(made["examples"])
        return write_comparison(
            examples,
            students=students,
            banks=banks,
            base=config.train.base,
            config=settings,
            panel=open_panel(settings, config, examples),
            rules=ReplyRules.of(rules, judge),
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
    if rules.rerank and judge.is_dir():
        files["judge"] = judge
    return Stage(
        "evaluate",
        output,
        {**settings.model_dump(mode="json"), "base": config.train.base, "bot": rules.model_dump(mode="json")},
        {**made, **files},
        work,
        mark="summary.md",
        repeatable=not (settings.teacher or settings.endpoint),
        finish=partial(write_report_page, output),
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
            rules=config.bot,
            judge=folder / JUDGE_FOLDER,
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
