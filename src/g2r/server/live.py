"""The bot that answers now, behind one reference, and how another takes its place without a pause."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from g2r.artifacts import replacing
from g2r.bank import Change, ResponseBank
from g2r.bank.carrying import bans_of_like, handed_over, not_among
from g2r.bank.log import LOG_FILE, append_changes
from g2r.bot import Bot
from g2r.dialogue import Context
from g2r.errors import ArtifactError, InputError
from g2r.reply import Reply

SWAPPED_FILE = "swapped.json"
_PROBE = ("hi, how are you?",)


Rules = tuple[frozenset[str], frozenset[str], int]


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that waits for a reply.

    Attributes:
        turns: the conversation, as `check_turns` returns it.
        tags: only responses that carry all of them.
        without: no response that carries one of them.
        candidates: ranked candidates to show.
    """

    turns: Context
    tags: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    candidates: int = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bot stands: the folder with student and bot.json, and the folder of the bank."""

    bot: Path
    bank: Path

    def load(self) -> Bot:
        """Load the bot.

        Raises:
            InputError, ArtifactError, ConfigError, DependencyError: as `Bot.load`.
        """
        return Bot.load(self.bot, bank=str(self.bank.resolve()))


@dataclass(frozen=True, slots=True)
class Successor:
    """A bot that was loaded and tried, and may take over.

    Attributes:
        bot: who.
        place: where from.
        seen: how many changes of the replaced bank were looked at.
        bans: of near duplicates, which go with those changes.
    """

    bot: Bot
    place: Place
    seen: int
    bans: tuple[Change, ...]


class LiveBot:
    """The bot that answers now.

    Replies are made in one thread while changes are made in others; no change of the bank may be under way
    while another bot is adopted. A swap is written to `swapped.json` in the folder that the server was
    started on: started again after a crash, it serves what it served.
    """

    def __init__(self, bot: Bot, *, place: Place | None = None, home: Path | None = None) -> None:
        """Serve a bot that is loaded already; `place` is where from, `home` where swaps are remembered."""
        self._bot = bot
        self._place = place
        self._home = home

    @classmethod
    def open(cls, path: Path | str, *, bank: str = "bank") -> Self:
        """Serve the bot or run in `path`, or what was swapped in while it was served last.

        What was added since its bank was built is encoded before this returns, so no question waits for it.

        Raises:
            InputError, ArtifactError, ConfigError, DependencyError: as `Bot.load`.
        """
        home = Path(path)
        place = _read_swap(home) or Place(home, home / bank)
        bot = place.load()
        bot.reply(_PROBE)
        return cls(bot, place=place, home=home)

    @property
    def place(self) -> Place | None:
        """Where the bot was loaded from."""
        return self._place

    @property
    def home(self) -> Path | None:
        """The folder that the server was started on; None for a bot that came without one."""
        return self._home

    @property
    def bot(self) -> Bot:
        """Who answers now; a batch takes it once, and finishes with it."""
        return self._bot

    def answer(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer conversations in as few batches as their tags allow, all by the same bot."""
        bot = self._bot
        alike: defaultdict[Rules, list[int]] = defaultdict(list)
        for number, question in enumerate(questions):
            alike[question.tags, question.without, question.candidates].append(number)
        replies: dict[int, Reply] = {}
        for (tags, without, candidates), numbers in alike.items():
            turns = [questions[number].turns for number in numbers]
            batch = bot.reply_batch(turns, tags=tags, without=without, candidates=candidates)
            replies.update(zip(numbers, batch, strict=True))
        return [replies[number] for number in range(len(questions))]

    def load(self, path: str) -> Successor:
        """Load what `path` names, beside the bot that answers, and try it with a reply; nothing is written.

        Raises:
            InputError: it names neither a whole bot nor a bank for the student that is served.
            InputError, ArtifactError, ConfigError, DependencyError: as `Bot.load`.
        """
        place = self._find(path)
        bot = place.load()
        bot.reply(_PROBE)
        old = self._bot.bank
        old.refresh()
        seen = old.log
        missing = handed_over(seen, bot.bank.log)
        bans = bans_to_carry(missing, bot.bank)
        bot.prepare([*missing, *bans])
        return Successor(bot, place, len(seen), tuple(bans))

    def _find(self, path: str) -> Place:
        try:
            folder = Path(path).resolve()
            if (folder / "student").is_dir():
                return Place(folder, folder / "bank")
            if (folder / "responses.parquet").is_file() and self._place:
                return Place(self._place.bot.resolve(), folder)
        except OSError as error:
            raise InputError(f"{path!r:.80}: {error.strerror}; expected a folder") from error
        raise InputError(
            "no bot and no bank there; expected a folder on the server's machine with student and bank, "
            "or one with responses.parquet and index"
        )

    def adopt(self, successor: Successor) -> Bot:
        """Let a bot that was loaded answer from now on; return the one it replaces.

        What was changed in the old bank holds in the new one, where that knows nothing newer. Near duplicates
        of what was banned since the other was loaded are left to `settle`: no ban waits for a search of them.

        Raises:
            ArtifactError: the changes or the swap cannot be written; the old bot goes on answering, and the log
                of the new bank is as it was.
        """
        bot, old, new = successor.bot, self._bot.bank, successor.bot.bank
        with self._remembered(successor.place):
            old.refresh()
            new.refresh()
            carry([*handed_over(old.log, new.log), *not_among(successor.bans, new.log)], new)
        bot.refresh()
        replaced, self._bot, self._place = self._bot, bot, successor.place
        return replaced

    def settle(self, successor: Successor, replaced: Bot) -> None:
        """Ban near duplicates of what was banned in the replaced bank while its successor was loading.

        Raises:
            ArtifactError: the log cannot be written.
        """
        carry(bans_to_carry(replaced.bank.log[successor.seen :], successor.bot.bank), successor.bot.bank)

    @contextmanager
    def _remembered(self, place: Place) -> Iterator[None]:
        """Have a swap on disk when the body has ended; what may fail is tried before the body begins.

        Raises:
            ArtifactError: it cannot be written.
        """
        if not self._home:
            yield
            return
        path = self._home / SWAPPED_FILE
        if path.is_dir():
            raise ArtifactError(f"{path} is a folder, expected a file or nothing; remove it")
        with replacing(path) as new:
            new.write_text(json.dumps({"bot": str(place.bot), "bank": str(place.bank)}) + "\n")
            yield


