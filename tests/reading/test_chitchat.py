import importlib.util
import json
from collections import Counter

import pytest

from g2r import starter
from g2r.dialogue import content_id
from g2r.errors import DependencyError, InputError
from g2r.reading import chitchat


@pytest.fixture
def package(monkeypatch, tmp_path):
    """Make the installed package hold other conversations."""

    def hold(data):
        (tmp_path / "dataset.json").write_text(data if isinstance(data, str) else json.dumps(data))
        monkeypatch.setattr(chitchat, "dataset_path", lambda: tmp_path / "dataset.json")
        chitchat._all_turns.cache_clear()

    yield hold
    chitchat._all_turns.cache_clear()


def group(*texts):
    return [{"text": text, "sender": "s"} for text in texts]


def test_every_recorded_context_is_rebuilt_as_the_teacher_saw_it():
    """The constant is the hash of ids, contexts, human replies and responses of the record's own file."""
    exchanges = chitchat.recorded_exchanges("teacher")
    rebuilt = [
        [row["id"], list(e.context), e.candidates[0].text, [c.text for c in e.candidates[1:]]]
        for row, e in zip(starter.recorded(), exchanges, strict=True)
    ]
    assert len(rebuilt) == 2600
    assert content_id(rebuilt) == "259681828009192f"


def test_splits_are_those_of_the_record():
    """The constants are hashes of the sorted ids of each split, where the record was made."""
    ids = {split: [] for split in ("train", "valid", "test")}
    for dialogue in chitchat.conversations():
        if len(dialogue.turns) > 1:
            ids[dialogue.split].append(dialogue.id)
    assert {split: (len(i), content_id(sorted(i))) for split, i in ids.items()} == {
        "train": (3810, "22c8a404767d6644"),
        "valid": (100, "61bd33264ca50624"),
        "test": (107, "b02f4329c0bc0afd"),
    }
    recorded = Counter(e.split for e in chitchat.recorded_exchanges("teacher"))
    assert recorded == {"train": 2400, "test": 200}


def test_messages_of_a_sender_are_one_turn_and_empty_ones_none(package):
    package({"0123abcd-x": {"messages": [group(" hi ", "", "how\n are  you?"), group(" "), group("fine")]}})
    assert [d.turns for d in chitchat.conversations()] == [("hi how are you?", "fine")]


@pytest.mark.parametrize(
    ("said", "turn"),
    [
        ("call (808) 782-1557 now", "call ([number] now"),
        ("808.782.1557", "[number]"),
        ("11010001", "[number]"),
        ("in 1999 or 2004, 10/10", "in 1999 or 2004, 10/10"),
        ("at 10:30 or 5 6 7", "at 10:30 or 5 6 7"),
    ],
)
def test_long_numbers_are_masked(package, said, turn):
    package({"k": {"messages": [group(said)]}})
    assert [d.turns for d in chitchat.conversations()] == [(turn,)]


def test_a_missing_package_names_the_command(monkeypatch):
    monkeypatch.setattr(chitchat, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"pip install 'g2r\[starter\]'"):
        chitchat.dataset_path()


def test_the_package_is_found_without_importing_it():
    import sys

    assert chitchat.dataset_path().is_file()
    assert importlib.util.find_spec("chitchat_dataset") is not None
    assert "chitchat_dataset" not in sys.modules


@pytest.mark.parametrize("data", ["{", "[]", {"k": {}}, {"k": {"messages": [[{"sender": "s"}]]}}])
def test_another_dataset_is_refused(package, data):
    package(data)
    with pytest.raises(InputError, match=r"is not the data of chitchat-dataset 0\.9\.0"):
        list(chitchat.conversations())


def test_a_record_without_its_conversation_is_refused(package):
    package({"k": {"messages": [group("hi")]}})
    with pytest.raises(InputError, match=r"recorded\.jsonl, line 1, field id: got str 'cc-train-"):
        list(chitchat.recorded_exchanges("teacher"))
