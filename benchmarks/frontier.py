"""Quality against speed of bots that differ in their context tower: `python benchmarks/frontier.py BOT [BOT ...]`.

Each BOT is a folder that `Bot.load` opens, or NAME=FOLDER; the first is the full one, with which the others are
compared. Replies are timed one by one, the bots taking turns in every round, all with as many threads. The table has
p50, p95 and p99 of a reply and of its phases, hits@1/20 and /100 of contexts against responses, and how often the
served first reply is the full bot's. `--no-timing` prints the quality alone, `--plot FILE` draws it against p50 (SVG).

    python benchmarks/frontier.py full=runs/starter static=bots/static --examples runs/starter/scored.parquet
"""

import argparse
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g2r.artifacts import read_examples
from g2r.bot import Bot
from g2r.dialogue import Context, Example
from g2r.encoder import OnnxEncoder
from g2r.evaluation.html.plots import Scatter, scatter
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.significance import Estimate, bootstrap_mean
from g2r.evaluation.students import compare_students
from g2r.evaluation.tables import table
from g2r.index.base import encode_views
from g2r.latency.percentiles import PERCENTILES, percentile
from g2r.latency.rounds import TOTAL, Plan, measure_replies
from g2r.latency.searching import faiss_threads
from g2r.latency.systems import PhasedEncoder, TimedBot

PHASES = ("tokenise", "encode", "search", "rules", TOTAL)
WIDTH, HEIGHT, MARGIN = 720, 360, 60


@dataclass(frozen=True, slots=True)
class Quality:
    """What a bot says, beside the full one.

    Attributes:
        hits: hits@1 by length of the list.
        same: share of contexts with the same served first reply.
        recall: share of the full bot's ten first candidates that are among this one's.
        cosine: between the encoders' vectors of the views that are searched.
    """

    hits: Mapping[int, Estimate | NotComputed]
    same: Estimate | NotComputed
    recall: float
    cosine: float


def open_bots(named: Sequence[str], *, threads: int) -> dict[str, Bot]:
    """Bots by name, all on ONNX Runtime with as many threads."""
    bots = {}
    for given in named:
        name, _, folder = given.rpartition("=")
        path = Path(folder)
        opened = Bot.load(path)
        encoder = OnnxEncoder.load(path / "student" / "onnx", threads=threads)
        bots[name or path.name] = Bot(encoder, opened.bank, opened.index, config=opened.config)
    return bots


def measure_quality(bots: Mapping[str, Bot], examples: Sequence[Example]) -> dict[str, Quality]:
    """Each bot on held-out contexts; the first is what the others are compared with."""
    contexts = list(dict.fromkeys(example.context for example in examples))
    compared = compare_students({name: bot.encoder for name, bot in bots.items()}, examples)
    hits = {row.name: row.hits for row in compared.rows}
    found = {
        name: [[c.response_id for c in bot.candidates(context, 10)] for context in contexts]
        for name, bot in bots.items()
    }
    vectors = {
        name: np.concatenate([encode_views(bot.encoder, [c], bot.index.views) for c in contexts])
        for name, bot in bots.items()
    }
    full = next(iter(bots))
    return {
        name: Quality(
            hits[name],
            bootstrap_mean(
                np.array([a[:1] == b[:1] for a, b in zip(found[full], own, strict=True)], dtype=float)
            ),
            float(np.mean([len({*a} & {*b}) / len(a) for a, b in zip(found[full], own, strict=True) if a])),
            float(np.mean(np.sum(vectors[full] * vectors[name], axis=-1))),
        )
        for name, own in found.items()
    }


def measure_speed(
    bots: Mapping[str, Bot],
    contexts: Sequence[Context],
    warm_up: Sequence[Context],
    *,
    rounds: int,
    seed: int,
) -> dict[str, dict[str, Floats]]:
    """Milliseconds by bot and phase, (contexts, rounds); the bots take turns."""
    systems = []
    for name, bot in bots.items():
        phased = PhasedEncoder(bot.encoder)
        systems.append(TimedBot(name, Bot(phased, bot.bank, bot.index, config=bot.config), phased))
    plan = Plan(rounds, slow_contexts=1, slow_rounds=1, seed=seed)
    return measure_replies(systems, contexts, warm_up, plan, record=lambda measured: None)


