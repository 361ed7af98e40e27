import json

from g2r import starter
from g2r.dialogue import content_id


def test_corpus_is_whole():
    corpus = starter.corpus()
    assert {name: len(rows) for name, rows in corpus.items()} == {
        "dialogues": 820,
        "situations": 700,
        "plain": 528,
        "coverage": 615,
    }
    assert all(len(a) == 4 for row in corpus["dialogues"] for a in row["alternatives"].values())
    assert all(len(row["replies"]) == 6 for name in ("situations", "plain") for row in corpus[name])
    assert all(len(row["replies"]) == 7 and 5 <= len(row["contexts"]) <= 9 for row in corpus["coverage"])


def test_further_contexts_stand_with_the_replies_of_their_kind():
    folder = starter.FOLDER
    further = [json.loads(line) for line in (folder / "contexts.jsonl").read_text("utf-8").splitlines()]
    rows = {row["id"]: row for own in starter.corpus().values() for row in own}
    assert len(further) > 1000
    for item in further:
        assert rows[item["id"]]["contexts"][-len(item["contexts"]) :] == item["contexts"]


def test_the_record_holds_no_text_of_chitchat():
    rows = starter.recorded()
    assert len(rows) == 2600
    assert {key for row in rows for key in row} == {"id", "responses", "scores", "batch"}
    assert all((len(row["responses"]), len(row["scores"])) == (5, 6) for row in rows)


def test_held_out_conversations_are_disjoint_from_recorded_training():
    splits = starter.chitchat_splits()
    assert (len(splits), set(splits.values())) == (207, {"valid", "test"})
    for row in starter.recorded():
        _, split, conversation, _ = row["id"].split("-")
        assert splits.get(conversation, "train") == split


def test_self_descriptions_are_told_from_other_replies():
    ids = starter.self_descriptions()
    for text in (
        "Not human, no. I'm a program that talks, and tries to do it nicely.",
        "Just English, I'm afraid. Which one would you most like to be fluent in?",
        "I've got a goldfish's memory between chats, so every hello is a first one.",
        "No sports for me, I'm a chatbot. Do you prefer playing or watching?",
    ):
        assert content_id(text) in ids
    for text in (
        "Please tell me a snowman is on today's agenda?",
        "Do you play acoustic or electric?",
        "Every date we picked clashed with somebody's software update.",
    ):
        assert content_id(text) not in ids
    assert 150 < len(ids) < 400
