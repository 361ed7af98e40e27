"""Cold start: real processes."""

import sys

import pytest

from g2r.errors import InputError
from g2r.latency.starting import first_reply


def test_the_first_line_is_waited_for_not_the_end() -> None:
    program = (
        "import sys, time; print(sys.stdin.read().upper(), flush=True); held = b'x' * 30_000_000; print(1)"
    )
    seconds, peak = first_reply([sys.executable, "-c", program], "hello")
    assert seconds > 0
    assert 30_000_000 < peak < 2_000_000_000


def test_a_process_without_a_reply_is_an_error_with_its_own_words() -> None:
    with pytest.raises(InputError, match="no bot here"):
        first_reply([sys.executable, "-c", "import sys; sys.exit('no bot here')"], "hello")
