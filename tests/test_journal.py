"""Work goes on where a kill stopped it, and other work does not take it over."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from g2r.errors import ArtifactError
from g2r.journal import Journal, journalled


def test_journal_drops_a_line_cut_short(tmp_path):
    journal = Journal(tmp_path / "j", header={"work": 1})
    journal.append([1])
    journal.append([2])
    with (tmp_path / "j").open("ab") as handle:
        handle.write(b"[3")
    again = Journal(tmp_path / "j", header={"work": 1})
    assert again.entries == [[1], [2]]
    again.append([3])
    assert Journal(tmp_path / "j", header={"work": 1}).entries == [[1], [2], [3]]


def test_journal_of_other_work_is_not_taken_over(tmp_path):
    Journal(tmp_path / "j", header={"work": 1}).append("x")
    assert Journal(tmp_path / "j", header={"work": 2}).entries == []


def test_only_unfinished_units_are_worked_on(tmp_path):
    journal = Journal(tmp_path / "j", header={})
    journal.append(10)
    worked = []

    def work(i, unit):
        worked.append(unit)
        return unit * 10

    assert list(journalled([1, 2, 3], work, journal=journal)) == [10, 20, 30]
    assert worked == [2, 3]


KILLED = """
import os, signal, sys
from pathlib import Path
from g2r.journal import Journal, journalled
journal = Journal(Path(sys.argv[1]), header={"n": 50})
def work(i, unit):
    if i == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return unit ** 2
print(list(journalled(range(50), work, journal=journal)))
"""


def test_a_killed_process_goes_on_where_it_stopped(tmp_path):
    def start(kill_at):
        return subprocess.run(
            [sys.executable, "-c", KILLED, tmp_path / "j", str(kill_at)], capture_output=True, text=True
        )

    assert start(7).returncode == -signal.SIGKILL
    assert start(23).returncode == -signal.SIGKILL
    assert json.loads(start(-1).stdout) == [i**2 for i in range(50)]


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/full").exists(), reason="needs /dev/full")
def test_journal_on_a_full_disk(tmp_path):
    (tmp_path / "j").symlink_to("/dev/full")
    journal = Journal.__new__(Journal)
    journal.path, journal._header, journal.entries = tmp_path / "j", {}, []
    with pytest.raises(ArtifactError, match="No space left"):
        journal.append({"x": 1})
