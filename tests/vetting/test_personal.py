import pytest

from g2r import starter
from g2r.vetting.personal import PersonalInformation, is_card, is_iban, passes_luhn


def labels(text: str) -> list[str]:
    (flags,) = PersonalInformation().flags([text])
    return [flag.label for flag in flags]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Write to jane.doe+chat@mail.example.org, please.", "email"),
        ("See https://example.org/a?b=c for more.", "web address"),
        ("It is on www.example.org.", "web address"),
        ("Look at example.com/shop", "web address"),
        ("Ping 192.168.12.7 first", "ip address"),
        ("My card is 4111 1111 1111 1111.", "card number"),
        ("5500-0055-5555-5559", "card number"),
        ("Pay to DE89 3704 0044 0532 0130 00 now", "account number"),
        ("GB82WEST12345698765432", "account number"),
        ("Call +44 20 7946 0958 tonight", "phone number"),
        ("call (415) 555-0132", "phone number"),
        ("415-555-0132 is my number", "phone number"),
        ("Ring 020 7946 0958.", "phone number"),
        ("I live at 12 Baker Street", "street address"),
        ("221b Upper Baker St, come by", "street address"),
    ],
)
def test_what_is_written_the_usual_way_is_found_once(text: str, label: str) -> None:
    assert labels(text) == [label]


@pytest.mark.parametrize(
    "text",
    [
        "It was 1990-2000, or 2020-2021.",
        "We met on 12-05-2021 at 10:30.",
        "That costs 1,000,000 dollars, or 3.141592653589793.",
        "Version 1.2.3.4567 is out",
        "My card is 4111 1111 1111 1112.",
        "0000 0000 0000 0000",
        "The score was 3-2 and then 110-108.",
        "I ran 5 km in 25 minutes, 100 times.",
        "Meet me @ the corner, e.g. tomorrow.",
        "Ready...set...go. And so on.",
        "I read 2 Good Books on my way home",
        "He waited 20 years. Drive safely!",
        "It is 999.999.999.999 years old",
        "Order number 123456789012345678901234",
        "DE89 3704 0044 0532 0130 01 is no account",
        "Room 101, floor 3, seat 24B",
        "a 100 200 300 pattern",
        "",
    ],
)
def test_numbers_that_tell_of_nobody_are_not(text: str) -> None:
    assert labels(text) == []


def test_check_digits() -> None:
    assert passes_luhn("79927398713")
    assert [n for n in range(10) if passes_luhn(f"7992739871{n}")] == [3]
    for wrong in range(10):
        assert is_card(f"411111111111111{wrong}") == (wrong == 1)
        assert is_iban(f"GB82WEST1234569876543{wrong}") == (wrong == 2)
    assert not is_card("4" * 12)


def test_several_kinds_in_one_text() -> None:
    assert sorted(labels("jane@example.org or +1 415 555 0132 at 12 Baker Street")) == [
        "email",
        "phone number",
        "street address",
    ]


def test_the_starter_corpus_holds_helplines_alone() -> None:
    rows = starter.corpus()
    texts = [text for name in ("situations", "plain") for row in rows[name] for text in row["replies"]]
    flagged = [flags for flags in PersonalInformation().flags(texts) if flags]
    assert {flag.label for flags in flagged for flag in flags} <= {"phone number"}
    assert len(flagged) <= len(texts) / 1000
