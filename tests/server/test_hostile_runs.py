"""Short runs of the two scripts that treat a real server badly: wrong requests, and kills amid changes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def output_of(script: str, *options: str) -> str:
    """What a script prints; it exits with 1 if anything was wrong, failed or lost."""
    pytest.importorskip("schemathesis", reason="no schemathesis; pip install 'g2r[dev]'")
    command = [sys.executable, str(BENCHMARKS / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_wrong_request_makes_the_server_fail_or_tell_too_much() -> None:
    told = output_of("malformed.py", "--examples", "1", "--mutated", "40")
    found = re.search(r"(\d+) requests, 0 wrong answers; the server still replies", told)
    assert found, told
    assert int(found[1]) > 350
    assert {"hand-made", "changed bytes", "Schemathesis"} <= set(
        re.findall(r"^\| ([\w -]+?) \|", told, re.MULTILINE)
    )


def test_nothing_acknowledged_is_lost_and_half_written_lines_break_no_start() -> None:
    told = output_of("faults.py", "--rounds", "3", "--seconds", "0.8", "--seed", "1")
    counts = {
        kind: tuple(map(int, numbers))
        for kind, *numbers in re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \|$", told, re.MULTILINE)
    }
    assert set(counts) == {"ban", "tag", "add", "swap", "all"}
    asked, acknowledged, lost = counts["all"]
    assert asked >= acknowledged > 0
    assert lost == 0
    assert "3 times kill -9, 4 starts, none failed" in told
