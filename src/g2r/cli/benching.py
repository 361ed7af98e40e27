"""The command that measures speed: bench."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from g2r.cli.base import BotPath, Json, app, output_option, watched
from g2r.config import BenchConfig, parse_config
from g2r.options import options_of


@app.command()
@options_of(BenchConfig)
def bench(
    run: BotPath,
    output: Annotated[Path | None, output_option("Where it is written. [default: RUN/latency]")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Report that gets a copy of latency.json, for its page.")
    ] = None,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Time every system in one interleaved run: the bot, plain and generative rivals; search, cold start."""
    config = parse_config(BenchConfig, options, where="command line: bench")
    from g2r.evaluation.html.files import SPEED
    from g2r.evaluation.html.page import write_page
    from g2r.latency.bench import TABLES, VALUES, bench

    folder = output or run / "latency"
    with watched("bench") as progress:
        bench(run, folder, config, progress=progress)
    if report is not None:
        shutil.copyfile(folder / VALUES, report / SPEED)
        write_page(report)
    if as_json:
        print(
            json.dumps({"output": str(folder), **json.loads((folder / VALUES).read_text(encoding="utf-8"))})
        )
    else:
        print((folder / TABLES).read_text(encoding="utf-8"))
