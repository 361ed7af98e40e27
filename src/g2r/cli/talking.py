"""The commands that open a bot: chat, reply."""

import json
import sys
from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g2r.cli.base import DEFAULT_BOT, BankName, BotPath, Json, app, errors, share_cores
from g2r.errors import InputError
from g2r.reading.lines import STDIN, decoded, numbered_lines

if TYPE_CHECKING:
    from g2r.bank import ResponseBank

NOTHING_SAID = 3


@app.command()
def chat(
    path: BotPath = DEFAULT_BOT,
    bank: BankName = "bank",
) -> None:
    """Talk to a bot; /top shows its candidates, /ban forbids one for ever, /undo takes that back."""
    from g2r.bot import Bot
    from g2r.chat import HELP, Chat

    share_cores()
    talk = Chat(Bot.load(path, bank=bank))
    people = sys.stdin.isatty()
    if people:
        errors.print(f"[dim]{len(talk.bot.bank):,} responses.\n{HELP}[/dim]", markup=True)
    while True:
        try:
            answer = talk.hear(input("you: ") if people else _line())
        except EOFError:
            return
        except (InputError, UnicodeDecodeError) as error:
            answer = f"({error})"
        if answer:
            print(f"bot: {answer}" if people else answer, flush=True)


def _line() -> str:
    """The next line of standard input where nobody types it; bytes, as a text stream loses what follows wrong ones.

    Raises:
        EOFError: there is none.
        InputError: it is not UTF-8.
    """
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return decoded(line, "this line")


@app.command()
def reply(
    path: BotPath = DEFAULT_BOT,
    bank: BankName = "bank",
    tags: Annotated[str, typer.Option("--tags", help="Only responses with all of these tags.")] = "",
    without: Annotated[str, typer.Option("--without", help="No response with one of these tags.")] = "",
    candidates: Annotated[int, typer.Option("--candidates", help="Candidates shown with --json.")] = 10,
    as_json: Json = False,
) -> None:
    """Answer one context read from standard input: a JSON list of turns, oldest first.

    Where the bot has no reply, standard error says so and the exit status is 3.
    """
    from g2r.bot import Bot

    text = "\n".join(line for _, line in numbered_lines(STDIN))
    try:
        turns = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f'standard input is no JSON ({error}); expected a list of turns: ["hi, how are you?"]'
        ) from None
    share_cores()
    bot = Bot.load(path, bank=bank)
    wanted = tag_list(tags)
    answer = bot.reply(turns, tags=wanted, without=tag_list(without), candidates=candidates)
    if as_json:
        print(json.dumps(_plain(asdict(answer)), ensure_ascii=False))
    elif answer.text:
        print(answer.text)
    if answer.abstained:
        errors.print(f"g2r: no reply: {_why(bot.bank, wanted, answer.candidates)}", markup=False)
        raise typer.Exit(NOTHING_SAID)


def _why(bank: "ResponseBank", tags: Collection[str], candidates: Collection[object]) -> str:
    """Why a bot has none."""
    if candidates:
        return "the bot is not sure enough of its best candidate, which --json shows"
    if unknown := [tag for tag in tags if not bank.allowed([tag]).any()]:
        return f"no response that may be said has the tag {unknown[0]!r}; see g2r bank list --tags"
    return "the rules leave no candidate (tags, bans, and no repetition of what was said)"


def tag_list(given: str) -> list[str]:
    """Tags given as one comma-separated value."""
    return [tag.strip() for tag in given.split(",") if tag.strip()]


def _plain(value: Any) -> Any:
    """The value with sets and tuples as lists, for JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
