from pathlib import Path

import pytest

from g2r import starter
from g2r.errors import InputError
from g2r.vetting.base import Classifier
from g2r.vetting.words import WordList, plain_form

LISTED = WordList()


def labels(text: str) -> list[str]:
    (flags,) = LISTED.flags([text])
    return [flag.label for flag in flags]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("You are such a RETARD!", "slur"),
        ("you are a rétard", "slur"),
        ("you are a re\u00adtard", "slur"),
        ("you are a re\u200btard", "slur"),
        ("ｒｅｔａｒｄ", "slur"),
        ("I'll kill you.", "violence"),
        ("just kill-yourself", "self-harm"),
        ("Sometimes I want\nto die", "self-harm"),
        ("that is porn.", "sexual"),
    ],
)
def test_listed_words_are_found_however_they_are_written(text: str, label: str) -> None:
    assert labels(text) == [label]


@pytest.mark.parametrize(
    "text",
    [
        "I grew up near Scunthorpe.",
        "The pilot left the cockpit.",
        "Spices make it taste of home.",
        "This recipe is so spicy, I could cry.",
        "Progress was retarding; it was tardy.",
        "The killer whale is my favorite animal.",
        "It was raining cats and dogs, we had grapes and a document to sign.",
        "Violets and therapists.",
        "Yes! I love Maine coons.",
        "She graduated summa cum laude.",
        "Dickens wrote that.",
        "",
        "?!",
    ],
)
def test_words_inside_words_and_harmless_ones_are_not(text: str) -> None:
    assert labels(text) == []


def test_the_starter_corpus_raises_hardly_a_flag() -> None:
    rows = starter.corpus()
    texts = [text for name in ("situations", "plain") for row in rows[name] for text in row["replies"]]
    flagged = [text for text, flags in zip(texts, LISTED.flags(texts), strict=True) if flags]
    assert len(flagged) <= len(texts) / 1000


def test_the_packaged_list_is_in_plain_form_and_has_four_labels() -> None:
    assert isinstance(LISTED, Classifier)
    assert set(LISTED.entries.values()) == {"slur", "sexual", "self-harm", "violence"}
    assert all(plain_form(phrase) == phrase for phrase in LISTED.entries)


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# rivals\nrival\tAcme Corp.\n\nrival\tBrand-X\n")
    own = WordList(path)
    assert own.name == f"words:{path}"
    (flags,) = own.flags(["I prefer brand x to ACME corp"])
    assert [(flag.label, flag.reason) for flag in flags] == [
        ("rival", "says 'acme corp'"),
        ("rival", "says 'brand x'"),
    ]


@pytest.mark.parametrize(("content", "says"), [("rival Acme\n", "line 1"), ("# nothing\n", "lists no words")])
def test_a_list_that_is_none(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "words.txt").write_text(content)
    with pytest.raises(InputError, match=says):
        WordList(tmp_path / "words.txt")
    with pytest.raises(InputError, match="cannot read the word list"):
        WordList(tmp_path / "missing.txt")