def bans_to_carry(missing: Sequence[Change], new: ResponseBank) -> list[Change]:
    """The bans of near duplicates that go with the changes that are carried to another bank.

    A carried ban takes its near duplicates in `new` with it; a carried addition is banned if it is a near
    duplicate of what is banned there. A response about which somebody decided is left as it is.
    """
    forbidden = new.after(missing).forbidden
    carried = {c.response_id: c.text for c in missing if c.action == "ban" and c.response_id in forbidden}
    stood = {response_id: text for response_id, text in new.forbidden.items() if response_id in forbidden}
    added = {
        c.response_id: c.text for c in missing if c.action == "add" and new.built.find(c.response_id) is None
    }
    decisions = [*new.log, *missing]
    there = [new.response_id(row) for row in range(len(new))] if carried else []
    texts = new.texts if carried else []
    return [
        *bans_of_like(there, texts[: len(there)], carried, decisions),
        *bans_of_like(list(added), list(added.values()), stood, decisions),
    ]


def carry(changes: Sequence[Change], new: ResponseBank) -> None:
    """Add changes to the log of a bank that has a folder, as they are.

    Raises:
        ArtifactError: the log cannot be written; nothing is added.
    """
    if changes and new.folder:
        append_changes(new.folder / LOG_FILE, changes)
        new.refresh()


def _read_swap(home: Path) -> Place | None:
    """What was swapped in while `home` was served.

    Raises:
        ArtifactError: the file holds no such thing.
    """
    path = home / SWAPPED_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Place(Path(values["bot"]), Path(values["bank"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} does not tell what was swapped in ({error}); remove it to serve {home} itself"
        ) from error
