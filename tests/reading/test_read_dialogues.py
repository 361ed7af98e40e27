import io
import json
import subprocess
import sys

import pytest

from g2r import starter
from g2r.config import DataConfig, SourceConfig, parse_config
from g2r.errors import ConfigError, InputError
from g2r.reading import read_data, read_dialogues


@pytest.fixture
def chats(tmp_path):
    file = tmp_path / "chats.jsonl"
    rows = [{"turns": [f"question {i}", f"answer {i}", "thanks a lot"]} for i in range(50)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_path_a_string_a_source_or_several(chats, tmp_path):
    (tmp_path / "more.txt").write_text("hello you\nhello me\n")
    examples = read_dialogues(chats, min_words=2)
    assert len(examples) == 100
    assert (
        examples
        == read_dialogues(str(chats), min_words=2)
        == read_dialogues(SourceConfig(path=str(chats)), min_words=2)
    )
    assert len(read_dialogues([chats, tmp_path / "more.txt"])) == 101


def test_reading_again_gives_the_same(chats):
    config = parse_config(DataConfig, {"sources": str(chats), "max_examples": 30, "seed": 3}, where="test")
    assert read_data(config) == read_data(config)


def test_unknown_options_name_the_nearest(chats):
    with pytest.raises(ConfigError, match="unknown option 'histry'; did you mean 'history'"):
        read_dialogues(chats, histry=2)
    with pytest.raises(ConfigError, match="valid_fraction"):
        read_dialogues(chats, valid_fraction=0.6, test_fraction=0.5)


def test_no_source_is_an_error():
    with pytest.raises(ConfigError, match=r"data\.sources is empty"):
        read_data(DataConfig())


@pytest.mark.parametrize("text", ['{"turns": ["hi", "hello"]}\n', "hi\nhello\n"])
def test_standard_input(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    [example] = read_dialogues("-")
    assert (example.context, example.candidates[0].text) == (("hi",), "hello")


def test_malformed_standard_input_is_named_so(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"turns": 3}')))
    with pytest.raises(InputError, match="standard input, line 1, field turns"):
        read_dialogues("-")


def test_starter_splits_by_dialogue_and_by_situation():
    examples = read_dialogues("starter", valid_fraction=0.1, test_fraction=0.1)
    splits = {}
    for example in examples:
        splits.setdefault(example.dialogue_id, set()).add(example.split)
    assert all(len(found) == 1 for found in splits.values())
    assert examples.counts["dialogues"] == 820 + 700 + 528 + 615
    assert examples.counts["train"] + examples.counts["valid"] + examples.counts["test"] == len(examples)
    assert all(len(example.originals) >= 1 for example in examples)
    assert {c.source for example in examples for c in example.candidates} == {"starter"}


def test_chitchat_examples_keep_the_fixed_splits():
    held_out = [SourceConfig(path="chitchat", split=split) for split in ("valid", "test")]
    examples = read_dialogues(held_out, valid_fraction=0.3, seed=7)
    assert min(examples.counts["valid"], examples.counts["test"]) > 2500
    assert all(starter.chitchat_splits()[e.dialogue_id[:8]] == e.split for e in examples)


def test_reading_loads_no_torch_nor_datasets():
    code = "import sys, g2r.reading; print({'torch', 'datasets', 'transformers'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
