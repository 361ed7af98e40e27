"""What processes do to a bank in tests that kill them; they tell each change that they were promised."""

import random
from multiprocessing.connection import Connection
from pathlib import Path

from g2r.bank import ResponseBank
from g2r.bank.rows import BankResponse
from g2r.config import IndexConfig
from g2r.dialogue import content_id
from g2r.index import build_bank
from word_encoder import WordEncoder

TEXTS = [f"reply number {number} about {number * 7919 % 1000}" for number in range(60)]


def make_bank(size: int = len(TEXTS)) -> ResponseBank:
    return ResponseBank.from_responses(
        BankResponse(content_id(text), text, ("human",)) for text in TEXTS[:size]
    )


def change_for_ever(folder: Path, name: str, told: Connection) -> None:
    """Add, ban, tag without end; send (action, response id, mark) after each call has returned."""
    bank, draw = ResponseBank.load(folder), random.Random(name)
    for number in range(1_000_000):
        mark = f"{name}-{number}"
        match draw.choice(["add", "ban", "tag"]):
            case "add":
                text = f"{name} adds {number}: {draw.randbytes(6).hex()}"
                bank.add(text, contexts=[[draw.randbytes(draw.choice([5, 20_000])).hex()]], by=mark)
                told.send(("add", content_id(text), mark))
            case "ban":
                chosen = content_id(draw.choice(TEXTS))
                bank.ban(chosen, mark, by=mark)
                told.send(("ban", chosen, mark))
            case "tag":
                chosen = content_id(draw.choice(TEXTS))
                bank.tag(chosen, mark, by=mark)
                told.send(("tag", chosen, mark))


def rebuild_for_ever(folder: Path, told: Connection) -> None:
    """Put a newly built bank in the place of the one in `folder`, again and again."""
    config = IndexConfig(min_recall_at_1=0, min_recall_at_10=0)
    for number in range(1_000_000):
        build_bank(make_bank(len(TEXTS) - number % 3), WordEncoder(8), config, folder)
        told.send(("rebuilt", "", str(number)))


def look_when_asked(folder: Path, asked: Connection) -> None:
    """Hold a bank; at each question look once, and answer with what is banned and what was added."""
    bank = ResponseBank.load(folder)
    while asked.recv() == "look":
        bank.refresh()
        asked.send((sorted(bank.forbidden), [response.text for response in bank.fresh.values()]))
