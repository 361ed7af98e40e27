"""The response bank: responses with their provenance, and the log of what was added, banned and tagged."""

from g2r.bank.log import Change, held_log, read_log
from g2r.bank.responses import ResponseBank
from g2r.bank.rows import ADDED, SELF_DESCRIPTION, BankContext, BankResponse, addition

__all__ = [
    "ADDED",
    "SELF_DESCRIPTION",
    "BankContext",
    "BankResponse",
    "Change",
    "ResponseBank",
    "addition",
    "held_log",
    "read_log",
]
