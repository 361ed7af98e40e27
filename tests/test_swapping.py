"""Two folders change places in one step; a place that is never empty can be proved by looking without pause."""

import sys
import threading
from pathlib import Path

import pytest

from g2r.artifacts import replacing
from g2r.swapping import exchange

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux exchanges paths")


def test_both_paths_hold_what_the_other_held(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("of a")
    (tmp_path / "b").write_text("of b")
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_text() == "of b"
    assert (tmp_path / "b" / "x").read_text() == "of a"
    assert not exchange(tmp_path / "a", tmp_path / "missing")
    assert (tmp_path / "a").read_text() == "of b"


def test_a_folder_that_is_replaced_is_there_at_every_moment(tmp_path: Path) -> None:
    folder, gaps, done = tmp_path / "folder", [], threading.Event()
    folder.mkdir()

    def look() -> None:
        while not done.is_set():
            if not folder.is_dir():
                gaps.append(1)

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(50):
        with replacing(folder) as new:
            new.mkdir()
            (new / "number").write_text(str(number))
    done.set()
    looking.join()
    assert not gaps
    assert (folder / "number").read_text() == "49"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
