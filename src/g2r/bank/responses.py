"""The response bank: everything a bot may say, with where it came from, and who may not be heard again.

Rows never change once built. Bans and tags are changes in an append-only log beside them, on disk before
the call returns, and seen at once by every process that holds the bank.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from g2r.artifacts import replacing
from g2r.bank.log import Change, append_changes, read_changes
from g2r.bank.rows import (
    RESPONSES_SCHEMA,
    BankResponse,
    collect_responses,
    hash_rows,
    response_of,
    row_of,
)
from g2r.config import IndexConfig, parse_config
from g2r.dialogue import Example
from g2r.errors import InputError

_VERSION_KEY = b"g2r_bank_version"
_LOG = "log.jsonl"


class ResponseBank(Sequence[BankResponse]):
    """Responses in the order of their ids, with bans and tags.

    Attributes:
        version: content hash of the rows; bans and tags do not change it.
        counts: what was read, kept, merged and left out when the bank was made.
        folder: where the bank was loaded from or saved to; None while it is in memory alone.
        revision: grows with each change, for those who keep something derived from bans and tags.
    """

    def __init__(self, table: pa.Table, *, version: str, counts: Mapping[str, int] | None = None) -> None:
        """Hold the rows of `table` (`RESPONSES_SCHEMA`, ordered by response id), in memory alone so far."""
        self._table = table.combine_chunks()
        self._texts = self._table["text"].combine_chunks()
        self._ids = np.array(self._table["response_id"].to_pylist(), dtype=np.bytes_)
        self._tags = {
            row: frozenset(tags) for row, tags in enumerate(self._table["tags"].to_pylist()) if tags
        }
        self._banned = np.zeros(len(table), dtype=np.bool_)
        self._changes: list[Change] = []
        self._log_read = 0
        self.version = version
        self.counts = dict(counts or {"responses": len(table)})
        self.folder: Path | None = None
        self.revision = 0

    @classmethod
    def from_responses(
        cls, responses: Iterable[BankResponse], *, counts: Mapping[str, int] | None = None
    ) -> Self:
        """Make a bank of responses as they are.

        Raises:
            InputError: there are none, or two have the same id.
        """
        rows = [row_of(r) for r in sorted(responses, key=lambda response: response.response_id)]
        ids = {row["response_id"] for row in rows}
        if not rows or len(ids) < len(rows):
            raise InputError(
                f"{len(rows)} responses with {len(ids)} different ids for a bank; expected one or more, all different"
            )
        table = pa.Table.from_pylist(rows, schema=RESPONSES_SCHEMA)
        return cls(table, version=hash_rows(rows), counts=counts)

    @classmethod
    def from_examples(
        cls, examples: Iterable[Example], *, config: IndexConfig | None = None, **options: Any
    ) -> Self:
        """Make a bank of the candidates of `examples` (METHOD: data-level G2R, "join the bank").

        Equal texts are one response; of near duplicates the best scored stays, then the most common.
        What is merged unites its contexts and sources. With `min_judge`, a candidate judged lower for a
        context neither joins for that context nor makes it a key. `options` are fields of `IndexConfig`.

        Raises:
            ConfigError: an option is unknown or out of range.
            InputError: no response is left.
        """
        config = parse_config(
            IndexConfig, {**(config or IndexConfig()).model_dump(), **options}, where="bank"
        )
        responses, counts = collect_responses(examples, config)
        return cls.from_responses(responses, counts=counts)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, row: int) -> BankResponse: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[BankResponse, ...]: ...
    def __getitem__(self, row: int | slice) -> BankResponse | tuple[BankResponse, ...]:
        if isinstance(row, slice):
            return tuple(self[i] for i in range(*row.indices(len(self))))
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a bank of {len(self)} responses")
        row = int(row) % len(self)
        return response_of(self._table.slice(row, 1).to_pylist()[0], self._tags.get(row, frozenset()))

    def __iter__(self) -> Iterator[BankResponse]:
        return (self[row] for row in range(len(self)))

    def text(self, row: int) -> str:
        """The text of a row, without its provenance."""
        return str(self._texts[int(row)].as_py())

    def response_id(self, row: int) -> str:
        """The id of a row's response."""
        return str(self._ids[int(row)].decode())

    def row(self, response_id: str) -> int:
        """The row of a response.

        Raises:
            InputError: the bank has no such response.
        """
        row = self._find(response_id)
        if row is None:
            raise InputError(
                f"no response {response_id!r} among the {len(self)} of this bank; "
                "expected an id of 16 hex digits, as /top shows them"
            )
        return row

    def _find(self, response_id: str) -> int | None:
        wanted = response_id.encode(errors="replace")
        row = int(np.searchsorted(self._ids, wanted))
        return row if row < len(self) and self._ids[row] == wanted else None

    @property
    def texts(self) -> list[str]:
        """All texts, in the order of the rows."""
        return list(self._texts.to_pylist())

    @property
    def banned(self) -> NDArray[np.bool_]:
        """Which rows are banned: (responses,). A change makes a new array and leaves the old one as it was."""
        return self._banned

    @property
    def log(self) -> tuple[Change, ...]:
        """All changes, oldest first."""
        return tuple(self._changes)

    def allowed(self, tags: Collection[str] = ()) -> NDArray[np.bool_]:
        """Which rows may be said: (responses,), not banned and carrying every one of `tags`."""
        allowed = ~self._banned
        if tags:
            wanted = frozenset(tags)
            tagged = np.zeros(len(self), dtype=np.bool_)
            tagged[[row for row, has in self._tags.items() if wanted <= has]] = True
            allowed &= tagged
        return allowed

    def ban(self, response_id: str, reason: str = "") -> None:
        """Never say this response again. On disk when this returns, if the bank has a folder.

        Raises:
            InputError: the bank has no such response; nothing is changed.
            ArtifactError: the log cannot be written; nothing is changed.
        """
        self._change(Change("ban", response_id, reason))

    def unban(self, response_id: str, reason: str = "") -> None:
        """Take a ban back. Raises as `ban` does."""
        self._change(Change("unban", response_id, reason))

    def tag(self, response_id: str, *tags: str) -> None:
        """Add tags to a response. Raises as `ban` does."""
        self._change(Change("tag", response_id, tags=tags))

    def untag(self, response_id: str, *tags: str) -> None:
        """Take tags off a response. Raises as `ban` does."""
        self._change(Change("untag", response_id, tags=tags))

    def _change(self, change: Change) -> None:
        self.row(change.response_id)
        if self.folder is None:
            self._apply([change])
        else:
            append_changes(self.folder / _LOG, [change])
            self.refresh()

    def refresh(self) -> bool:
        """Take over changes that were written to the log since it was last read, by whatever process.

        Returns whether there were any; asking costs one look at the file's size.

        Raises:
            ArtifactError: the log holds a line that is no change.
        """
        path = self.folder / _LOG if self.folder else None
        if path is None or not path.is_file() or path.stat().st_size <= self._log_read:
            return False
        changes, self._log_read = read_changes(path, self._log_read)
        self._apply(changes)
        return bool(changes)

    def _apply(self, changes: Sequence[Change]) -> None:
        """Replay changes. Those of responses that are not in this bank (any more) are kept in the log only."""
        banned, tags = self._banned.copy(), dict(self._tags)
        for change in changes:
            row = self._find(change.response_id)
            if row is None:
                continue
            match change.action:
                case "ban" | "unban":
                    banned[row] = change.action == "ban"
                case "tag":
                    tags[row] = tags.get(row, frozenset()) | set(change.tags)
                case "untag":
                    tags[row] = tags.get(row, frozenset()) - set(change.tags)
        self._banned, self._tags = banned, tags
        self._changes.extend(changes)
        self.revision += len(changes)

    def save(self, folder: Path | str) -> None:
        """Write the bank into `folder`; from now on changes go to the log there.

        A log that is already there stays, and its bans hold for this bank too: rebuilding a bank does
        not bring back what was banned.

        Raises:
            ArtifactError: the place cannot be written; what was there before is untouched.
        """
        self.write(Path(folder))
        self.attach(Path(folder))

    def write(self, folder: Path) -> None:
        """Write responses.parquet, and to log.jsonl the changes that it does not hold yet."""
        table = self._table.replace_schema_metadata({_VERSION_KEY: self.version.encode()})
        with replacing(folder / "responses.parquet") as new:
            pq.write_table(table, new, compression="zstd")
        log = folder / _LOG
        there = set(read_changes(log)[0]) if log.is_file() else set()
        append_changes(log, [change for change in self._changes if change not in there])

    def attach(self, folder: Path) -> None:
        """Take the log in `folder` as this bank's own: its changes hold, further ones go there."""
        self.folder, self._log_read, self._changes = folder, 0, []
        self.refresh()

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a bank and replay its log; a last line cut short by a kill is left out.

        Raises:
            InputError: there is no bank in `folder`, or its file cannot be read.
            ArtifactError: the log holds a line that is no change.
        """
        path = Path(folder) / "responses.parquet"
        if not path.is_file():
            raise InputError(
                f"no bank in {folder}: expected responses.parquet there; make one with g2r index"
            )
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{path} is not a readable parquet file ({error}); run g2r index again"
            ) from error
        version = (table.schema.metadata or {}).get(_VERSION_KEY)
        if version is None or not table.schema.equals(RESPONSES_SCHEMA):
            raise InputError(f"{path} is no bank written by g2r (other columns); run g2r index again")
        bank = cls(table, version=version.decode())
        bank.attach(Path(folder))
        return bank
