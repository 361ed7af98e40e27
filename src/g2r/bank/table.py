"""The rows of a bank as they were built, in memory."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import pyarrow as pa

from g2r.bank.rows import BankResponse, response_of


class BankTable(Sequence[BankResponse]):
    """Responses in the order of their ids; never changed once built.

    Attributes:
        arrow: the rows as they stand in responses.parquet (`RESPONSES_SCHEMA`).
    """

    def __init__(self, arrow: pa.Table) -> None:
        self.arrow = arrow.combine_chunks()
        self._texts = self.arrow["text"].combine_chunks()
        self._ids = np.array(self.arrow["response_id"].to_pylist(), dtype=np.bytes_)

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
        return response_of(self.arrow.slice(int(row) % len(self), 1).to_pylist()[0])

    def __iter__(self) -> Iterator[BankResponse]:
        return (self[row] for row in range(len(self)))

    @property
    def texts(self) -> list[str]:
        """All texts, in the order of the rows."""
        return list(self._texts.to_pylist())

    def text(self, row: int) -> str:
        """The text of a row, without its provenance."""
        return str(self._texts[row].as_py())

    def response_id(self, row: int) -> str:
        """The id of a row's response."""
        return str(self._ids[row].decode())

    def find(self, response_id: str) -> int | None:
        """The row of a response, None if it is not here."""
        wanted = response_id.encode(errors="replace")
        row = int(np.searchsorted(self._ids, wanted))
        return row if row < len(self) and self._ids[row] == wanted else None

    def tags(self) -> dict[int, frozenset[str]]:
        """The tags of the rows that have some, as they were built."""
        return {row: frozenset(tags) for row, tags in enumerate(self.arrow["tags"].to_pylist()) if tags}
