"""The built-in word list: whole words and phrases in the normal form of a text."""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.vetting.base import Flag

_INVISIBLE = ("Cf", "Mn")


def plain_form(text: str) -> str:
    """The normal form of a text without accents and invisible characters, which could hide a word."""
    decomposed = unicodedata.normalize("NFKD", text)
    return normal_form("".join(c for c in decomposed if unicodedata.category(c) not in _INVISIBLE))


class WordList:
    """Flags texts that hold a listed word or phrase: whole words, whatever case, accents, punctuation.

    Attributes:
        name: "words", or "words:FILE" of a list of one's own.
        entries: label by word or phrase, in plain form.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        """Take the packaged list, or the one in `path`: a label and a word or phrase a line, tab between.

        Raises:
            InputError: the file cannot be read, or a line is no entry.
        """
        self.name = f"words:{path}" if path else "words"
        source = Path(path) if path else files(__package__).joinpath("words.txt")
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the word list {source}: {error}") from error
        self.entries = _entries(text.splitlines(), str(source))

    @cached_property
    def _longest(self) -> int:
        return max(len(phrase.split()) for phrase in self.entries)

    def flags(self, texts: Sequence[str]) -> list[list[Flag]]:
        return [self._flags(text) for text in texts]

    def _flags(self, text: str) -> list[Flag]:
        words = plain_form(text).split()
        phrases = {
            " ".join(words[start : start + length])
            for length in range(1, self._longest + 1)
            for start in range(len(words) - length + 1)
        }
        found = sorted(phrases & self.entries.keys())
        return [Flag(self.entries[phrase], 1.0, f"says {phrase!r}") for phrase in found]


def _entries(lines: Iterable[str], where: str) -> dict[str, str]:
    entries = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        label, tab, phrase = line.partition("\t")
        form = plain_form(phrase)
        if not tab or not label.strip() or not form:
            raise InputError(
                f"{where}, line {number}: {line!r:.60} is no entry; expected a label, a tab, a word or phrase"
            )
        entries[form] = label.strip()
    if not entries:
        raise InputError(f"{where} lists no words; expected a label, a tab and a word on each line")
    return entries
