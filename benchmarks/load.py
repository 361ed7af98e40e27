"""The server under load: `python benchmarks/load.py MODE ...`, on this machine alone.

    rate BOT --rate 100 --seconds 10      one rate: p50, p95, p99 in ms, share of 503, achieved rate
    sweep BOT                             the highest rate with p99 under 50 ms, beside the encoder alone in batches
    soak BOT --rate 100 --minutes 10      errors, and the server's memory at start and end
    overload BOT --rate 300               p99 of what is accepted, share of what is refused

BOT is a folder that `g2r serve` takes; the server is started here, with what follows `--` as its options.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from open_loop import CONTEXTS, HEADER, Outcome, Server, load, serving

BAR_MS = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("bot", type=Path)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second; where a sweep begins")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each rate")
    parser.add_argument("--minutes", type=float, default=10.0, help="of a soak")
    parser.add_argument("--contexts", type=Path, help="JSON Lines, a list of turns each")
    parser.add_argument("--seed", type=int, default=0)
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:cut])
    options.serve, options.turns = given[cut + 1 :], list(CONTEXTS)
    if options.contexts:
        options.turns = [json.loads(line) for line in options.contexts.read_text().splitlines()]
    MODES[options.mode](options)


def measure(server: Server, options: argparse.Namespace, *, rate: float, seconds: float) -> Outcome:
    """Load at one rate, and print its row."""
    outcome = load(server.address, rate=rate, seconds=seconds, contexts=options.turns, seed=options.seed)
    print(outcome.line(), flush=True)
    return outcome


def warm(server: Server, options: argparse.Namespace) -> None:
    load(server.address, rate=10, seconds=2, contexts=options.turns, seed=options.seed)
    print(HEADER)


def run_rate(options: argparse.Namespace) -> None:
    with serving(options.bot, options.serve) as server:
        warm(server, options)
        measure(server, options, rate=options.rate, seconds=options.seconds)


def run_sweep(options: argparse.Namespace) -> None:
    """Raise the rate by a fourth until it is too much, then halve the last step three times."""
    with serving(options.bot, options.serve) as server:
        warm(server, options)

        def holds(rate: float) -> bool:
            outcome = measure(server, options, rate=rate, seconds=options.seconds)
            return outcome.percentile(99) < BAR_MS and not outcome.refused and not outcome.errors

        good, bad = 0.0, options.rate
        while holds(bad):
            good, bad = bad, 1.25 * bad
        for _ in range(3):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if holds(middle) else (good, middle)
    alone = encoder_rate(options.bot, options.turns, seconds=options.seconds)
    print(f"highest rate with p99 under {BAR_MS:g} ms, none refused: {good:.1f} a second")
    print(f"the encoder alone, in batches: {alone:.1f} contexts a second; ratio {good / alone:.2f}")


def encoder_rate(bot: Path, contexts: Sequence[Sequence[str]], *, seconds: float, batch: int = 16) -> float:
    """Contexts a second that the encoder encodes in batches, with all the views that a reply needs."""
    from g2r.bot import Bot
    from g2r.index.base import encode_views

    opened = Bot.load(bot)
    endless = itertools.cycle(contexts)
    encoded, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        encode_views(opened.encoder, list(itertools.islice(endless, batch)), opened.index.views)
        encoded += batch
    return encoded / spent


def run_soak(options: argparse.Namespace) -> None:
    with serving(options.bot, options.serve) as server:
        warm(server, options)
        memory, errors, refused, minutes = [server.resident_mib], 0, 0, options.minutes
        while minutes > 0:
            outcome = measure(server, options, rate=options.rate, seconds=60 * min(1, minutes))
            minutes -= 1
            options.seed += 1
            errors, refused = errors + outcome.errors, refused + outcome.counts[503]
            memory.append(server.resident_mib)
        print(
            f"errors {errors}, refused {refused}; MiB resident by minute: {', '.join(f'{m:.1f}' for m in memory)}"
        )


def run_overload(options: argparse.Namespace) -> None:
    with serving(options.bot, options.serve) as server:
        warm(server, options)
        outcome = measure(server, options, rate=options.rate, seconds=options.seconds)
        print(
            f"accepted {outcome.counts[200]} with p99 {outcome.percentile(99):.1f} ms, refused {outcome.refused:.3f} "
            f"with p99 {outcome.percentile(99, status=503):.1f} ms, errors {outcome.errors}"
        )


MODES = {
    "rate": run_rate,
    "sweep": run_sweep,
    "soak": run_soak,
    "overload": run_overload,
}

if __name__ == "__main__":
    main()
