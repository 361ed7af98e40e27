import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2r.artifacts import (
    Manifest,
    file_hash,
    read_examples,
    read_manifest,
    refuse_other,
    replacing,
    write_examples,
    write_manifest,
)
from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import ArtifactError, InputError

texts = st.text(min_size=1, max_size=20)
scores = st.builds(
    Scores,
    ll_sum=st.none() | st.floats(-100, 0),
    tokens=st.none() | st.integers(1, 50),
    mi=st.none() | st.floats(-5, 5),
    judge=st.none() | st.floats(0, 10),
)
candidates = st.builds(Candidate, texts, texts, st.booleans(), scores)
examples = st.builds(
    Example,
    st.lists(texts, min_size=1, max_size=4).map(tuple),
    st.lists(candidates, max_size=3).map(tuple),
    texts,
    st.sampled_from(["train", "valid", "test"]),
)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(examples, max_size=4))
def test_examples_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("examples") / "x.parquet"
    write_examples(rows, path)
    assert read_examples(path) == rows


def test_reading_what_is_not_there_or_not_examples(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_examples(tmp_path / "missing.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(InputError, match="not a readable parquet"):
        read_examples(tmp_path / "text.parquet")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def write_half():
        with replacing(path) as new:
            new.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_folder_is_swapped_whole(tmp_path):
    path = tmp_path / "folder"
    for content in ("one", "two"):
        with replacing(path) as new:
            new.mkdir()
            (new / content).write_text(content)
    assert [p.name for p in path.iterdir()] == ["two"]


def test_a_kill_between_the_two_renames_of_a_swap_is_mended(tmp_path):
    path = tmp_path / "folder"
    left = tmp_path / ".folder.abc.partial" / "replaced"
    left.mkdir(parents=True)
    (left / "old").write_text("old")
    with pytest.raises(RuntimeError), replacing(path):
        raise RuntimeError
    assert (path / "old").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis").write_text("mine")
    with pytest.raises(ArtifactError, match="is a folder"):
        write_examples([], tmp_path / "data")
    assert (tmp_path / "data" / "thesis").read_text() == "mine"


def test_a_swap_that_fails_in_its_middle_puts_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("old")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    monkeypatch.setattr("g2r.artifacts.exchange", lambda a, b: False)
    with pytest.raises(ArtifactError, match="No space left"), replacing(path) as new:
        new.mkdir()
    assert (path / "old").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(("there", "mark"), [("file", "a"), ("folder", ""), ("full", "a")])
def test_what_is_something_else_is_refused(tmp_path, there, mark):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis").write_text("mine")
    with pytest.raises(ArtifactError, match="choose"):
        refuse_other(tmp_path / there, mark=mark)
    refuse_other(tmp_path / "new", mark=mark)
    refuse_other(tmp_path / "folder", mark="a")
    refuse_other(tmp_path / "full", mark="thesis")


def test_a_full_disk_is_one_clear_error(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ArtifactError, match="No space left"), replacing(path):
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"), replacing(tmp_path / "file" / "x"):
        pass


def test_manifest_tells_same_origin_from_another(tmp_path):
    artifact = tmp_path / "a"
    artifact.write_text("x")
    manifest = Manifest("train", {"lr": 1.0}, {"examples": "h"}, file_hash(artifact), {"n": 3})
    assert read_manifest(artifact) is None
    write_manifest(artifact, manifest)
    assert read_manifest(artifact) == manifest
    assert manifest.same_origin(Manifest("train", {"lr": 1.0}, {"examples": "h"}))
    assert not manifest.same_origin(Manifest("train", {"lr": 2.0}, {"examples": "h"}))


def test_folder_hash_sees_names_and_contents_but_not_the_manifest(tmp_path):
    (tmp_path / "a").write_text("1")
    before = file_hash(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    assert file_hash(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "b")
    assert file_hash(tmp_path) != before


def test_a_file_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "dialogues.jsonl").write_text('{"turns": ["hi", "ho"]}')
    with pytest.raises(ArtifactError, match="g2r did not write"):
        refuse_other(tmp_path / "dialogues.jsonl")
    (tmp_path / "examples.parquet").write_bytes(b"PAR1 and more")
    refuse_other(tmp_path / "examples.parquet")


def test_what_is_neither_file_nor_folder_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(ArtifactError, match="neither a file nor a folder"),
        replacing(tmp_path / "pipe") as new,
    ):
        new.write_text("x")
    assert (tmp_path / "pipe").is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]
