"""The commands about what people think of replies: rate, ratings."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from g2r.cli.base import Json, Output, app, errors
from g2r.config import RateConfig, RatingsConfig, ServeConfig, parse_config
from g2r.options import options_of


@app.command()
@options_of(RateConfig)
def rate(
    replies: Annotated[
        Path,
        typer.Argument(
            help="results.jsonl of a report, or lines with context_id, turns and replies by system."
        ),
    ],
    output: Output,
    *,
    options: dict[str, Any],
) -> None:
    """Open a page on this machine where one rater judges replies, blind; killed, it goes on where it stopped."""
    config = parse_config(RateConfig, options, where="command line: rate")
    from g2r.rating.items import draw_items, read_replies
    from g2r.rating.judgements import JudgementFile
    from g2r.rating.server import create_app
    from g2r.server.running import address_of, listen, serve

    items = draw_items(read_replies(replies), config)
    file = JudgementFile(output)
    judged = {judgement.item_id for judgement in file.judgements(config.rater)}
    left = sum(item.item_id not in judged for item in items)
    place = ServeConfig(port=config.port)
    with listen(place) as listener:
        print(address_of(listener), flush=True)
        errors.print(f"{left} of {len(items)} items left for {config.rater}; Ctrl-C ends it", markup=False)
        serve(create_app(items, file, rater=config.rater), listener, place)


@app.command()
@options_of(RatingsConfig)
def ratings(
    files: Annotated[list[Path], typer.Argument(help="What g2r rate wrote, of one rater or more.")],
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Turn judgements into win rates, strengths, averages and agreement, with intervals."""
    config = parse_config(RatingsConfig, options, where="command line: ratings")
    from g2r.evaluation.report import as_json as plain
    from g2r.evaluation.report import summary
    from g2r.rating.judgements import read_judgements
    from g2r.rating.opinions import summarise
    from g2r.rating.tables import sections

    opinions = summarise(read_judgements(files), config)
    if as_json:
        print(json.dumps(plain(opinions), ensure_ascii=False, allow_nan=False))
    else:
        print(summary(sections(opinions), title="What people say"), end="")
