"""The commands of the ranker."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from g2r.cli.base import ConfigFile, Json, app, errors, output_option, watched
from g2r.cli.judging import HeldOut
from g2r.config import RankerConfig
from g2r.options import options_of, section

ranking = typer.Typer(help="Train the ranker, a second stage that orders what was found by vectors alone.")
app.add_typer(ranking, name="ranker")


@ranking.callback()
def ranker() -> None:
    """Train the ranker, a second stage that orders what was found by vectors alone."""


@ranking.command()
@options_of(RankerConfig)
def train(
    bot: Annotated[Path, typer.Argument(help="Folder of the bot.")],
    lists: Annotated[
        list[Path],
        typer.Argument(
            help="What the bot retrieved, rated: id, turns, candidates, scores (JSON Lines), or what g2r "
            "retrieve and g2r score wrote (parquet)."
        ),
    ],
    output: Annotated[
        Path | None, output_option("Where the ranker is written; the folder ranker of the bot by default.")
    ] = None,
    held_out: HeldOut = None,
    config: ConfigFile = None,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Train a ranker on rated lists, and measure it on lists of other dialogues."""
    from g2r.bot import RANKER_FOLDER, Bot, read_rules
    from g2r.judge.data import read_held_out, read_rated_lists, without_held_out
    from g2r.ranker.training import train_ranker

    settings = section(RankerConfig, "ranker", config, options)
    rules = read_rules(bot).model_copy(
        update={"rerank": 0, "min_score": None, "min_confidence": None, "max_bad_replies": None}
    )
    every = [item for path in lists for item in read_rated_lists(path)]
    _, rated = without_held_out([], every, read_held_out(held_out or ()))
    place = output or bot / RANKER_FOLDER
    with watched("ranker") as progress:
        made = train_ranker(
            Bot.load(bot, config=rules), rated, output=place, config=settings, progress=progress
        )
    if as_json:
        print(json.dumps({"output": str(place), **made.record.measured}))
    else:
        told = ", ".join(f"{name} {value:g}" for name, value in made.record.measured.items())
        errors.print(f'{place}: {told}; {{"rerank": 30}} in bot.json uses it', markup=False)
