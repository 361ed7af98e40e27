"""The command line: arguments to configuration to one call, results on stdout, progress and errors on stderr."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from g2r.config import (
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
from g2r.errors import ConfigError, G2RError, InputError
from g2r.options import options_of, section
from g2r.pipeline import Stage, StageSummary
from g2r.progress import Progress

DEFAULT_BOT = Path("runs/quickstart")
SECONDS_BETWEEN_LINES = 30

app = typer.Typer(
    name="g2r",
    help="Distil a generative chat model into a retrieval model that answers in milliseconds on a CPU.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result is written.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if it is up to date.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Run file whose section gives the options not given here.")
]
BotPath = Annotated[Path, typer.Argument(help="A bot or a run.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit status is 0, 1 (one line says why), 2 (usage) or 130 (interrupted)."""
    try:
        app(args=arguments, prog_name="g2r", standalone_mode=False)
    except typer.Exit as exit_:
        sys.exit(exit_.exit_code)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        errors.print("g2r: interrupted; finished work is kept, run the same command to go on")
        sys.exit(130)
    except typer.TyperException as error:
        _fail(error.format_message(), 2)
    except G2RError as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)


def _fail(message: str, status: int) -> None:
    errors.print("g2r: " + " ".join(message.split()), markup=False)
    sys.exit(status)


@contextmanager
def watched(stage: str) -> Iterator[Progress]:
    """A progress bar on stderr with rate and time left; a line now and then where stderr is no terminal."""
    if not errors.is_terminal:
        yield _lines(stage)
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(stage, total=None, note="", rate="")

        def report(done: int, total: int, *, note: str = "") -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, note=note, rate=f"{speed:.1f}/s" if speed else "")

        yield report


def _lines(stage: str) -> Progress:
    """Progress as a line each SECONDS_BETWEEN_LINES, for logs."""
    start = last = time.monotonic()

    def report(done: int, total: int, *, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done > 0:
            last = now
            left = (now - start) / done * (total - done)
            errors.print(f"{stage}: {done}/{total}, {left:.0f} s left {note}".rstrip(), markup=False)

    return report


def finish(stage: Stage, *, force: bool, as_json: bool) -> None:
    """Run one stage and tell what it made."""
    show([stage.run(force=force, progress=watched)], as_json=as_json)


def show(summaries: Sequence[StageSummary], *, as_json: bool) -> None:
    """Print what the stages did: a table for people on stderr, JSON on stdout if asked for."""
    if as_json:
        rows = [{**asdict(summary), "output": str(summary.output)} for summary in summaries]
        print(json.dumps({"stages": rows} if len(rows) > 1 else rows[0], ensure_ascii=False))
        return
    table = Table("stage", "seconds", "counts", "output", box=None, header_style="bold")
    for summary in summaries:
        seconds = "up to date" if summary.skipped else f"{summary.seconds:.1f}"
        counts = ", ".join(f"{key} {_short(value)}" for key, value in summary.counts.items())
        table.add_row(summary.name, seconds, counts, str(summary.output))
    errors.print(table)


def _short(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


Teacher = Annotated[
    str,
    typer.Option(
        "--teacher",
        help="Hub name or folder, recorded:FILE, recorded:chitchat, or openai:MODEL@http://host:port/v1.",
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
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Read dialogues and turn them into examples: contexts with their responses."""
    from g2r.pipeline import read_stage

    settings = section(DataConfig, "data", config, {**options, "sources": sources})
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
    from g2r.pipeline import generate_stage

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
    from g2r.pipeline import score_stage

    settings = section(ScoreConfig, "score", config, options)
    stage = score_stage(examples, teacher_config(teacher, config), settings, output)
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
    from g2r.pipeline import train_stage

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
    from g2r.pipeline import export_stage

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
    from g2r.pipeline import index_stage

    settings = section(IndexConfig, "index", config, options)
    finish(index_stage(examples, student, settings, output), force=force, as_json=as_json)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Run file, see runs/*.yaml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run. [default: runs/NAME]")
    ] = None,
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
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")] = DEFAULT_BOT,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Distil a bot from the packaged data, teacher and base: some minutes, no network."""
    run_file = Path(str(files("g2r") / "starter" / "quickstart.yaml"))
    run(run_file, output=output, seed=None, force=force, as_json=as_json)
    if not as_json:
        errors.print(f"\nTalk to it: g2r chat {'' if output == DEFAULT_BOT else output}".rstrip())


@app.command()
def chat(
    path: BotPath = DEFAULT_BOT,
    bank: Annotated[str, typer.Option("--bank", help="Subfolder of the bank.")] = "bank",
) -> None:
    """Talk to a bot; /top shows its candidates, /ban forbids one for ever, /undo takes that back."""
    from g2r.bot import Bot
    from g2r.chat import HELP, Chat

    talk = Chat(Bot.load(path, bank=bank))
    people = sys.stdin.isatty()
    if people:
        errors.print(f"[dim]{len(talk.bot.bank):,} responses.\n{HELP}[/dim]", markup=True)
    while True:
        try:
            line = input("you: " if people else "")
            answer = talk.hear(line)
        except EOFError:
            return
        except (InputError, UnicodeDecodeError) as error:
            answer = f"({error})"
        if answer:
            print(f"bot: {answer}" if people else answer, flush=True)


@app.command()
def reply(
    path: BotPath = DEFAULT_BOT,
    bank: Annotated[str, typer.Option("--bank", help="Subfolder of the bank.")] = "bank",
    tags: Annotated[str, typer.Option("--tags", help="Only responses with all of these tags.")] = "",
    candidates: Annotated[int, typer.Option("--candidates", help="Candidates shown with --json.")] = 10,
    as_json: Json = False,
) -> None:
    """Answer one context read from standard input: a JSON list of turns, oldest first."""
    from g2r.bot import Bot

    try:
        turns = json.loads(sys.stdin.read())
    except (ValueError, RecursionError) as error:
        raise InputError(
            f'standard input is no JSON ({error}); expected a list of turns: ["hi, how are you?"]'
        ) from None
    chosen = [tag for tag in tags.split(",") if tag]
    answer = Bot.load(path, bank=bank).reply(turns, tags=chosen, candidates=candidates)
    print(json.dumps(_plain(asdict(answer)), ensure_ascii=False) if as_json else answer.text)


def _plain(value: Any) -> Any:
    """The value with sets and tuples as lists, for JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


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
