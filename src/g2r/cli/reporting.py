"""The command that shows what was measured: report."""

import json
from pathlib import Path
from typing import Annotated

import typer

from g2r.cli.base import DEFAULT_BOT, Json, app


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(help="Folder of a report, or a run that holds one.")
    ] = DEFAULT_BOT,
    as_json: Json = False,
) -> None:
    """Write the page of a report, report.html, from the files beside it; nothing is evaluated again."""
    from g2r.evaluation.html.page import write_page

    inner = folder / "report"
    page = write_page(inner if inner.is_dir() else folder)
    print(json.dumps({"page": str(page)}) if as_json else page)
