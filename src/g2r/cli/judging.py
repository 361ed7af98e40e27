"""The commands of the judge: train it, and measure it on rated lists held out."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from g2r.cli.base import ConfigFile, Json, Output, app, errors, output_option, watched
from g2r.config import JudgeConfig
from g2r.options import options_of, section

judging = typer.Typer(help="Train and measure the judge, a cross-encoder that rates responses 0 to 10.")
app.add_typer(judging, name="judge")

OnPolicy = Annotated[
    list[Path] | None,
    typer.Option("--on-policy", help="JSON Lines of id, turns, candidates, scores; may be given again."),
]
HeldOut = Annotated[
    list[Path] | None,
    typer.Option("--held-out", help="Ids of dialogues and lists held out: one a line, or *.jsonl with id."),
]


@judging.command()
@options_of(JudgeConfig)
def train(
    examples: Annotated[list[Path], typer.Argument(help="Examples written by earlier stages (parquet).")],
    output: Output,
    on_policy: OnPolicy = None,
    held_out: HeldOut = None,
    config: ConfigFile = None,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Train a judge on next utterances, then on rated candidates; a killed training goes on."""
    from g2r.artifacts import read_examples
    from g2r.judge.data import read_held_out, read_on_policy, without_held_out
    from g2r.judge.training import train_judge

    settings = section(JudgeConfig, "judge", config, options)
    kept, lists = without_held_out(
        [example for path in examples for example in read_examples(path)],
        [item for path in on_policy or () for item in read_on_policy(path)],
        read_held_out(held_out or ()),
    )
    with watched("judge") as progress:
        judge = train_judge(kept, on_policy=lists, output=output, config=settings, progress=progress)
    _tell(output, judge.training, as_json=as_json)


def _tell(output: Path, measured: Mapping[str, Any], *, as_json: bool) -> None:
    """Tell what was made and what was measured of it."""
    if as_json:
        print(json.dumps({"output": str(output), **measured}))
    else:
        errors.print(f"{output}: " + ", ".join(f"{k} {v}" for k, v in measured.items()), markup=False)


@judging.command()
def export(
    judge: Annotated[Path, typer.Argument(help="Folder of the judge.")],
    output: Annotated[Path, output_option("The folder judge of a bot or a run.")],
    lists: Annotated[
        Path | None,
        typer.Option(
            "--lists", help="Lists on which the 8-bit graph is compared: id, turns, candidates, scores."
        ),
    ] = None,
    most: Annotated[int, typer.Option("--most", help="Lists compared, at most.")] = 200,
    as_json: Json = False,
) -> None:
    """Write a judge as ONNX graphs: the second stage of a bot, used if its config has rerank over 0."""
    from g2r.evaluation.selection import read_judged_lists
    from g2r.judge.export import export_judge
    from g2r.judge.model import Judge

    compared = [(item.context, item.candidates) for item in read_judged_lists(lists)[:most]] if lists else []
    measured = export_judge(Judge.load(judge), output, lists=compared)
    _tell(output, measured, as_json=as_json)


@judging.command()
def measure(
    judges: Annotated[list[Path], typer.Argument(help="Folders of judges.")],
    lists: Annotated[Path, typer.Option("--lists", help="Rated lists: id, turns, candidates, scores.")],
    only: Annotated[
        list[Path] | None, typer.Option("--only", help="Ids of the lists that count, one a line.")
    ] = None,
    examples: Annotated[
        list[Path] | None,
        typer.Option(
            "--examples",
            help="Examples whose split train says for what contexts candidates were written, as in a bank.",
        ),
    ] = None,
    base: Annotated[
        str, typer.Option("--base", help="Student or base whose response and context keys are compared.")
    ] = "minilm",
    as_json: Json = False,
) -> None:
    """How often a judge's first choice was rated 6 or more, beside chance, BM25 and context keys."""
    from g2r.artifacts import read_examples
    from g2r.evaluation.judging import compare_orderings, plain_scorers
    from g2r.evaluation.scorers import MemoEncoder
    from g2r.evaluation.selection import read_judged_lists
    from g2r.evaluation.significance import Estimate
    from g2r.judge.data import read_held_out
    from g2r.judge.model import Judge
    from g2r.student import BiEncoder

    rated = read_judged_lists(lists, ids=read_held_out(only or ()))
    written = [example for path in examples or () for example in read_examples(path)]
    scorers = plain_scorers(MemoEncoder(BiEncoder.load(base)), written, rated)
    scorers |= {str(path): Judge.load(path).score_lists for path in judges}
    rows = compare_orderings(scorers, rated)
    if as_json:
        print(json.dumps({name: asdict(row) for name, row in rows.items()}))
        return
    table = Table("", "first choice good", "rho", box=None, header_style="bold")
    for name, row in rows.items():
        share = row.first_good
        shown = (
            f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"
            if isinstance(share, Estimate)
            else str(share)
        )
        table.add_row(name, shown, "" if row.rho is None else f"{row.rho:.3f}")
    Console(highlight=False).print(table)
