"""The commands of the pipeline: read, generate, score, train, export, index, run, quickstart, info."""

import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from g2r.cli.base import (
    DEFAULT_BOT,
    BankName,
    ConfigFile,
    Force,
    Json,
    Output,
    app,
    errors,
    finish,
    output_option,
    show,
    watched,
)
from g2r.config import (
    BotConfig,
    DataConfig,
    ExportConfig,
    GenerateConfig,
    IndexConfig,
    RunConfig,
    ScoreConfig,
    TeacherConfig,
    TrainConfig,
    parse_config,
    read_run_config,
)
from g2r.config.data import SourceFormat
from g2r.errors import ConfigError, InputError
from g2r.options import options_of, section

Teacher = Annotated[
    str,
    typer.Option(
        "--teacher",
        help="Hub name or folder, recorded:FILE, judge:FOLDER, or openai:MODEL@http://host:port/v1.",
    ),
]
ExamplesFile = Annotated[Path, typer.Argument(help="Examples written by an earlier stage (parquet).")]
Student = Annotated[Path, typer.Option("--student", help="Folder of the student.")]


def teacher_config(text: str, config: Path | None) -> TeacherConfig:
    """The teacher named on the command line, else that of the run file.

    Raises:
        ConfigError: neither names one.
    """
    from g2r.teachers import parse_teacher

    if text:
        return parse_teacher(text)
    if config and (teacher := read_run_config(config).teacher):
        return teacher
    raise ConfigError("no teacher; name one with --teacher or in the teacher section of --config")


@app.command()
@options_of(DataConfig)
def read(
    sources: Annotated[list[str], typer.Argument(help='Files, "starter", "chitchat", "hf:NAME", or "-".')],
    output: Output,
    form: Annotated[
        SourceFormat,
        typer.Option("--format", help="How they are written; auto looks at names and first lines."),
    ] = "auto",
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Read dialogues and turn them into examples: contexts with their responses."""
    from g2r.stages import read_stage

    written = [{"path": source, "format": form} for source in sources]
    settings = section(DataConfig, "data", config, {**options, "sources": written})
    finish(read_stage(settings, output), force=force, as_json=as_json)


@app.command()
@options_of(GenerateConfig)
def generate(
    examples: ExamplesFile,
    output: Output,
    teacher: Teacher = "",
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Data-level G2R: let the teacher write responses to every context."""
    from g2r.stages import generate_stage

    settings = section(GenerateConfig, "generate", config, options)
    stage = generate_stage(examples, teacher_config(teacher, config), settings, output)
    finish(stage, force=force, as_json=as_json)


@app.command()
@options_of(ScoreConfig)
def score(
    examples: ExamplesFile,
    output: Output,
    teacher: Teacher = "",
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Model-level G2R: let the teacher score every candidate (LL, MI, judge)."""
    from g2r.stages import score_stage

    settings = section(ScoreConfig, "score", config, options)
    stage = score_stage(examples, teacher_config(teacher, config), settings, output)
    finish(stage, force=force, as_json=as_json)


@app.command()
def retrieve(
    examples: ExamplesFile,
    output: Output,
    bot: Annotated[Path, typer.Option("--bot", help="A bot or a run.")] = DEFAULT_BOT,
    bank: BankName = "bank",
    top: Annotated[int, typer.Option("--top", help="Responses retrieved for each training context.")] = 30,
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """On-policy candidates: what a bot finds for every training context, to be scored and distilled next."""
    from g2r.stages import retrieve_stage

    rules = section(BotConfig, "bot", config, {})
    stage = retrieve_stage(examples, bot, rules, output, top=top, bank=bank)
    finish(stage, force=force, as_json=as_json)


@app.command()
@options_of(TrainConfig)
def train(
    examples: ExamplesFile,
    output: Output,
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Distil the student from the candidates and their scores."""
    from g2r.stages import train_stage

    settings = section(TrainConfig, "train", config, options)
    if settings.init:
        raise ConfigError(
            f"train.init is {settings.init!r}, a student of a run: g2r run trains it first; "
            "here name its folder with --base, and give --init ''"
        )
    finish(train_stage(examples, settings, output), force=force, as_json=as_json)


@app.command()
@options_of(ExportConfig)
def export(
    examples: ExamplesFile,
    student: Student,
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Write the student as ONNX graphs, for replies without torch."""
    from g2r.stages import export_stage

    settings = section(ExportConfig, "export", config, options)
    finish(export_stage(examples, student, settings), force=force, as_json=as_json)


@app.command()
@options_of(IndexConfig)
def index(
    examples: ExamplesFile,
    student: Student,
    output: Output,
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Build the bank and its search index."""
    from g2r.stages import index_stage

    settings = section(IndexConfig, "index", config, options)
    finish(index_stage(examples, student, settings, output), force=force, as_json=as_json)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Run file, see runs/*.yaml.")],
    output: Annotated[Path | None, output_option("Folder of the run. [default: runs/NAME]")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Train with this seed alone.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run all stages of a run file in order; finished ones are skipped."""
    from g2r import pipeline

    settings = read_run_config(config)
    if seed is not None:
        settings = parse_config(RunConfig, {**settings.model_dump(), "seeds": (seed,)}, where="--seed")
    folder = output or Path("runs") / config.stem
    show(pipeline.run(settings, folder, name=config.stem, force=force, progress=watched), as_json=as_json)
    if not as_json:
        print((folder / "report" / "summary.md").read_text(encoding="utf-8"))


@app.command()
def quickstart(
    output: Annotated[Path, output_option("Folder of the run.")] = DEFAULT_BOT,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Distil a bot from the packaged data, teacher and base: some minutes, no network."""
    run_file = Path(str(files("g2r") / "starter" / "quickstart.yaml"))
    run(run_file, output=output, seed=None, force=force, as_json=as_json)
    if not as_json:
        errors.print(f"\nTalk to it: g2r chat {'' if output == DEFAULT_BOT else output}".rstrip())


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="A run, a bot, or a file of examples.")] = DEFAULT_BOT,
) -> None:
    """Show what made an artifact: versions, configuration, counts and times."""
    from g2r.artifacts import read_manifest

    artifacts = [path, *sorted(p for p in path.rglob("*") if p.is_dir() or p.suffix == ".parquet")]
    found = {str(p): asdict(manifest) for p in artifacts if (manifest := read_manifest(p))}
    if not found:
        raise InputError(f"nothing that g2r made in {path}; expected a run, a bot or a file of examples")
    print(json.dumps(found, indent=2, ensure_ascii=False))
