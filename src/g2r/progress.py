"""How a long stage tells how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Called after each finished unit of work; the command line draws a bar with rate and time left."""

    def __call__(self, done: int, total: int, *, note: str = "") -> None: ...


def silent(done: int, total: int, *, note: str = "") -> None:
    """The listener of a library call: nobody."""
