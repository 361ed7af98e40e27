import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from g2r.artifacts import write_examples
from g2r.config import SourceConfig
from g2r.dialogue import Candidate, Example
from g2r.errors import ConfigError, InputError
from g2r.reading.sources import read_source


def read(path, **fields):
    return read_source(SourceConfig(path=str(path), **fields))


def save_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def saved(tmp_path):
    """A dataset with two named splits, as save_to_disk writes it."""
    splits = {
        "train": [{"dialog": ["a", "b"]}, {"dialog": ["c", "d", "e"]}],
        "validation": [{"dialog": ["f", "g"]}],
    }
    folder = tmp_path / "saved"
    datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in splits.items()}).save_to_disk(folder)
    return folder


def test_saved_folder_keeps_its_splits(saved):
    assert [(e.turns, e.split) for e in read(saved)] == [
        (("a", "b"), "train"),
        (("c", "d", "e"), "train"),
        (("f", "g"), "valid"),
    ]
    assert [e.turns for e in read(saved, split="validation")] == [("f", "g")]
    with pytest.raises(InputError, match="has no split 'test'; it has train, validation"):
        read(saved, split="test")


def test_saved_single_split(tmp_path):
    datasets.Dataset.from_list([{"turns": ["a", "b"]}]).save_to_disk(tmp_path / "one")
    assert [e.turns for e in read(tmp_path / "one")] == [("a", "b")]


def test_parquet_folder_is_split_by_file_names(tmp_path):
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        save_parquet(tmp_path / "data" / f"{name}.parquet", [{"turns": [name, "b"]}])
    found = [(e.turns[0], e.split) for e in read(tmp_path)]
    assert sorted(found) == [
        ("test-00000-of-00001", "test"),
        ("train-00000-of-00002", "train"),
        ("train-00001-of-00002", "train"),
    ]
    assert [e.split for e in read(tmp_path, split="test")] == ["test"]


@pytest.mark.parametrize(
    "turns",
    [
        ["hi", "hello"],
        [{"content": "hi", "role": "user"}, {"content": "hello", "role": "assistant"}],
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}, {"role": "x", "content": "hello"}],
        [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}],
        {"text": ["hi", "hello"], "act": ["1", "2"]},
    ],
)  # fmt: skip
def test_turns_are_strings_or_records(tmp_path, turns):
    file = save_parquet(tmp_path / "a.parquet", [{"conversation": turns, "dialogue_id": 9}])
    [entry] = read(file)
    assert (entry.turns, entry.id) == (("hi", "hello"), "9")


def test_context_and_response_columns(tmp_path):
    rows = [{"past": ["a", "b"], "reply": "c", "d": "x"}, {"past": ["a"], "reply": "b", "d": "x"}]
    file = save_parquet(tmp_path / "a.parquet", rows)
    entries = read(file, columns={"context": "past", "response": "reply", "id": "d"})
    assert [(e.context, e.candidates[0].text) for e in entries] == [(("a", "b"), "c"), (("a",), "b")]
    assert {e.dialogue_id for e in entries} == {"x"}
    assert all(c.original and c.source == "human" for e in entries for c in e.candidates)


def test_named_columns_win_over_well_known_ones(tmp_path):
    file = save_parquet(tmp_path / "a.parquet", [{"turns": ["no", "no"], "context": "a", "response": "b"}])
    [entry] = read(file, columns={"context": "context", "response": "response"})
    assert (entry.context, entry.candidates[0].text) == (("a",), "b")


@pytest.mark.parametrize(
    ("row", "columns", "kind", "message"),
    [
        ({"words": ["a"]}, {}, InputError, r"its columns are words; say which hold the dialogues"),
        ({"words": ["a"]}, {"turns": "turns"}, InputError, "has no column 'turns'; it has words"),
        ({"turns": ["a"]}, {"trns": "turns"}, ConfigError, "unknown key 'trns', expected turns, context"),
        ({"turns": [1, 2]}, {}, InputError, r"row 0, field turns\[0\]: got int 1, expected a string"),
        ({"turns": ["a", None]}, {}, InputError, r"row 0, field turns\[1\]: got nothing"),
        ({"turns": 3}, {}, InputError, "row 0, field turns: got int 3, expected a list"),
    ],
)
def test_wrong_columns_and_values(tmp_path, row, columns, kind, message):
    with pytest.raises(kind, match=message):
        read(save_parquet(tmp_path / "a.parquet", [row]), columns=columns)


def test_a_broken_parquet_file_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match=r"a\.parquet is not a readable parquet file"):
        read(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="is not a readable parquet file"):
        read(tmp_path / "gone.parquet")


def test_examples_are_no_dialogues(tmp_path):
    write_examples([Example(("a", "b"), (Candidate("c", "human", True),))], tmp_path / "dialogues.parquet")
    with pytest.raises(InputError, match="holds examples that g2r made; expected dialogues"):
        read(tmp_path / "dialogues.parquet")


def test_a_hub_name_without_network_says_what_to_do(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot load hf:nobody/nothing .* give a local folder"):
        read("hf:nobody/nothing")
