"""Write docs/cli.md from the help of every command: python scripts/make_cli_docs.py > docs/cli.md."""

import os
import subprocess
import sys

COMMANDS = [
    "read",
    "generate",
    "score",
    "train",
    "export",
    "index",
    "run",
    "quickstart",
    "chat",
    "reply",
    "info",
]
INTRODUCTION = """\
# The command line

Made from `--help` by scripts/make_cli_docs.py. Every command prints its result on stdout and progress on
stderr, ends with 0, or with 1 and one line that says what came, what was expected and what to do, or with 2
where the command itself is not understood. `--json` prints one JSON object. A killed command goes on where it
stopped when it is run again.
"""


def help_of(*command: str) -> str:
    """What `g2r COMMAND --help` prints in a terminal of 100 columns."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", "g2r", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def main() -> str:
    parts = [INTRODUCTION, f"```text\n{help_of()}\n```\n"]
    parts += [f"## g2r {command}\n\n```text\n{help_of(command)}\n```\n" for command in COMMANDS]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(main())
