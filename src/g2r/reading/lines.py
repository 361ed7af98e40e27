"""Text files as numbered lines: plain or gzipped, from disk or standard input."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from g2r.errors import InputError

STDIN = "-"
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


def source_name(path: str | Path) -> str:
    """What errors call a file, or standard input."""
    return "standard input" if str(path) == STDIN else str(path)


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line without its end) of a UTF-8 file; "-" is standard input.

    A byte-order mark and the carriage returns of Windows line ends are taken off; only newlines end a line.

    Raises:
        InputError: the file is missing, unreadable, a folder, binary, not UTF-8, or a broken gzip file.
    """
    name = source_name(path)
    try:
        with _opened(path) as handle:
            for number, line in enumerate(handle, 1):
                yield (
                    number,
                    decoded(line.removeprefix(_BOM) if number == 1 else line, f"{name}, line {number}"),
                )
    except FileNotFoundError:
        raise InputError(f"no file {name}; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder, expected a file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name} is a broken gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise InputError(
            f"cannot read {name}: {error.strerror or error}; check the path and its rights"
        ) from error


@contextmanager
def _opened(path: str | Path) -> Iterator[Iterable[bytes]]:
    """Open a file for its uncompressed lines."""
    with _standard_input() if str(path) == STDIN else Path(path).open("rb") as handle:
        yield gzip.GzipFile(fileobj=handle) if handle.peek(2).startswith(_GZIP) else handle


def _standard_input() -> io.BufferedReader:
    """A copy of standard input, so that closing it leaves the original open."""
    return io.BufferedReader(io.BytesIO(sys.stdin.buffer.read()))


def decoded(line: bytes, where: str) -> str:
    """Return a line of UTF-8 text without its end; `where` is the place that errors name.

    Raises:
        InputError: it is no such text.
    """
    if b"\0" in line:
        raise InputError(f"{where}: a NUL byte, so this is no UTF-8 text; expected a text file")
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: byte {error.start + 1} is not UTF-8 ({error.reason}); save it as UTF-8"
        ) from error
