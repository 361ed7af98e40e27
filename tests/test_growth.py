"""From misses through a teacher and a judge to proposals, and from accepted proposals to replies."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot_server import word_bot
from g2r.bot import Bot
from g2r.config import GenerateConfig, GrowConfig
from g2r.dialogue import Context, Scores, content_id
from g2r.errors import InputError, TeacherError
from g2r.growth import Proposal, accept, decided, propose, read_proposals, write_proposals
from g2r.misses import Miss
from g2r.teachers.base import Sample

FISHING, SAILING = ("do you ever go fishing",), ("hi", "hello", "what about sailing then")
MISSES = [
    Miss(FISHING, proposed="I fish for trout in spring.", source="gpt"),
    Miss(SAILING),
    Miss(FISHING, proposed="I fish for trout in spring!", source="gpt"),
    Miss(),
]
TEA = "tea is what I think about most, by human"


class Writer:
    """Writes by the last word of the context; rates a response by the number at its end, if it can rate."""

    def __init__(self, texts: dict[str, list[str]], *, rates: bool = True, fail: str = "") -> None:
        self.name = "writer"
        self.score_kinds = frozenset({"judge"} if rates else ())
        self.texts = texts
        self.fail = fail
        self.asked: list[Context] = []

    def generate(
        self, contexts: Sequence[Context], settings: GenerateConfig, *, seed: int
    ) -> list[list[Sample]]:
        self.asked += contexts
        return [
            [Sample(text) for text in self.texts[c[-1].split()[-1]]][: settings.responses_per_context]
            for c in contexts
        ]

    def score(self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]) -> list[list[Scores]]:
        if self.fail:
            raise TeacherError(self.fail)
        return [[Scores(judge=self._rating(text)) for text in own] for own in responses]

    def _rating(self, text: str) -> float:
        last = text.split()[-1]
        return float(last) if last.isdigit() else 7.0


TEXTS = {
    "fishing": ["Only on a quiet lake, rated 9", "No idea, rated 2", TEA, "Never mind all that, rated 8"],
    "then": [
        "Only on a quiet lake, rated 9",
        "Wind and water are all I need, rated 8",
        "",
        "Boats boats boats boats",
    ],
}


def test_misses_become_rated_proposals_without_what_the_bank_has():
    bank = word_bot().bank
    found = propose(MISSES, bank, Writer(TEXTS))
    assert [(p.text, p.score) for p in found.items] == [
        ("Only on a quiet lake, rated 9", 9.0),
        ("Never mind all that, rated 8", 8.0),
        ("Wind and water are all I need, rated 8", 8.0),
        ("I fish for trout in spring.", 7.0),
    ]
    assert set(found.items[0].contexts) == {FISHING, SAILING}
    assert [p.sources for p in found.items] == [("writer",)] * 3 + [("gpt",)]
    assert all(p.accepted is None for p in found.items)
    counts = found.counts
    assert (counts["misses"], counts["without text"], counts["contexts"]) == (4, 1, 2)
    assert (counts["rated low"], counts["in the bank"], counts["proposals"]) == (1, 1, 4)
    assert len(bank) == 10
    assert bank.log == ()


def test_what_was_banned_is_not_proposed():
    bank = word_bot().bank
    bank.ban(content_id(TEA))
    bank.add("ONLY on a quiet lake: rated 9!")
    bank.ban(content_id("ONLY on a quiet lake: rated 9!"))
    found = propose(MISSES, bank, Writer(TEXTS))
    assert found.counts["banned"] == 3
    assert "Only on a quiet lake, rated 9" not in [p.text for p in found.items]


def test_without_a_judge_nothing_is_rated_and_nothing_dropped_for_it():
    found = propose(MISSES, word_bot().bank, Writer(TEXTS, rates=False))
    assert {p.score for p in found.items} == {None}
    assert "No idea, rated 2" in [p.text for p in found.items]
    apart = propose(
        MISSES,
        word_bot().bank,
        Writer(TEXTS, rates=False),
        judge=Writer({}),
        settings=GrowConfig(min_judge=8.5),
    )
    assert [p.text for p in apart.items] == ["Only on a quiet lake, rated 9"]


def test_a_conversation_that_was_seen_to_is_not_asked_for_again():
    bank, writer = word_bot().bank, Writer(TEXTS)
    bank.add("Sails and sun.", contexts=[SAILING])
    found = propose(MISSES, bank, writer, proposed=[Proposal("No.", (FISHING,), accepted=False)])
    assert found.items == ()
    assert found.counts["answered since"] == 3
    assert writer.asked == []
    with pytest.raises(InputError, match="2 misses, none with its conversation; serve with --grow"):
        propose([Miss(), Miss()], bank, writer)


def test_what_a_killed_run_had_written_is_not_written_again(tmp_path: Path):
    whole = propose(MISSES, word_bot().bank, Writer(TEXTS))
    with pytest.raises(TeacherError, match="gone"):
        propose(MISSES, word_bot().bank, Writer(TEXTS, fail="gone"), journals=tmp_path)
    writer = Writer(TEXTS)
    assert propose(MISSES, word_bot().bank, writer, journals=tmp_path) == whole
    assert writer.asked == []


def test_only_accepted_proposals_are_ever_said():
    bot: Bot = word_bot()
    proposals = [
        Proposal("I fish on Sundays.", (FISHING,), 7.0, ("gpt",), accepted=True),
        Proposal("Fishing bores me.", (FISHING,), 9.5, ("gpt",), accepted=False),
        Proposal("Fish are friends.", (FISHING,), 9.0, ("gpt",)),
        Proposal("I like boats.", (SAILING,), None, ("gpt",)),
    ]
    before = bot.reply(FISHING).text
    assert before not in {p.text for p in proposals}
    told = accept(bot.bank, proposals, by="ann")
    assert told == {"proposals": 4, "accepted": 1, "undecided": 2, "banned": 0, "changes": 1, "new": 1}
    reply = bot.reply(FISHING)
    assert reply.text == "I fish on Sundays."
    first = reply.candidates[0]
    assert (first.sources, [c.turns for c in first.contexts]) == (("gpt",), [FISHING])
    assert (bot.bank.log[0].by, bot.bank.log[0].reason) == ("ann", "grown from misses")
    assert accept(bot.bank, proposals)["changes"] == 0

    assert accept(bot.bank, proposals, over=8.0) == {
        "proposals": 4, "accepted": 2, "undecided": 1, "banned": 0, "changes": 1, "new": 1,
    }  # fmt: skip
    assert bot.bank.find(content_id("Fish are friends.")) is not None
    assert bot.bank.find(content_id("Fishing bores me.")) is None
    assert bot.bank.find(content_id("I like boats.")) is None


def test_what_was_banned_since_is_not_added():
    bot = word_bot()
    bot.bank.add("Fish are friends.")
    bot.bank.ban(content_id("Fish are friends."))
    told = accept(bot.bank, [Proposal("Fish are friends!", (FISHING,), 9.0, ("gpt",), accepted=True)])
    assert (told["banned"], told["new"]) == (1, 0)


def test_proposals_are_read_as_they_were_written_decisions_included(tmp_path: Path):
    file = tmp_path / "proposals.jsonl"
    found = propose(MISSES, word_bot().bank, Writer(TEXTS)).items
    changed = decided(decided(found, 0, True), 2, False)
    write_proposals(file, changed)
    assert read_proposals(file) == changed
    assert [p.accepted for p in changed] == [True, None, False, None]
    row = json.loads(file.read_text().splitlines()[0])
    for field, wrong in (
        ("text", " "), ("contexts", [[]]), ("contexts", "hi"), ("score", "9"), ("accepted", "yes"), ("sources", None),
    ):  # fmt: skip
        file.write_text(json.dumps({**row, field: wrong}) + "\n")
        with pytest.raises(InputError, match=f"line 1, field {field}"):
            read_proposals(file)


def test_a_file_that_is_full_of_proposals_is_not_added_to():
    writer = Writer(TEXTS)
    settings = GrowConfig(max_proposals=1)
    with pytest.raises(InputError, match="1 proposals already, at most max_proposals=1"):
        propose(MISSES, word_bot().bank, writer, settings=settings, proposed=[Proposal("No.", (FISHING,))])