def speed_rows(taken: Mapping[str, Mapping[str, Floats]]) -> list[tuple[object, ...]]:
    """One row a bot: percentiles of the reply with intervals, medians of its phases."""
    return [
        (
            name,
            *(percentile(phases[TOTAL], at) for at in PERCENTILES),
            *(float(np.median(phases[phase])) for phase in PHASES[:-1]),
        )
        for name, phases in taken.items()
    ]


def drawing(marks: Scatter, *, x_title: str, y_title: str) -> str:
    """A scatter plot as an SVG file of its own."""
    inner = WIDTH - 2 * MARGIN

    def across(percent: float) -> float:
        return round(MARGIN + inner * percent / 100, 1)

    low = MARGIN / 2 + marks.height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + MARGIN}" font-family="sans-serif" '
        f'font-size="13" role="img" aria-label="{html.escape(f"{y_title} against {x_title}")}">'
    ]
    for tick in marks.x_axis.ticks:
        x = across(tick.position)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{MARGIN / 2}" y2="{low}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{low + 18}" text-anchor="middle">{tick.label}</text>')
    for tick in marks.y_axis.ticks:
        y = round(low - marks.height * tick.position / 100, 1)
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 8}" y="{y + 4}" text-anchor="end">{tick.label}</text>')
    for point in marks.points:
        x, away = across(point.x), -10 if point.left else 10
        anchor = "end" if point.left else "start"
        parts.append(f'<circle cx="{x}" cy="{point.y + MARGIN / 2}" r="5" fill="#2563a8"/>')
        parts.append(
            f'<text x="{x + away}" y="{point.label_y + MARGIN / 2 + 4}" text-anchor="{anchor}">'
            f"{html.escape(point.label)}</text>"
        )
    parts.append(f'<text x="{WIDTH / 2}" y="{low + 40}" text-anchor="middle">{html.escape(x_title)}</text>')
    parts.append(f'<text x="{MARGIN}" y="{MARGIN / 2 - 10}">{html.escape(y_title)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bots", nargs="+", help="FOLDER or NAME=FOLDER, the full one first")
    parser.add_argument("--examples", type=Path, required=True, help="parquet; its split test is asked")
    parser.add_argument("--ids", default="", help="beginnings of dialogue ids, by commas; all if empty")
    parser.add_argument("--contexts", type=int, default=100, help="contexts that are timed")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-timing", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path, help="every number, as JSON")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    beginnings = tuple(options.ids.split(","))
    test = [
        example
        for example in read_examples(options.examples)
        if example.split == "test" and example.dialogue_id.startswith(beginnings)
    ]
    bots = open_bots(options.bots, threads=options.threads)
    full = next(iter(bots))
    quality = measure_quality(bots, test)
    print(
        table(
            ("context tower", "hits@1/20", "hits@1/100", f"first reply of {full}", "recall@10", "cosine"),
            [
                (name, *(own.hits.get(size) for size in (20, 100)), own.same, own.recall, own.cosine)
                for name, own in quality.items()
            ],
        ).markdown()
    )
    measured: dict[str, object] = {
        name: {
            "hits": {size: getattr(hits, "value", None) for size, hits in own.hits.items()},
            "first_same": getattr(own.same, "value", None),
            "recall@10": own.recall,
            "cosine": own.cosine,
        }
        for name, own in quality.items()
    }
    if not options.no_timing:
        contexts = list(dict.fromkeys(example.context for example in test))
        order = np.random.default_rng(options.seed).permutation(len(contexts))
        drawn = [contexts[i] for i in order]
        timed, warm_up = drawn[: options.contexts], drawn[options.contexts :][:20] or drawn[:1]
        with faiss_threads(options.threads):
            taken = measure_speed(bots, timed, warm_up, rounds=options.rounds, seed=options.seed)
        heads = ("context tower", *(f"p{at}, ms" for at in PERCENTILES), *PHASES[:-1])
        print("\n" + table(heads, speed_rows(taken)).markdown())
        medians = {name: float(np.median(phases[TOTAL])) for name, phases in taken.items()}
        measured["p50_ms"] = medians
        if options.plot:
            points = [
                (name, medians[name], float(getattr(q.hits[20], "value", 0))) for name, q in quality.items()
            ]
            drawn_plot = drawing(
                scatter(points), x_title="median ms of a reply, one thread each", y_title="hits@1/20"
            )
            options.plot.write_text(drawn_plot, encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
