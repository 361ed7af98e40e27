"""The ranker at run time: a small network in numpy."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import replacing
from g2r.encoder import Vectors
from g2r.errors import ArtifactError
from g2r.ranker.features import NAMES, NEEDED, READ, VIEWS, Seen, see
from g2r.records import read_record
from g2r.second_stage import Asked

RECORD_FILE, WEIGHTS_FILE = "ranker.json", "weights.npz"
_KIND = "ranker"
_WIDEST = 5.0
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class RankerRecord:
    """What a ranker is.

    Attributes:
        encoder: fingerprint of the student whose vectors it reads.
        fingerprint: of its weights.
        measured: what was measured when it was trained.
    """

    encoder: str
    fingerprint: str
    measured: dict[str, float] = field(default_factory=dict)


class Ranker:
    """Rates candidates from vectors that the student and its index hold anyway.

    With x the standardised features, r = g(r) W and c_v = f(v(c)) W_v + b_v for the views read,

        rating = 10 sigmoid(w . relu(V relu(U [x, r, c_v, c_v * r] + b) + b') + b'')

    Attributes:
        folder: where it stands.
        record: what it is.
        weights: of the formula above.
    """

    def __init__(self, folder: Path, record: RankerRecord, weights: Weights) -> None:
        self.folder = folder
        self.record = record
        self.weights = weights

    @property
    def fingerprint(self) -> str:
        return self.record.fingerprint

    @property
    def views(self) -> tuple[str, ...]:
        return VIEWS

    def check(self, encoder: str, kinds: Collection[str]) -> None:
        """Refuse another student than that whose vectors it was trained on, or an index that lacks keys it reads.

        Raises:
            ArtifactError: it is another student, or such an index.
        """
        if missing := NEEDED - set(kinds):
            raise ArtifactError(
                f"the ranker {self.folder} reads keys of kind {', '.join(sorted(NEEDED))}, the index has none of "
                f"{', '.join(sorted(missing))}; run g2r index with response_key and context_key over 0, or set "
                "rerank to 0"
            )
        if encoder != self.record.encoder:
            raise ArtifactError(
                f"stale ranker: {self.folder} was trained for student {self.record.encoder}, this one is "
                f"{encoder}; run g2r ranker train again"
            )

    def rate(self, asked: Asked) -> Vectors:
        """Rate each candidate: float32 (candidates,), 0 to 10."""
        if not asked.responses:
            return np.zeros(0, dtype=np.float32)
        return self.ratings(see(asked))

    def ratings(self, seen: Seen) -> Vectors:
        """The formula above: float32 (candidates,)."""
        w = self.weights
        x = np.clip((seen.features - w["mean"]) / w["scale"], -_WIDEST, _WIDEST)
        r = seen.responses @ w["response"]
        parts = [x, r]
        for view, weight, bias in zip(seen.views, w["views"], w["views_bias"], strict=True):
            c = view @ weight + bias
            parts += [np.broadcast_to(c, r.shape), c * r]
        hidden = np.maximum(np.concatenate(parts, axis=1) @ w["hidden"] + w["hidden_bias"], 0)
        hidden = np.maximum(hidden @ w["second"] + w["second_bias"], 0)
        logits = hidden @ w["last"] + w["last_bias"]
        return np.asarray(10 / (1 + np.exp(-logits)), dtype=np.float32)

    @classmethod
    def load(cls, folder: Path) -> "Ranker":
        """Open what `write` wrote.

        Raises:
            ArtifactError: there is none, or it is damaged.
        """
        folder = Path(folder)
        record = read_record(
            folder / RECORD_FILE,
            _KIND,
            lambda values: RankerRecord(**values),
            what="ranker",
            made_by="g2r ranker train",
        )
        try:
            with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as file:
                weights = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise ArtifactError(
                f"damaged ranker in {folder} ({error}); run g2r ranker train again"
            ) from error
        if fingerprint_of(weights) != record.fingerprint:
            raise ArtifactError(f"damaged ranker in {folder} (other weights); run g2r ranker train again")
        return cls(folder, record, weights)

    def write(self, folder: Path) -> None:
        """Write the record and the weights, whole or not at all.

        Raises:
            ArtifactError: the folder cannot be written.
        """
        with replacing(Path(folder)) as new:
            new.mkdir()
            np.savez(new / WEIGHTS_FILE, **self.weights)  # type: ignore[arg-type]
            text = json.dumps({"kind": _KIND, **asdict(self.record)}, indent=2)
            (new / RECORD_FILE).write_text(text + "\n", encoding="utf-8")


def fingerprint_of(weights: Weights) -> str:
    """Names the weights, and the features that they are for."""
    digest = hashlib.sha256(repr((NAMES, READ)).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()[:16]
