import json

import pytest

from g2r.config import SourceConfig
from g2r.errors import ConfigError, InputError
from g2r.reading.entries import Dialogue, Exchange
from g2r.reading.sources import read_source

JSONL = '{"turns": ["a", "b"]}\n'
PARLAI = "text:a\tlabels:b\tepisode_done:True\n"
RELEASE = '{"context": ["a"], "response": "b", "source": "original"}\n'


def read(path, **fields):
    return read_source(SourceConfig(path=str(path), **fields))


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.jsonl", JSONL), ("a.txt", JSONL), ("a", "\n\n" + JSONL), ("a.txt", "a\nb\n"), ("a.log", "a\nb\n")],
)
def test_a_dialogue_is_recognised_by_its_first_line(write, name, text):
    [entry] = read(write(name, text))
    assert isinstance(entry, Dialogue)
    assert entry.turns == ("a", "b")


@pytest.mark.parametrize(
    ("name", "text"), [("a.txt", PARLAI), ("a.txt", "id:x\t" + PARLAI), ("a.jsonl", RELEASE)]
)
def test_an_exchange_is_recognised_by_its_first_line(write, name, text):
    [entry] = read(write(name, text))
    assert isinstance(entry, Exchange)
    assert (entry.context, entry.candidates[0].text) == (("a",), "b")


def test_a_named_format_is_taken_at_its_word(write):
    assert read(write("a.txt", JSONL + "b\n"), format="text")[0].turns == (JSONL.strip(), "b")
    assert read(write("b.csv", "a,1\nb,2\n"), format="text")[0].turns == ("a,1", "b,2")
    assert read(write("c.jsonl", RELEASE), format="g2r")[0].context == ("a",)
    with pytest.raises(InputError, match=r"line 1, field context: got nothing, expected a list"):
        read(write("d.jsonl", JSONL), format="g2r")
    with pytest.raises(InputError, match=r"line 1: no valid JSON"):
        read(write("e.jsonl", "hello\n"), format="jsonl")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "a,b\n", "looks like a .csv file; expected JSON Lines, plain text"),
        ("a.json", '[{"turns": ["a", "b"]}]', "looks like one JSON array"),
        ("a.json", '[\n{"turns": ["a", "b"]}\n]', "looks like one JSON array"),
        ("a.json", '{\n"turns": ["a", "b"]}', "line 1: no valid JSON"),
        ("a.jsonl", "hello there\nhi\n", "line 1: no valid JSON"),
        ("a.txt", "hello\nhi\n" + JSONL, "line 3: JSON or tab-separated fields in what reads as plain text"),
        ("a.txt", "hello\nhi\n" + PARLAI, "line 3: JSON or tab-separated fields"),
        ("a.txt", "one turn of many\n" * 501, "reads as a dialogue of 501 turns; .* --format text"),
        ("a.txt", "context\tresponse\n", "line 1: JSON or tab-separated fields"),
        ("a.txt", "", "is empty; expected at least one dialogue"),
        ("a.jsonl", '["a", "b"]\n', "line 1: got a JSON list, expected an object"),
        ("a.jsonl", "\n \n", "is empty; expected at least one dialogue"),
    ],
)
def test_a_wrong_guess_is_not_silent(write, name, text, message):
    with pytest.raises(InputError, match=message):
        read(write(name, text))


def test_an_unknown_format_name_is_refused_with_the_known_ones():
    from g2r.config import DataConfig, parse_config

    with pytest.raises(ConfigError, match=r"format: expected 'auto', 'jsonl'.* got 'cvs'"):
        parse_config(DataConfig, {"sources": [{"path": "a", "format": "cvs"}]}, where="run.yaml")


def test_files_of_a_folder_are_its_splits(write, tmp_path):
    for name, turns in [("train.jsonl", "ab"), ("dev.jsonl", "cd"), ("test.jsonl", "ef"), ("more.txt", "")]:
        write(f"folder/{name}", json.dumps({"turns": list(turns)}) if turns else "g\nh")
    found = {"".join(entry.turns): entry.split for entry in read(tmp_path / "folder")}
    assert found == {"ab": "train", "cd": "valid", "ef": "test", "gh": ""}
    assert [e.turns for e in read(tmp_path / "folder", split="validation")] == [("c", "d")]
    with pytest.raises(InputError, match="has no split 'mine'; it has test, train, valid"):
        read(tmp_path / "folder", split="mine")


def test_a_folder_without_dialogues_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is a folder without \*\.jsonl.* name a file of dialogues"):
        read(tmp_path)


def test_a_split_that_no_row_names_is_refused(write):
    with pytest.raises(InputError, match="has no split 'test'; it has no named splits"):
        read(write("a.jsonl", JSONL), split="test")


def test_columns_belong_to_hugging_face_datasets(write):
    with pytest.raises(ConfigError, match="columns is for Hugging Face datasets"):
        read(write("a.jsonl", JSONL), columns={"turns": "dialog"})


def test_missing_file():
    with pytest.raises(InputError, match=r"no file nowhere\.jsonl; check the path"):
        read("nowhere.jsonl")
