"""The command that makes a small context tower: compress."""

from pathlib import Path
from typing import Annotated, Any

import typer

from g2r.cli.base import Force, Json, Output, app, finish
from g2r.cli.distilling import ExamplesFile, Student
from g2r.config import CompressConfig, parse_config
from g2r.options import options_of


@app.command()
@options_of(CompressConfig)
def compress(
    examples: ExamplesFile,
    student: Student,
    bank: Annotated[Path, typer.Option("--bank", help="Folder of the bank that the student indexed.")],
    output: Output,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Distil a small context tower from a student: the bank and its index stay as they are."""
    from g2r.stages import compress_stage

    settings = parse_config(CompressConfig, options, where="command line")
    finish(compress_stage(examples, student, bank, settings, output), force=force, as_json=as_json)
