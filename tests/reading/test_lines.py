import gzip
import io
import os
import sys

import pytest

from g2r.errors import InputError
from g2r.reading.lines import numbered_lines


def read(path):
    return list(numbered_lines(path))


def test_byte_order_mark_and_windows_line_ends_are_no_text(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffhi\r\n\r\nça va 🙂\r\n".encode())
    assert read(file) == [(1, "hi"), (2, ""), (3, "ça va 🙂")]


def test_only_newlines_end_a_line(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("one\u2028still one\x0b\u0085one\ntwo", encoding="utf-8")
    assert read(file) == [(1, "one\u2028still one\x0b\u0085one"), (2, "two")]


def test_gzip_is_told_by_its_bytes_not_its_name(tmp_path):
    for name in ("a.jsonl.gz", "a.jsonl"):
        (tmp_path / name).write_bytes(gzip.compress(b"hi\nyou\n"))
        assert read(tmp_path / name) == [(1, "hi"), (2, "you")]


def test_standard_input_stays_open(monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"hi\nyou"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read("-") == [(1, "hi"), (2, "you")]
    assert not stdin.closed
    assert not stdin.buffer.closed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\n\xff\xfeno", r"line 2: byte 1 is not UTF-8 .* save it as UTF-8"),
        ("hello".encode("utf-16"), r"line 1: byte 1 is not UTF-8|line 1: a NUL byte"),
        (b"PK\x03\x04\x00\x00", "line 1: a NUL byte, so this is no UTF-8 text"),
        (gzip.compress(b"hello " * 5000)[:60], "broken gzip file"),
        (b"\x1f\x8bnot gzip at all", "broken gzip file"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_file_and_line(tmp_path, content, message):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read(file)
    assert str(file) in str(error.value)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no file .*gone\.jsonl; check the path"):
        read(tmp_path / "gone.jsonl")
    with pytest.raises(InputError, match="is a folder, expected a file"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_unreadable_file(tmp_path):
    file = tmp_path / "secret.jsonl"
    file.touch(mode=0)
    with pytest.raises(InputError, match=r"cannot read .* Permission denied"):
        read(file)


def test_name_too_long_for_the_system(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / ("x" * 5000))
