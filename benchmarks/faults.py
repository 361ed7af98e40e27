"""The server killed while its bank is changed: `python benchmarks/faults.py --rounds 50`, on this machine alone.

Each round starts `g2r serve`, compares what holds with what was acknowledged, changes the bank from five threads
at once (bans, tags, additions, hot swaps, and questions beside them), and kills the process with SIGKILL at a
moment nobody chose. After half of the kills an unfinished line and the leftovers of an unfinished swap are put
there too, since a kill rarely falls into the middle of a write. The end of it is a table; the exit status is 1 if
anything was lost, failed, or did not start.

Without a BOT folder it is a bot of hashed words from the tests, whose encoder takes no time.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from open_loop import NO_ANSWER, Server, serving

from g2r.dialogue import content_id

TESTS = Path(__file__).resolve().parent.parent / "tests"
KINDS = ("ban", "tag", "add", "swap")
TAG = "marked"
PAGE = 1000
UNFINISHED = '{"action": "ban", "response_id": "0123'

Thing = tuple[str, str]


@dataclass
class Ledger:
    """What must hold after a kill: of each thing the states that it may be in.

    A change that was not acknowledged may or may not have been made; one that was, must have been.

    Attributes:
        states: by kind and name.
        asked, acknowledged, lost: changes by kind.
        replies: answers to questions by status.
        torn: unfinished lines and swaps that were put there.
        first_reply_s: seconds from the start of the process until the bank was compared, of each round.
    """

    states: dict[Thing, set[str]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    replies: Counter[int] = field(default_factory=Counter)
    torn: int = 0
    first_reply_s: list[float] = field(default_factory=list)

    def change(self, thing: Thing, before: str, after: str, make: Callable[[], bool]) -> None:
        """Ask for a change and write down what came of it; `before` is what held of a thing not met so far."""
        self.states.setdefault(thing, {before}).add(after)
        self.asked[thing[0]] += 1
        if make():
            self.states[thing] = {after}
            self.acknowledged[thing[0]] += 1

    def compare(self, thing: Thing, state: str) -> None:
        """Count what a kill undid, and tell it; go on from what is there now."""
        expected = self.states.get(thing, {state})
        if state not in expected:
            self.lost[thing[0]] += 1
            print(f"lost: {' '.join(thing)} is {state}, expected {' or '.join(expected)}", file=sys.stderr)
        self.states[thing] = {state}

    @property
    def failed(self) -> int:
        """Questions that were answered otherwise than with a reply; no answer is what a kill leaves."""
        return self.replies.total() - self.replies[200] - self.replies[NO_ANSWER]

    def table(self, rounds: int) -> str:
        """The result as Markdown."""
        rows = [
            f"| {kind} | {self.asked[kind]} | {self.acknowledged[kind]} | {self.lost[kind]} |"
            for kind in KINDS
        ]
        total = f"| all | {self.asked.total()} | {self.acknowledged.total()} | {self.lost.total()} |"
        return "\n".join(
            [
                "| change | asked for | acknowledged | acknowledged and lost |",
                "|---|---:|---:|---:|",
                *rows,
                total,
                "",
                f"{rounds} times kill -9, {len(self.first_reply_s)} starts, none failed; {self.torn} unfinished lines and "
                f"swaps put there; {self.replies[200]} replies beside the changes, {self.failed} failed.",
            ]
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bot", type=Path, nargs="?", help="a folder that g2r serve takes")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1.5, help="the longest life of a server")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        places = [Path(scratch).resolve() / name for name in ("home", "other")]
        program = copy_bots(options.bot, places)
        ledger = run(program, places, options.rounds, options.seconds, random.Random(options.seed))
    print(ledger.table(options.rounds))
    sys.exit(1 if ledger.lost.total() or ledger.failed else 0)


def copy_bots(bot: Path | None, places: Sequence[Path]) -> Sequence[str]:
    """Put a bot into each place; return the program that serves them."""
    if bot is None:
        sys.path.insert(0, str(TESTS))
        from bot_server import TOPICS, save_bot

        for place, topics in zip(places, (TOPICS, (*TOPICS, "opera")), strict=True):
            save_bot(place, topics=topics)
        return (sys.executable, str(TESTS / "bot_server.py"))
    for place in places:
        for part in ("student", "bank"):
            shutil.copytree(bot / part, place / part)
        if (bot / "bot.json").is_file():
            shutil.copy(bot / "bot.json", place)
    return (sys.executable, "-m", "g2r")


def run(
    program: Sequence[str], places: Sequence[Path], rounds: int, seconds: float, draw: random.Random
) -> Ledger:
    """Start, compare, disturb and kill, `rounds` times; start and compare once more."""
    ledger = Ledger({("swap", "served"): {str(places[0])}})
    for number in range(rounds + 1):
        start = time.perf_counter()
        with serving(places[0], ("--max-delay-ms", "1000000"), program=program) as server:
            known = compare(server, ledger)
            ledger.first_reply_s.append(time.perf_counter() - start)
            if number < rounds:
                disturb(Disturbance(server, ledger, places, known), seconds, draw)
        if draw.random() < 0.5:
            tear(places, ledger)
        print(
            f"{number}: {ledger.acknowledged.total()} acknowledged, {ledger.lost.total()} lost",
            file=sys.stderr,
            flush=True,
        )
    return ledger


def compare(server: Server, ledger: Ledger) -> list[str]:
    """Compare what holds now with what was acknowledged; return the ids of the responses that were not added."""
    ledger.compare(("swap", "served"), server.started["place"]["bot"])
    there = responses(server)
    for thing in [thing for thing in ledger.states if thing[0] != "swap"]:
        kind, response_id = thing
        found = there.get(response_id)
        if kind == "add":
            # One that was not acknowledged may turn up later: it can stand in the log of a bank that was swapped out
            # while it was made, and come back with that bank.
            if found or "absent" not in ledger.states[thing]:
                ledger.compare(thing, "there" if found else "absent")
        elif found:  # the bank that is served now may lack a response that the other one has
            states = {
                "ban": ("allowed", "banned")[found["banned"]],
                "tag": ("plain", "tagged")[TAG in found["tags"]],
            }
            ledger.compare(thing, states[kind])
    banned = {response_id for response_id, response in there.items() if response["banned"]}
    status, text = server.call("/reply", {"turns": ["hi"], "candidates": 50})
    ledger.replies[status] += 1
    said = {candidate["response_id"] for candidate in json.loads(text)["candidates"]}
    for response_id in said & banned:
        ledger.lost["ban"] += 1
        print(f"lost: {response_id} is banned, and was said", file=sys.stderr)
    return [response_id for response_id in there if ("add", response_id) not in ledger.states]


def responses(server: Server) -> dict[str, Any]:
    """Every response of the served bank by its id."""
    found: dict[str, Any] = {}
    while True:
        page = json.loads(server.call(f"/admin/bank/list?limit={PAGE}&offset={len(found)}")[1])
        found |= {response["response_id"]: response for response in page["responses"]}
        if len(page["responses"]) < PAGE:
            return found


@dataclass(frozen=True, slots=True)
class Disturbance:
    """The changes of one round; each method makes one, and writes down what came of it."""

    server: Server
    ledger: Ledger
    places: Sequence[Path]
    known: Sequence[str]

    def ban(self, draw: random.Random) -> None:
        chosen = draw.choice(self.known)
        action, state = draw.choice((("ban", "banned"), ("unban", "allowed")))
        self._change(("ban", chosen), "allowed", state, f"bank/{action}", {"response_id": chosen})

    def tag(self, draw: random.Random) -> None:
        chosen = draw.choice(self.known)
        action, state = draw.choice((("tag", "tagged"), ("untag", "plain")))
        body = {"response_id": chosen, "tags": [TAG]}
        self._change(("tag", chosen), "plain", state, f"bank/{action}", body)

    def add(self, draw: random.Random) -> None:
        text = f"{draw.randbytes(12).hex()} is new"
        body = {"texts": [text], "contexts": [[draw.randbytes(6).hex()]]}
        self._change(("add", content_id(text)), "absent", "there", "bank/add", body)

    def swap(self, draw: random.Random) -> None:
        place = str(draw.choice(self.places))
        self._change(("swap", "served"), str(self.places[0]), place, "swap", {"path": place})

    def ask(self, draw: random.Random) -> None:
        self.ledger.replies[self.server.call("/reply", {"turns": ["let us talk about tea"]})[0]] += 1

    def _change(self, thing: Thing, before: str, after: str, route: str, body: Any) -> None:
        self.ledger.change(thing, before, after, lambda: self.server.call(f"/admin/{route}", body)[0] == 200)


def disturb(round_: Disturbance, seconds: float, draw: random.Random) -> None:
    """Change the bank in every way at once until the server is killed, at a moment that is drawn."""
    process = round_.server.process
    assert process

    def go_on(act: Callable[[random.Random], None], seed: float) -> None:
        own = random.Random(seed)
        while process.poll() is None:
            act(own)
            time.sleep(own.uniform(0, 0.02))

    acts = (round_.ban, round_.tag, round_.add, round_.swap, round_.ask)
    with ThreadPoolExecutor(len(acts)) as pool:
        going = [pool.submit(go_on, act, draw.random()) for act in acts]
        time.sleep(draw.uniform(0.05, seconds))
        process.kill()
    for done in going:
        done.result()


def tear(places: Sequence[Path], ledger: Ledger) -> None:
    """Leave what a kill in the middle of a write would: half a line in each log, and a swap that was not finished."""
    for place in places:
        log = place / "bank" / "log.jsonl"
        if log.is_file() and log.read_bytes().endswith(b"\n"):
            with log.open("a") as handle:
                handle.write(UNFINISHED)
            ledger.torn += 1
    leftover = places[0] / ".swapped.json.torn.partial"
    if not leftover.is_dir():
        leftover.mkdir()
        (leftover / "swapped.json").write_text('{"bot": "')
        ledger.torn += 1


if __name__ == "__main__":
    main()
