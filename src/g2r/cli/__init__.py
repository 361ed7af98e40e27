"""The command line: arguments to configuration to one call, results on stdout, progress and errors on stderr.

Each module of this package adds its commands to the application when it is imported.
"""

import sys
from collections.abc import Sequence

import typer

from g2r.cli import (
    banking,
    benching,
    calibrating,
    changing,
    distilling,
    evaluating,
    growing,
    judging,
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
    "distilling",
    "evaluating",
    "growing",
    "judging",
    "main",
    "rating",
    "reporting",
    "reviewing",
    "serving",
    "talking",
]


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
