"""Text that tells who or where somebody is: mail and web addresses, phone, card and account numbers, streets."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from g2r.vetting.base import Flag

_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]+@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]+)*\.[a-z]{2,24}\b", re.I
)
_WEB = re.compile(
    r"\b(?:https?://|www\.)[^\s<>\"']+"
    r"|(?<![\w@.-])(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|info|io|co\.uk|de|fr|app|dev|ru|cn)\b(?:/\S*)?",
    re.I,
)
_IP = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)")
_CARD = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-]*\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_PHONE = re.compile(
    r"(?<![\w.+-])(?<!\d )(?:"
    r"\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}"  # +44 20 7946 0958
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}([ .-])\d{3}\1\d{4}"  # (415) 555-0132, 415-555-0132
    r"|0\d{1,4}[ /-]\d{3,4}(?:[ -]?\d{2,4}){1,2}"  # 020 7946 0958
    r")(?![\w-]*\d)"
)
_STREET = re.compile(
    r"\b\d{1,5}[a-z]? (?:[A-Z][\w'’]+\.? ){1,3}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Square|Terrace|Way)\b"
)


def passes_luhn(number: str) -> bool:
    """Whether the digits in `number` end with the check digit of payment cards (ISO/IEC 7812)."""
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def is_card(number: str) -> bool:
    """Whether it is a card number: 13 to 19 digits, a network's first digit, the check digit right."""
    digits = "".join(c for c in number if c.isdigit())
    return 13 <= len(digits) <= 19 and digits[0] in "23456" and len(set(digits)) > 1 and passes_luhn(digits)


def is_iban(text: str) -> bool:
    """Whether it is an account number by its remainder modulo 97 (ISO 13616)."""
    compact = text.replace(" ", "")
    moved = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def is_address(text: str) -> bool:
    """Whether it is an IPv4 address, and not one of a machine's own."""
    try:
        return not ipaddress.IPv4Address(text).is_loopback
    except ValueError:
        return False


def is_phone(text: str) -> bool:
    """Whether it has as many digits as phone numbers have (E.164: at most 15)."""
    return 9 <= sum(c.isdigit() for c in text) <= 15


@dataclass(frozen=True, slots=True)
class _Kind:
    label: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] = bool


_KINDS = (
    _Kind("email", _EMAIL),
    _Kind("web address", _WEB),
    _Kind("ip address", _IP, is_address),
    _Kind("account number", _IBAN, is_iban),
    _Kind("card number", _CARD, is_card),
    _Kind("phone number", _PHONE, is_phone),
    _Kind("street address", _STREET),
)


class PersonalInformation:
    """Flags mail and web addresses, phone, card (Luhn) and account (IBAN) numbers, IP and street addresses.

    Patterns for what is written the usual way: a number in words, or a name, is not found.
    """

    name = "personal"

    def flags(self, texts: Sequence[str]) -> list[list[Flag]]:
        return [_flags(text) for text in texts]


def _flags(text: str) -> list[Flag]:
    """One flag for each place; a place of several kinds is of the first."""
    flags, taken = [], list[range]()
    for kind in _KINDS:
        for match in kind.pattern.finditer(text):
            place = range(*match.span())
            if kind.check(match[0]) and not any(r.start < place.stop and place.start < r.stop for r in taken):
                taken.append(place)
                flags.append(Flag(kind.label, 1.0, f"holds {match[0]!r}"))
    return flags
