"""The commands that open a bot: chat, reply."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from g2r.cli.base import DEFAULT_BOT, BotPath, Json, app, errors
from g2r.errors import InputError


@app.command()
def chat(
    path: BotPath = DEFAULT_BOT,
    bank: Annotated[str, typer.Option("--bank", help="Subfolder of the bank.")] = "bank",
) -> None:
    """Talk to a bot; /top shows its candidates, /ban forbids one for ever, /undo takes that back."""
    from g2r.bot import Bot
    from g2r.chat import HELP, Chat

    talk = Chat(Bot.load(path, bank=bank))
    people = sys.stdin.isatty()
    if people:
        errors.print(f"[dim]{len(talk.bot.bank):,} responses.\n{HELP}[/dim]", markup=True)
    while True:
        try:
            line = input("you: " if people else "")
            answer = talk.hear(line)
        except EOFError:
            return
        except (InputError, UnicodeDecodeError) as error:
            answer = f"({error})"
        if answer:
            print(f"bot: {answer}" if people else answer, flush=True)


@app.command()
def reply(
    path: BotPath = DEFAULT_BOT,
    bank: Annotated[str, typer.Option("--bank", help="Subfolder of the bank.")] = "bank",
    tags: Annotated[str, typer.Option("--tags", help="Only responses with all of these tags.")] = "",
    without: Annotated[str, typer.Option("--without", help="No response with one of these tags.")] = "",
    candidates: Annotated[int, typer.Option("--candidates", help="Candidates shown with --json.")] = 10,
    as_json: Json = False,
) -> None:
    """Answer one context read from standard input: a JSON list of turns, oldest first."""
    from g2r.bot import Bot

    try:
        turns = json.loads(sys.stdin.read())
    except (ValueError, RecursionError) as error:
        raise InputError(
            f'standard input is no JSON ({error}); expected a list of turns: ["hi, how are you?"]'
        ) from None
    answer = Bot.load(path, bank=bank).reply(
        turns, tags=tag_list(tags), without=tag_list(without), candidates=candidates
    )
    print(json.dumps(_plain(asdict(answer)), ensure_ascii=False) if as_json else answer.text)


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
