"""Small context towers: distilled from a full student, in its space, so that its bank and index stay (METHOD)."""

from g2r.compression.material import Material, gather
from g2r.compression.training import LOG_FILE, Compressed, compress, save

__all__ = ["LOG_FILE", "Compressed", "Material", "compress", "gather", "save"]
