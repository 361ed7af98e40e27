"""The embedded starter data, CC0: dialogues with several replies each, and a recorded teacher (see README.md)."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from g2r.dialogue import clean_text, content_id

FOLDER = Path(__file__).parent

CORPUS = ("dialogues", "situations", "plain", "coverage")

_SELF_DESCRIPTION = re.compile(
    r"\b(?:chatbot|bot|circuits|not human|if i were human|no person here|no little person|"
    r"(?:a|computer|all|only|just|being a) program|(?:of|just) software|^software|"
    r"(?:i'm|as|being) an? (?:[\w-]+ ){0,2}machine|words are all i have|(?:just|from) the internet|"
    r"(?:my|goldfish's|terrible) memory|memory i haven't|can't remember enough|"
    r"can't (?:taste|see|hear|look (?:it|that|this|things) up)|(?:can only|only) talk about such|chat program|"
    r"small program|live on electricity|live in the conversation|have (?:real nerves|an inner life|any accounts)|"
    r"remember past talks|without a clock|cut off from all|"
    r"no clock at this end|boredom needs a clock|can't look outside|no live|don't get any weather|"
    r"weather's beyond me|don't have a body|no body|"
    r"(?:just|only|plain|outside) english|english is|only really speak english)\b",
    re.IGNORECASE,
)


def corpus() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the starter corpus, by file: dialogues, situations, plain, coverage.

    The further contexts of contexts.jsonl stand with the rows of their ids.
    """
    further = {row["id"]: row["contexts"] for row in _rows("contexts")}
    rows = {name: _rows(name) for name in CORPUS}
    for row in (row for own in rows.values() for row in own if row["id"] in further):
        row["contexts"] += further[row["id"]]
    return rows


def recorded() -> list[dict[str, Any]]:
    """Return the recorded teacher's responses to chitchat contexts and its scores; contexts are named by id alone."""
    return _rows("recorded")


@cache
def chitchat_splits() -> dict[str, str]:
    """Return the split of every chitchat conversation that is held out, by the first 8 characters of its id."""
    return {prefix: row["split"] for row in _rows("chitchat_splits") for prefix in row["conversations"]}


@cache
def self_descriptions() -> frozenset[str]:
    """Return the ids of the starter responses that tell what the bot is: a program, without memory, in English.

    They are found by their words (bot, program, no memory, only English, ...), in the corpus alone, so that a
    bot of another nature can leave them out.
    """
    return frozenset(content_id(clean_text(text)) for text in _responses() if _SELF_DESCRIPTION.search(text))


def _responses() -> set[str]:
    """Every reply of the starter corpus."""
    rows = corpus()
    return {
        *(text for row in rows["dialogues"] for texts in row["alternatives"].values() for text in texts),
        *(row["turns"][int(key)] for row in rows["dialogues"] for key in row["alternatives"]),
        *(
            text
            for name in ("situations", "plain", "coverage")
            for row in rows[name]
            for text in row["replies"]
        ),
    }


def _rows(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]
