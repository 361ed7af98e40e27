"""The index on FAISS: one search structure for each kind of key, and one exact score over all of them."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import Manifest, library_versions, read_manifest, replacing, write_manifest
from g2r.bank import ResponseBank
from g2r.config import IndexConfig, parse_config
from g2r.dialogue import Context
from g2r.encoder import Encoder, Vectors, key_fingerprint
from g2r.errors import ArtifactError
from g2r.index.base import Hits, encode_views
from g2r.index.keys import RESPONSE_KEY, Keys, encode_keys, exact_scores
from g2r.index.ranking import rank
from g2r.index.search import KeySearch
from g2r.index.structures import has_effort
from g2r.progress import Progress, silent

_SHALLOWEST = 64
_PROBES = 200


class FaissIndex:
    """The keys of a bank, searched kind by kind; what any search finds is scored over all kinds of key.

    Attributes:
        config: as it was built.
        manifest: what it was built from, its sizes and its recall against exact search.
        views: the view of a context compared with each kind of key, the rows of a query.
    """

    def __init__(self, parts: Sequence[KeySearch], config: IndexConfig, manifest: Manifest) -> None:
        self._parts = tuple(parts)
        self.config = config
        self.manifest = manifest
        self.views = tuple("all" if part.name == RESPONSE_KEY else part.name for part in parts)
        self._exact = not any(has_effort(part.index) for part in parts)
        self._reachable = np.logical_or.reduce([np.diff(part.links.row_offsets) > 0 for part in parts])

    def __len__(self) -> int:
        """Number of responses."""
        return len(self._reachable)

    @classmethod
    def build(
        cls,
        bank: ResponseBank,
        encoder: Encoder,
        config: IndexConfig | None = None,
        *,
        queries: Sequence[Context] | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Encode the keys of `bank`, index them, and compare search with exact search on `queries`.

        Without `queries`, contexts of the bank with a word left out of each turn are asked. The index
        depends on bank, encoder and config alone (one thread builds it).

        Raises:
            ConfigError: no kind of key has weight.
            InputError: only context keys have weight, and the bank has no context.
            ArtifactError: recall is under `min_recall_at_1` or `min_recall_at_10`.
        """
        start = time.perf_counter()
        config = config or IndexConfig()
        keys = encode_keys(bank, encoder, config, progress=progress)
        parts = [KeySearch.build(kind, config) for kind in keys]
        index = cls(parts, config, Manifest("index", {}, {}))
        probes = list(queries) if queries else _probes(bank)
        recall = index._recall(keys, encode_views(encoder, probes, index.views))
        _refuse_low(recall, config, len(probes))
        counts = {
            "responses": len(bank.built),
            "keys": {kind.name: len(kind.vectors) for kind in keys},
            "queries": len(probes),
            **recall,
        }
        index.manifest = Manifest(
            stage="index",
            config=config.model_dump(mode="json"),
            inputs={"bank": bank.version, "encoder": key_fingerprint(encoder)},
            counts=counts,
            seconds=round(time.perf_counter() - start, 3),
            versions=library_versions("faiss-cpu", "numpy"),
        )
        return index

    def search(self, query: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None) -> Hits:
        """Return the best `k` responses for a context, fewer only if fewer are allowed and have keys.

        Each kind of key is searched by itself, and what any of these searches found is ranked by s(r). Exact
        structures are searched deeper and deeper until no response that was not found can be among the best
        `k` (the threshold algorithm); others once, at a depth that leaves recall to the structures.

        Args:
            query: one context, a row for each of `views`: (views, dimensions).
            k: how many.
            allowed: rows that may be returned, (responses,); all if None.
        """
        if allowed is not None and allowed.all():
            allowed = None
        reachable = self._reachable if allowed is None else self._reachable & allowed
        k = min(k, int(np.count_nonzero(reachable)))
        depth = max(1, k if len(self._parts) == 1 else max(_SHALLOWEST, 2 * k))
        while True:
            found = [
                part.search(vector, depth, allowed) for part, vector in zip(self._parts, query, strict=True)
            ]
            hits, proven = rank(self._parts, query, found, k, self.config)
            enough = len(hits) >= k and (proven or not self._exact)
            if enough or all(each.floor == -np.inf for each in found):
                return hits
            depth *= 4

    def keys_of(self, rows: NDArray[np.int64]) -> dict[str, list[Vectors]]:
        """The stored keys of these rows, by kind: for each row (keys, dimensions)."""
        return {part.name: part.keys_of(rows) for part in self._parts}

    def _recall(self, keys: Sequence[Keys], queries: Vectors) -> dict[str, float]:
        """Share of the truly best 1 and 10 responses that search finds; responses that tie count alike."""
        shares: dict[int, list[float]] = {1: [], 10: []}
        for query in queries:
            exact = np.where(self._reachable, exact_scores(keys, query, self.config), -np.inf)
            found = exact[self.search(query, 10).rows]
            for k, collected in shares.items():
                k = min(k, len(exact))
                worst = np.partition(exact, -k)[-k]
                collected.append(float(np.mean(found[:k] >= worst - 1e-6)) if len(found) else 1.0)
        return {f"recall@{k}": round(float(np.mean(each)), 4) for k, each in shares.items()}

    def save(self, folder: Path | str) -> None:
        """Write for each kind of key `KIND.faiss` (vectors) and `KIND.npy` (links), and manifest.json; whole or not.

        Raises:
            ArtifactError: the place cannot be written; what was there before is untouched.
        """
        with replacing(Path(folder)) as new:
            new.mkdir()
            for part in self._parts:
                part.save(new)
            write_manifest(new, self.manifest)

    @classmethod
    def load(cls, folder: Path | str, *, bank: ResponseBank, encoder: Encoder) -> Self:
        """Open what `save` wrote; the vectors stay on disk, mapped into memory.

        Raises:
            ArtifactError: there is no index, it is damaged, or it was built for another bank or encoder.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest is None or manifest.stage != "index":
            raise ArtifactError(f"no index in {folder}; run g2r index")
        here = {"bank": bank.version, "encoder": key_fingerprint(encoder)}
        for name, version in here.items():
            if manifest.inputs.get(name) != version:
                raise ArtifactError(
                    f"stale index: {folder} was built for {name} {manifest.inputs.get(name)}, "
                    f"this {name} is {version}; run g2r index again"
                )
        try:
            config = parse_config(IndexConfig, manifest.config, where=str(folder))
            parts = [
                KeySearch.load(folder, name, rows=len(bank.built), effort=config.search_effort)
                for name in manifest.counts["keys"]
            ]
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise ArtifactError(f"damaged index in {folder} ({error}); run g2r index again") from error
        return cls(parts, config, manifest)


def _probes(bank: ResponseBank) -> list[Context]:
    """Up to 200 contexts of the bank, evenly taken, the middle word left out of each turn of four or more."""
    stride = max(1, len(bank) // _PROBES)
    contexts = ((r.contexts[0].turns if r.contexts else ()) or (r.text,) for r in bank[::stride][:_PROBES])
    return [tuple(_drop_word(turn) for turn in context) for context in contexts]


def _drop_word(turn: str) -> str:
    words = turn.split()
    middle = len(words) // 2
    return " ".join(words[:middle] + words[middle + 1 :]) if len(words) >= 4 else turn


def _refuse_low(recall: dict[str, float], config: IndexConfig, queries: int) -> None:
    for name, bar in (("recall@1", config.min_recall_at_1), ("recall@10", config.min_recall_at_10)):
        if recall[name] < bar:
            raise ArtifactError(
                f"index {name} is {recall[name]:.3f} on {queries} queries, expected at least {bar}; "
                f"choose kind 'flat', raise search_effort, or lower min_{name.replace('@', '_at_')}"
            )
