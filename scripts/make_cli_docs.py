"""Write docs/cli.md from the help of every command: python scripts/make_cli_docs.py > docs/cli.md."""

import os
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO

os.environ |= {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}

import g2r.cli

BANK_COMMANDS = [
    "list",
    "show",
    "add",
    "ban",
    "unban",
    "tag",
    "untag",
    "import",
    "export",
    "log",
    "vet",
    "review",
]
COMMANDS = [
    "read",
    "generate",
    "score",
    "retrieve",
    "train",
    "compress",
    "export",
    "index",
    "run",
    "quickstart",
    "chat",
    "reply",
    "serve",
    "calibrate",
    "grow",
    "rate",
    "ratings",
    "info",
    "evaluate",
    "report",
    "bench",
    "bank",
    *(f"bank {command}" for command in BANK_COMMANDS),
    "judge train",
    "judge measure",
    "judge export",
    "ranker train",
]
INTRODUCTION = """\
# The command line

Made from `--help` by scripts/make_cli_docs.py. Every command prints its result on stdout and progress on
stderr, ends with 0, or with 1 and one line that says what came, what was expected and what to do, or with 2
where the command itself is not understood, or, `g2r reply` alone, with 3 where the bot has no reply. `--json`
prints one JSON object. A killed command goes on where it stopped when it is run again. Where a command takes a
bot as an option, `--bot` is its place (for `g2r read` alone: which speaker it is); `--bank` is the name of one of
its banks.
"""


def help_of(*command: str) -> str:
    """What `g2r COMMAND --help` prints in a terminal of 100 columns."""
    with redirect_stdout(StringIO()) as printed, suppress(SystemExit):
        g2r.cli.main([*command, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def main() -> str:
    parts = [INTRODUCTION, f"```text\n{help_of()}\n```\n"]
    parts += [f"## g2r {command}\n\n```text\n{help_of(*command.split())}\n```\n" for command in COMMANDS]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(main())
