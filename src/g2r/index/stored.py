"""The keys of a bank as its index holds them: nothing is encoded again."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g2r.artifacts import Manifest, read_manifest
from g2r.bank import ResponseBank
from g2r.config import IndexConfig, parse_config
from g2r.encoder import Vectors
from g2r.errors import ArtifactError
from g2r.index.keys import Keys
from g2r.index.search import KeySearch


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The keys of a bank's index.

    Attributes:
        manifest: of the index.
        config: as it was built.
        bank: whose keys they are.
        keys: kind by kind, at the precision at which they are stored, unit length.
    """

    manifest: Manifest
    config: IndexConfig
    bank: ResponseBank
    keys: tuple[Keys, ...]

    @classmethod
    def read(cls, folder: Path) -> "StoredKeys":
        """Read the bank in `folder` and take the vectors out of its index.

        Raises:
            InputError: there is no bank.
            ArtifactError: it has no index.
        """
        bank = ResponseBank.load(folder)
        manifest = read_manifest(folder / "index")
        if manifest is None:
            raise ArtifactError(f"no index in {folder / 'index'}; run g2r index")
        parts = (
            KeySearch.load(folder / "index", name, rows=len(bank.built)) for name in manifest.counts["keys"]
        )
        return cls(
            manifest,
            parse_config(IndexConfig, manifest.config, where=str(folder / "index")),
            bank,
            tuple(
                Keys(part.name, unit(part.index.reconstruct_n(0, part.index.ntotal)), part.links)
                for part in parts
            ),
        )


def unit(vectors: Vectors) -> Vectors:
    """The same directions (n, dimensions) at unit length."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
