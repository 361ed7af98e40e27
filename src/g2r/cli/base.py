"""What every command shares: the application, its common options, progress and tables on stderr."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from g2r.errors import InputError
from g2r.progress import Progress
from g2r.stage import Stage, StageSummary

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


def _named(path: Path | None) -> Path | None:
    if path == Path("-"):
        raise InputError("-o - would be standard output, expected the name of a file or folder; give one")
    return path


def output_option(help: str) -> Any:
    """The option -o of a command that makes a file or a folder, neither of which goes to standard output."""
    return typer.Option("--output", "-o", help=help, callback=_named)


Output = Annotated[Path, output_option("Where the result is written.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if it is up to date.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Run file whose section gives the options not given here.")
]
BotPath = Annotated[Path, typer.Argument(help="A bot or a run.")]
BankName = Annotated[str, typer.Option("--bank", help="Which of the bot's banks: its subfolder.")]


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


def share_cores() -> None:
    """Keep numpy's matrix library on one thread: its threads spin while they wait, and the encoder's wait for them."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")


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
