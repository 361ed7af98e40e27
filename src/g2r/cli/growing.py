"""The command that turns what a bot had no reply to into responses: grow."""

import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from g2r.cli.banking import By, open_bank, print_json, whoever
from g2r.cli.base import BotPath, ConfigFile, Json, app, errors, output_option, watched
from g2r.cli.calibrating import judging
from g2r.cli.distilling import Teacher, teacher_config
from g2r.config import GrowConfig
from g2r.errors import ConfigError
from g2r.options import options_of, section

_CHOICES = "[y]es, [n]o, [s]kip, [q]uit"
_WORDS = {"y": "accept", "n": "reject", "s": "skip", "q": "quit"}


@app.command()
@options_of(GrowConfig)
def grow(
    path: BotPath,
    teacher: Teacher = "",
    judge: Annotated[
        str,
        typer.Option("--judge", help="Who rates, named like a teacher. [default: the teacher, if it can]"),
    ] = "",
    misses: Annotated[
        Path | None, typer.Option("--misses", help="Log of misses. [default: misses.jsonl of the bot]")
    ] = None,
    output: Annotated[
        Path | None,
        output_option("File of proposals. [default: proposals.jsonl of the bot]"),
    ] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Ask about each proposal: may it be said?")
    ] = False,
    accept: Annotated[
        Path | None, typer.Option("--accept", help="Add the accepted proposals of this file to the bank.")
    ] = None,
    accept_over: Annotated[
        float | None,
        typer.Option("--accept-over", help="Add undecided ones rated so high too, without review."),
    ] = None,
    by: By = "",
    config: ConfigFile = None,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Let a teacher write responses to what the bot had no reply to; what you accept joins the bank.

    With --teacher: write, rate and propose. With --review: decide. With --accept FILE: add what was accepted.
    """
    from g2r.growth import accept as accept_proposals
    from g2r.growth import read_proposals
    from g2r.misses import MISSES_FILE, PROPOSALS_FILE

    output = output or path / PROPOSALS_FILE
    if not (teacher or config or review or accept):
        raise ConfigError("nothing to do; name a --teacher, or give --review or --accept FILE")
    told: dict[str, Mapping[str, int]] = {}
    if teacher or config:
        settings = section(GrowConfig, "generate", config, options)
        told["proposed"] = _propose(
            path, misses or path / MISSES_FILE, output, teacher, judge, config, settings
        )
        accept = accept or (output if accept_over is not None else None)
    if review:
        told["reviewed"] = _review(accept or output)
    if accept:
        told["accepted"] = accept_proposals(
            open_bank(path), read_proposals(accept), over=accept_over, by=whoever(by)
        )
    if as_json:
        print_json({**told, "proposals": str(accept or output)})
        return
    for what, counts in told.items():
        print(f"{what}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    if "proposed" in told and not accept:
        errors.print(f"review {output}: g2r grow {path} --review --accept {output}", markup=False)


def _propose(
    path: Path,
    misses: Path,
    output: Path,
    teacher: str,
    judge: str,
    config: Path | None,
    settings: GrowConfig,
) -> Mapping[str, int]:
    """Add new proposals to those of the file, whose decisions stay."""
    from g2r.growth import propose, read_proposals, write_proposals
    from g2r.misses import read_misses
    from g2r.teachers import open_teacher, parse_teacher

    before = read_proposals(output) if output.is_file() else []
    journals = output.with_name(output.name + ".journals")
    with watched("grow") as progress:
        found = propose(
            read_misses(misses),
            open_bank(path),
            open_teacher(teacher_config(teacher, config)),
            judge=open_teacher(judging(parse_teacher(judge))) if judge else None,
            settings=settings,
            proposed=before,
            journals=journals,
            progress=progress,
        )
    write_proposals(output, [*before, *found.items])
    shutil.rmtree(journals, ignore_errors=True)
    return found.counts


def _review(file: Path) -> Mapping[str, int]:
    """Ask about every undecided proposal; each decision is in the file before the next question."""
    from g2r.growth import decided, read_proposals, write_proposals

    proposals = read_proposals(file)
    counts: Counter[str] = Counter({"accepted": 0, "rejected": 0, "left": 0})
    for place, proposal in enumerate(proposals):
        if proposal.accepted is not None:
            continue
        score = "" if proposal.score is None else f"  ({proposal.score:g} of 10)"
        errors.print(f"\n{place + 1}/{len(proposals)}  {proposal.text}{score}", markup=False)
        for context in proposal.contexts[:3]:
            errors.print(f"  to: {' | '.join(context)}", markup=False, style="dim")
        choice = _ask()
        if choice == "quit":
            break
        if choice != "skip":
            proposals = decided(proposals, place, choice == "accept")
            write_proposals(file, proposals)
            counts["accepted" if choice == "accept" else "rejected"] += 1
    counts["left"] = sum(proposal.accepted is None for proposal in proposals)
    return counts


def _ask() -> str:
    """Ask until there is an answer: accept, reject, skip or quit; the end of the input quits."""
    while True:
        errors.print(f"{_CHOICES}: ", markup=False, end="")
        line = sys.stdin.readline()
        word = line.strip().lower()[:1] if line else "q"
        if word in _WORDS:
            return _WORDS[word]
