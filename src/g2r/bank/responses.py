"""The response bank: everything a bot may say, with where it came from, and who may not be heard again.

Built rows never change. Additions, bans and tags are changes in an append-only log beside them, on disk
before the call returns, and seen at once by every process that holds the bank.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from g2r.bank.carrying import folded, like_forbidden, near_duplicate_bans, not_among
from g2r.bank.files import read_rows, write_rows
from g2r.bank.following import Changes
from g2r.bank.log import LOG_FILE, Change, append_changes, read_log
from g2r.bank.rows import (
    ADDED,
    RESPONSES_SCHEMA,
    BankResponse,
    addition,
    clean_tags,
    cleaned,
    collect_responses,
    hash_rows,
    row_of,
    tag_set,
)
from g2r.bank.state import BankState, replay, state_of
from g2r.bank.table import BankTable
from g2r.config import IndexConfig, parse_config
from g2r.dialogue import Example
from g2r.errors import InputError


class ResponseBank(Sequence[BankResponse]):
    """The built responses in the order of their ids, then the added ones; with bans and tags.

    Attributes:
        built: the rows as they were built, those that an index holds.
        version: content hash of the built rows; changes do not change it.
        counts: what was read, kept, merged and left out when the bank was made.
    """

    def __init__(self, table: pa.Table, *, version: str, counts: Mapping[str, int] | None = None) -> None:
        """Hold the rows of `table` (`RESPONSES_SCHEMA`, ordered by response id), in memory alone so far."""
        self.built = BankTable(table)
        self.version = version
        self.counts = dict(counts or {"responses": len(table)})
        self._changes = Changes(self.built)

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
        return len(self._changes.state.banned)

    @overload
    def __getitem__(self, row: int) -> BankResponse: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[BankResponse, ...]: ...
    def __getitem__(self, row: int | slice) -> BankResponse | tuple[BankResponse, ...]:
        if isinstance(row, slice):
            return tuple(self[i] for i in range(*row.indices(len(self))))
        state = self._changes.state
        if not -len(state.banned) <= row < len(state.banned):
            raise IndexError(f"row {row} of a bank of {len(state.banned)} responses")
        row = int(row) % len(state.banned)
        response = state.fresh[row] if row in state.fresh else self.built[row]
        return replace(response, tags=state.tags.get(row, frozenset()))

    def __iter__(self) -> Iterator[BankResponse]:
        return (self[row] for row in range(len(self)))

    def text(self, row: int) -> str:
        """The text of a row, without its provenance."""
        row = int(row)
        return self.built.text(row) if row < len(self.built) else self._changes.state.fresh[row].text

    def response_id(self, row: int) -> str:
        """The id of a row's response."""
        row = int(row)
        return (
            self.built.response_id(row)
            if row < len(self.built)
            else self._changes.state.fresh[row].response_id
        )

    def row(self, response_id: str) -> int:
        """The row of a response.

        Raises:
            InputError: the bank has no such response.
        """
        row = self.find(response_id)
        if row is None:
            raise InputError(
                f"no response {response_id!r} among the {len(self)} of this bank; "
                "expected an id of 16 hex digits, as /top and g2r bank list show them"
            )
        return row

    def find(self, response_id: str) -> int | None:
        """The row of a response, None if the bank has no such response."""
        row = self.built.find(response_id)
        return self._changes.state.added.get(response_id) if row is None else row

    @property
    def texts(self) -> list[str]:
        """All texts, in the order of the rows."""
        return self.built.texts + [self.text(row) for row in range(len(self.built), len(self))]

    @property
    def folder(self) -> Path | None:
        """Where the bank was loaded from or saved to; None while it is in memory alone."""
        return self._changes.folder

    @property
    def state(self) -> BankState:
        """What holds now, as one: who needs several parts that belong together takes this once."""
        return self._changes.state

    def after(self, changes: Sequence[Change]) -> BankState:
        """What would hold after further changes; none is made."""
        return self._changes.after(changes)

    @property
    def fresh(self) -> Mapping[int, BankResponse]:
        """The rows whose keys an index of the built rows lacks: added ones, and those given further contexts.

        A change makes a new mapping and leaves the old one as it was.
        """
        return self._changes.state.fresh

    @property
    def banned(self) -> NDArray[np.bool_]:
        """Which rows are banned: (responses,). A change makes a new array and leaves the old one as it was."""
        return self._changes.state.banned

    @property
    def forbidden(self) -> Mapping[str, str]:
        """The text of every banned response by its id, those included that have no row (any more)."""
        return self._changes.state.forbidden

    @property
    def log(self) -> tuple[Change, ...]:
        """All changes, oldest first."""
        return self._changes.made

    @property
    def revision(self) -> int:
        """How many changes hold; grows with each, for those who keep something derived from them."""
        return self._changes.state.revision

    def allowed(self, tags: Collection[str] = (), *, without: Collection[str] = ()) -> NDArray[np.bool_]:
        """Which rows may be said: not banned, carrying every one of `tags` and none of `without`.

        (responses,) of bool, read-only; made once for each pair of sets until the next change.

        Raises:
            InputError: tags are one text instead of a list.
        """
        return self._changes.state.allowed(tag_set(tags), tag_set(without))

    def add(
        self,
        *texts: str,
        contexts: Iterable[Sequence[str]] = (),
        tags: Iterable[str] = (),
        source: str = ADDED,
        reason: str = "",
        by: str = "",
    ) -> tuple[BankResponse, ...]:
        """Add responses, each for all of `contexts`. On disk when this returns, if the bank has a folder.

        A text that the bank has already is given the further contexts and tags. Bots find additions by
        their own keys and those of their contexts from the next reply on (`Bot.refresh`).

        Raises:
            InputError: a text, context or tag is blank, or a text is a near duplicate of a banned one;
                nothing is added.
            ArtifactError: the log cannot be written; nothing is added.
        """
        contexts, marks = list(contexts), clean_tags(tags)
        changes = [addition(text, contexts, marks, sources=(source,), reason=reason, by=by) for text in texts]
        self.record(changes)
        return tuple(self[self.row(change.response_id)] for change in changes)

    def ban(self, response_id: str, reason: str = "", *, by: str = "") -> None:
        """Never say this response again. On disk when this returns, if the bank has a folder.

        Raises:
            InputError: the bank has no such response; nothing is changed.
            ArtifactError: the log cannot be written; nothing is changed.
        """
        self.record([Change("ban", response_id, reason, by=by)])

    def unban(self, response_id: str, reason: str = "", *, by: str = "") -> None:
        """Take a ban back. Raises as `ban` does."""
        self.record([Change("unban", response_id, reason, by=by)])

    def tag(self, response_id: str, *tags: str, by: str = "") -> None:
        """Add tags to a response. Raises as `ban` does, and InputError for a blank tag or one with a comma."""
        self.record([Change("tag", response_id, tags=clean_tags(tags), by=by)])

    def untag(self, response_id: str, *tags: str, by: str = "") -> None:
        """Take tags off a response. Raises as `ban` does."""
        self.record([Change("untag", response_id, tags=tags, by=by)])

    def record(self, changes: Sequence[Change]) -> None:
        """Make changes, all or none; on disk when this returns, if the bank has a folder.

        Additions that add nothing leave no line in the log. Control characters do not get into it.

        Raises:
            InputError: a change names no response of the bank, or adds a near duplicate of a banned one.
            ArtifactError: the log cannot be written.
        """
        self.refresh()
        changes = [cleaned(change) for change in changes]
        adding = [change for change in changes if change.action == "add"]
        for place, banned in like_forbidden([change.text for change in adding], self.forbidden).items():
            raise InputError(
                f"{adding[place].text!r} is a near duplicate of the banned response {banned} "
                f"({self.forbidden[banned]!r}); unban that one first"
            )
        made = [self._checked(change, {new.response_id for new in adding}) for change in changes]
        made = [change for change in made if change.action != "add" or self._adds_something(change)]
        self._changes.record(made)

    def _checked(self, change: Change, adding: Collection[str]) -> Change:
        """A change of a response that is here, with the text of what it bans."""
        if change.action == "add" or change.response_id in adding:
            return change
        if change.action == "unban" and change.response_id in self.forbidden:
            return change
        row = self.row(change.response_id)
        return replace(change, text=self.text(row)) if change.action == "ban" else change

    def _adds_something(self, change: Change) -> bool:
        if self.find(change.response_id) is None:
            return True
        before, after = self._changes.state, self._changes.after([change])
        return (before.fresh, before.tags) != (after.fresh, after.tags)

    def refresh(self) -> bool:
        """Take over changes that were written to the log since it was last read, by whatever process.

        Returns whether there were any; asking costs one look at the file's size. A log that was replaced
        together with its folder is replayed from its start.

        Raises:
            ArtifactError: the log holds a line that is no change.
        """
        return self._changes.refresh()

    def continuing(self, earlier: Sequence[Change]) -> Self:
        """This bank as the successor of another one, of whose log it takes over everything, besides its own.

        What was added is among the rows of the result, so that its index has their keys. What was
        banned is banned, and so are its near duplicates among the rows, unless the log holds a
        decision about them. `counts` tells how many of each.
        """
        history = [*earlier, *not_among(self.log, earlier)]
        state = replay(state_of(self.built), history, self.built)
        bank = (
            self.from_responses(folded(self.built, state))
            if state.fresh
            else type(self)(self.built.arrow, version=self.version)
        )
        bank._changes.record(history)
        carried = near_duplicate_bans(bank.built, bank.forbidden, bank.log)
        bank._changes.record(carried)
        bank.counts = {
            **self.counts,
            "responses": len(bank),
            "additions": len(state.fresh),
            "near duplicates of banned": len(carried),
        }
        return bank

    def save(self, folder: Path | str) -> None:
        """Write the bank into `folder`; from now on changes go to the log there.

        A log that is already there stays, and its bans hold for this bank too, for near duplicates as
        well: rebuilding a bank does not bring back what was banned.

        Raises:
            ArtifactError: the place cannot be written; what was there before is untouched.
        """
        self.write(Path(folder))
        self.attach(Path(folder))

    def write(self, folder: Path, *, earlier: Sequence[Change] = ()) -> None:
        """Write responses.parquet, and to log.jsonl the changes that it does not hold yet.

        Args:
            folder: where; it must exist, unless the log there is the one to go on with.
            earlier: what the log begins with where `folder` has none: that of the bank that is replaced.
        """
        write_rows(folder, self.built.arrow, self.version)
        there = read_log(folder)
        earlier = there or list(earlier)
        unseen = replay(state_of(self.built), not_among(earlier, self.log), self.built).forbidden
        mine = not_among(self.log, earlier)
        carried = near_duplicate_bans(self.built, unseen, [*earlier, *mine])
        append_changes(folder / LOG_FILE, [*not_among(earlier, there), *mine, *carried])

    def attach(self, folder: Path) -> None:
        """Take the log in `folder` as this bank's own: its changes hold, further ones go there."""
        self._changes.follow(folder)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a bank and replay its log; a last line cut short by a kill is left out.

        Raises:
            InputError: there is no bank in `folder`, or its file cannot be read.
            ArtifactError: the log holds a line that is no change.
        """
        table, version = read_rows(Path(folder))
        bank = cls(table, version=version)
        bank.attach(Path(folder))
        return bank
