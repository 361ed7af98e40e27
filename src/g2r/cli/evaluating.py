"""The command that measures a run: evaluate."""

from pathlib import Path
from typing import Annotated, Any

import typer

from g2r.cli.base import Force, Json, app, output_option, show, watched
from g2r.config import EvaluateConfig, RunConfig, parse_config, read_run_config
from g2r.errors import InputError
from g2r.options import options_of


@app.command()
@options_of(EvaluateConfig)
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, or its run file.")],
    output: Annotated[Path | None, output_option("Where it is written. [default: RUN/evaluation]")] = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Measure a finished run: students x banks and controls, lists, learned scorers, people, teacher, judge."""
    from g2r.pipeline import evaluate_stage

    folder, config = opened(run)
    settings = parse_config(
        EvaluateConfig,
        {**config.report.model_dump(exclude_unset=True), **options},
        where="command line: evaluate",
    )
    stage = evaluate_stage(config, folder, settings, output or folder / "evaluation")
    show([stage.run(force=force, progress=watched)], as_json=as_json)
    if not as_json:
        print((stage.output / "summary.md").read_text(encoding="utf-8"))


def opened(run: Path) -> tuple[Path, RunConfig]:
    """The folder of a run and its configuration, from the folder or the run file (runs/NAME.yaml: runs/NAME).

    Raises:
        InputError: there is no such run.
        ConfigError: the file does not describe a run.
    """
    if run.is_dir():
        if not (run / "config.yaml").is_file():
            raise InputError(f"{run} holds no run (no config.yaml); make it with g2r run")
        return run, read_run_config(run / "config.yaml")
    config = read_run_config(run)
    folder = Path("runs") / run.stem
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{run} has not been run yet: no run in {folder}; give its folder, or g2r run {run}")
    return folder, config
