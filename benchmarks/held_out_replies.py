"""First replies to the contexts of benchmarks/held_out_contexts.jsonl, one JSON object a line.

    python benchmarks/held_out_replies.py BOT --persona-chat synthetic_persona_chat/test.jsonl.gz --top 30

The starter dialogues are those of the package; the others are read from a JSON Lines file of {"id", "turns"}. A context
is the last four of a dialogue's first `turns` turns.
"""

import argparse
import gzip
import json
from pathlib import Path

from g2r import starter
from g2r.bot import Bot

CONTEXTS = Path(__file__).with_name("held_out_contexts.jsonl")
HISTORY = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bot", type=Path)
    parser.add_argument("--persona-chat", type=Path, required=True)
    parser.add_argument("--top", type=int, default=1, help="replies shown of each context")
    options = parser.parse_args()
    dialogues = {row["id"]: row["turns"] for row in starter.corpus()["dialogues"]}
    with gzip.open(options.persona_chat, "rt", encoding="utf-8") as file:
        dialogues |= {row["id"]: row["turns"] for row in map(json.loads, file)}
    bot = Bot.load(options.bot)
    for line in CONTEXTS.read_text(encoding="utf-8").splitlines():
        wanted = json.loads(line)
        turns = dialogues[wanted["id"]][: wanted["turns"]][-HISTORY:]
        found = bot.reply(turns, candidates=options.top).candidates
        row = {"id": wanted["id"], "turns": turns, "replies": [candidate.text for candidate in found]}
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
