"""Search over the keys of a bank."""

from g2r.index.base import Hits, ResponseIndex
from g2r.index.building import build_bank, write_bank
from g2r.index.faiss import FaissIndex

__all__ = ["FaissIndex", "Hits", "ResponseIndex", "build_bank", "write_bank"]
