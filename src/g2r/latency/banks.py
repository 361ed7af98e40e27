"""Banks of any size, made of the bank of a run: speed depends on size and on how keys lie, not on what is said.

A bank beyond the size of the run's has all its responses, then synthetic ones. Each of these stands for a real
response; its keys are that one's, each moved by half the difference of two other keys drawn by seed. So they lie
clustered around real ones and spread in the directions in which real ones do, which random vectors do not: among
those every search structure fails. Its text begins as that response's and ends as another's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from g2r.artifacts import Manifest, read_manifest
from g2r.bank import ResponseBank
from g2r.bank.rows import RESPONSES_SCHEMA
from g2r.config import IndexConfig, parse_config
from g2r.encoder import Vectors
from g2r.errors import ArtifactError
from g2r.index import FaissIndex
from g2r.index.keys import RESPONSE_KEY, Keys, Links, links_of
from g2r.index.search import KeySearch

SPREAD = 0.5
_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class RunBank:
    """What a run's index holds: texts, and the keys of each kind as they are stored.

    Attributes:
        config: of the index.
        texts: of the responses, in order of the rows.
        keys: kind by kind.
    """

    config: IndexConfig
    texts: Sequence[str]
    keys: Sequence[Keys]

    @classmethod
    def read(cls, folder: Path) -> "RunBank":
        """Read the bank in `folder` and take the vectors out of its index.

        Raises:
            InputError: there is no bank.
            ArtifactError: it has no index.
        """
        bank = ResponseBank.load(folder)
        manifest = read_manifest(folder / "index")
        if manifest is None:
            raise ArtifactError(f"no index in {folder / 'index'}; run g2r index")
        config = parse_config(IndexConfig, manifest.config, where=str(folder / "index"))
        parts = [
            KeySearch.load(folder / "index", name, rows=len(bank.built)) for name in manifest.counts["keys"]
        ]
        keys = [
            Keys(part.name, _unit(part.index.reconstruct_n(0, part.index.ntotal)), part.links)
            for part in parts
        ]
        return cls(config, bank.built.texts, keys)

    def models(self, size: int, *, seed: int) -> NDArray[np.int64]:
        """For each response of a bank of `size`, the response of the run that it is or stands for: (size,)."""
        generator = np.random.default_rng([seed, size])
        real = generator.permutation(len(self.texts))
        if size <= len(real):
            return np.sort(real[:size])
        more = generator.integers(len(real), size=size - len(real))
        return np.concatenate([np.arange(len(real)), more])

    def grown_keys(self, size: int, *, seed: int = 0, kinds: int | None = None) -> list[Keys]:
        """The keys of a bank of `size`, of the first `kinds` kinds, all by default."""
        models = self.models(size, seed=seed)
        real = min(size, len(self.texts))
        return [
            _grown(kind, models, real, np.random.default_rng([seed, size, place]))
            for place, kind in enumerate(self.keys[:kinds])
        ]

    def grown_response_keys(
        self, size: int, encode: Callable[[Sequence[str]], Vectors], *, seed: int = 0
    ) -> Vectors:
        """A key for each response of a bank of `size` where the index has none of that kind: (size, dimensions).

        Args:
            encode: makes the vectors of texts.
        """
        own = np.repeat(np.arange(len(self.texts)), 2).reshape(-1, 2)
        kind = Keys(RESPONSE_KEY, _unit(encode(self.texts)), Links(own, rows=len(own), keys=len(own)))
        generator = np.random.default_rng([seed, size, len(self.keys) + 1])
        return _grown(kind, self.models(size, seed=seed), min(size, len(own)), generator).vectors

    def grown_texts(self, size: int, *, seed: int = 0) -> list[str]:
        """The texts of a bank of `size`."""
        models = self.models(size, seed=seed)
        real = min(size, len(self.texts))
        ends = np.random.default_rng([seed, size, len(self.keys)]).integers(len(self.texts), size=size)
        return [self.texts[i] for i in models[:real]] + [
            _crossed(self.texts[i], self.texts[j]) for i, j in zip(models[real:], ends[real:], strict=True)
        ]


def _grown(kind: Keys, models: NDArray[np.int64], real: int, generator: np.random.Generator) -> Keys:
    """The keys of responses that stand for those of `kind`: the first `real` as they are, the others moved."""
    stored, offsets = links_of(kind.links.row_keys, kind.links.row_offsets, models)
    vectors = kind.vectors[stored]
    for start in range(int(offsets[real]), len(vectors), _AT_ONCE):
        part = vectors[start : start + _AT_ONCE]
        there, back = generator.integers(len(kind.vectors), size=(2, len(part)))
        vectors[start : start + _AT_ONCE] = _unit(
            part + np.float32(SPREAD) * (kind.vectors[there] - kind.vectors[back])
        )
    rows = np.repeat(np.arange(len(models)), np.diff(offsets))
    pairs = np.stack([rows, np.arange(len(vectors))], axis=1)
    return Keys(kind.name, vectors, Links(pairs, rows=len(models), keys=len(vectors)))


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _crossed(first: str, second: str) -> str:
    """The first half of one text's words, then the second half of another's."""
    head, tail = first.split(), second.split()
    return " ".join(head[: (len(head) + 1) // 2] + tail[len(tail) // 2 :])


def bank_of(texts: Sequence[str]) -> ResponseBank:
    """A bank of these texts as they come, equal ones too, without contexts."""
    count = len(texts)
    columns = {
        "response_id": [f"{row:016x}" for row in range(count)],
        "text": list(texts),
        "sources": [["synthetic"]] * count,
        "contexts": [[]] * count,
        "scores": [dict.fromkeys(field.name for field in RESPONSES_SCHEMA.field("scores").type)] * count,
        "count": [1] * count,
        "tags": [[]] * count,
    }
    return ResponseBank(pa.table(columns, schema=RESPONSES_SCHEMA), version="synthetic")


def index_of(keys: Sequence[Keys], config: IndexConfig) -> FaissIndex:
    """The index of these keys, built as a bot's is; its recall is not measured."""
    return FaissIndex([KeySearch.build(kind, config) for kind in keys], config, Manifest("index", {}, {}))


def bytes_per_response(bank: ResponseBank, keys: Sequence[Keys]) -> dict[str, float]:
    """Memory a response takes beside its keys' vectors: rows (text, provenance), ids, links."""
    links = sum(
        array.nbytes
        for kind in keys
        for array in (kind.links.pairs, kind.links.row_offsets, kind.links.key_rows, kind.links.key_offsets)
    )
    ids = len(bank) * len(bank.response_id(0))
    size = {"rows": bank.built.arrow.nbytes, "ids": ids, "links": links}
    return {name: value / len(bank) for name, value in size.items()}
