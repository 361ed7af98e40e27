"""The changes of a bank, in memory or in a log that several processes write and follow."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from g2r.bank.log import LOG_FILE, Change, append_changes, read_changes
from g2r.bank.state import BankState, replay, state_of
from g2r.bank.table import BankTable


class Changes:
    """What was done to the responses of a bank, and the state it led to. Safe to use from several threads.

    Attributes:
        folder: where the log is; None while the changes are in memory alone.
        state: what holds now.
        made: all changes, oldest first.
    """

    def __init__(self, built: BankTable) -> None:
        self.folder: Path | None = None
        self.state: BankState = state_of(built)
        self.made: tuple[Change, ...] = ()
        self._built = built
        self._read = (0, 0)  # inode of the log, and the byte after the last line that was replayed
        self._replaying = Lock()

    def follow(self, folder: Path) -> None:
        """Take the log in `folder` for the changes that hold, and write further ones there."""
        self.folder, self._read = folder, (0, 0)
        self.refresh()

    def record(self, changes: Sequence[Change]) -> None:
        """Make changes; on disk when this returns, if there is a folder.

        Raises:
            ArtifactError: the log cannot be written; nothing is changed.
        """
        if self.folder is None:
            with self._replaying:
                self.state, self.made = self.after(changes), (*self.made, *changes)
        elif changes:
            append_changes(self.folder / LOG_FILE, changes)
            self.refresh()

    def after(self, changes: Sequence[Change]) -> BankState:
        """The state that changes would lead to."""
        return replay(self.state, changes, self._built)

    def refresh(self) -> bool:
        """Replay what was written to the log since it was last read; return whether there was anything.

        Asking costs one look at the file. A log that was replaced together with its folder, or cut back,
        is replayed from its start.

        Raises:
            ArtifactError: the log holds a line that is no change.
        """
        path = self.folder / LOG_FILE if self.folder else None
        if path is None or not path.is_file():
            return False
        found = path.stat()
        if (found.st_ino, found.st_size) == self._read:
            return False
        with self._replaying:
            found = path.stat()  # again: another thread may have read more than was there before the wait
            inode, start = self._read
            anew = inode != found.st_ino or start > found.st_size
            changes, end = read_changes(path, 0 if anew else start)
            before = state_of(self._built) if anew else self.state
            if anew or changes:
                self.state = replay(before, changes, self._built)
                self.made = (() if anew else self.made) + tuple(changes)
            self._read = (found.st_ino, end)
        return bool(changes)
