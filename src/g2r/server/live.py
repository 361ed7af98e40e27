"""The bot that answers now, behind one reference, and how another takes its place without a pause."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from g2r.artifacts import replacing
from g2r.bank import ResponseBank
from g2r.bank.carrying import near_duplicate_bans, not_among
from g2r.bank.log import LOG_FILE, append_changes
from g2r.bot import Bot
from g2r.dialogue import Context
from g2r.errors import ArtifactError, InputError
from g2r.reply import Reply

SWAPPED_FILE = "swapped.json"
_PROBE = ("hi, how are you?",)
_CONTRARY = {"ban": "unban", "unban": "ban", "tag": "untag", "untag": "tag"}


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


class LiveBot:
    """The bot that answers now.

    Replies are made in one thread while changes are made in another; of the changes (`change`, `adopt`) only
    one at a time may be under way. A swap is written to `swapped.json` in the folder that the server was
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

    def load(self, path: str) -> tuple[Bot, Place]:
        """Load what `path` names, beside the bot that answers, and try it with a reply.

        Raises:
            InputError: it names neither a whole bot nor a bank for the student that is served.
            InputError, ArtifactError, ConfigError, DependencyError: as `Bot.load`.
        """
        place = self._find(path)
        bot = place.load()
        bot.reply(_PROBE)  # one that cannot answer is found before anything is written to its log
        carry_changes(self._bot.bank, bot.bank)
        bot.reply(_PROBE)  # encodes what was carried over
        return bot, place

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

    def adopt(self, bot: Bot, place: Place) -> Bot:
        """Let `bot`, loaded from `place`, answer from now on; return the one it replaces.

        What was changed in the old bank holds in the new one, where that knows nothing newer.

        Raises:
            ArtifactError: the changes or the swap cannot be written; the old bot goes on answering.
        """
        carry_changes(self._bot.bank, bot.bank)
        if self._home:
            with replacing(self._home / SWAPPED_FILE) as new:
                new.write_text(json.dumps({"bot": str(place.bot), "bank": str(place.bank)}) + "\n")
        replaced, self._bot, self._place = self._bot, bot, place
        return replaced


def carry_changes(old: ResponseBank, new: ResponseBank) -> None:
    """Add to the log of `new`, a bank with a folder, the changes of `old` that it lacks.

    Left out are those whose contrary stands there with a later date. What is banned takes its near duplicates
    in `new` with it.

    Raises:
        ArtifactError: a log cannot be read or written.
    """
    old.refresh()
    new.refresh()
    dates: defaultdict[tuple[str, str, tuple[str, ...]], str] = defaultdict(str)
    for change in new.log:  # not ordered by date: what was carried stands after what was decided later
        made = (change.response_id, change.action, change.tags)
        dates[made] = max(dates[made], change.at)
    missing = [
        change
        for change in not_among(old.log, new.log)
        if dates.get((change.response_id, _CONTRARY.get(change.action, ""), change.tags), "") <= change.at
    ]
    if missing and new.folder:
        banned = {change.response_id for change in missing if change.action == "ban"}
        forbidden = {
            response_id: text for response_id, text in old.forbidden.items() if response_id in banned
        }
        near = near_duplicate_bans(new.built, forbidden, [*new.log, *missing])
        append_changes(new.folder / LOG_FILE, [*missing, *near])
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
