"""The response bank: responses with their provenance, and the log of bans and tags."""

from g2r.bank.log import Change
from g2r.bank.responses import ResponseBank
from g2r.bank.rows import BankContext, BankResponse

__all__ = ["BankContext", "BankResponse", "Change", "ResponseBank"]
