"""The command line: arguments to configuration to one call, results on stdout, progress and errors on stderr.

Each module of this package adds its commands to the application when it is imported.
"""

import os
import sys
from collections.abc import Sequence

import typer

from g2r.cli import (
    banking,
    benching,
    calibrating,
    changing,
    compressing,
    distilling,
    evaluating,
    growing,
    judging,
    ranking,
    rating,
    reporting,
    reviewing,
    serving,
    talking,
)
from g2r.cli.base import app, errors
from g2r.errors import G2RError

__all__ = [
    "banking",
    "benching",
    "calibrating",
    "changing",
    "compressing",
    "distilling",
    "evaluating",
    "growing",
    "judging",
    "main",
    "ranking",
    "rating",
    "reporting",
    "reviewing",
    "serving",
    "talking",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    The exit status is 0, 1 (one line says why), 2 (usage), 3 (the bot has no reply) or 130 (interrupted).
    """
    os.environ.setdefault(
        "HF_HUB_VERBOSITY", "error"
    )  # its retries are lines before the one that says what failed
    try:
        status = app(args=arguments, prog_name="g2r", standalone_mode=False)
        _flush()
        if status:
            sys.exit(status)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        errors.print("g2r: interrupted; finished work is kept, run the same command to go on")
        sys.exit(130)
    except typer.TyperException as error:
        _fail(
            error.format_message().replace("Value error, ", "", 1), 2
        )  # as pydantic begins those of its checks
    except G2RError as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except OSError as error:  # one of a file has its name, or has become an error of g2r
        _drop_output()
        _fail(f"{error.filename or 'standard output'}: {error.strerror or error}", 1)


def _flush() -> None:
    if sys.stdout is not None:  # as it is where whoever started g2r closed it
        sys.stdout.flush()


def _drop_output() -> None:
    """Let go what standard output does not take, or Python tries again at its exit and tells of that."""
    try:
        _flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int) -> None:
    errors.print("g2r: " + " ".join(message.split()), markup=False)
    sys.exit(status)
