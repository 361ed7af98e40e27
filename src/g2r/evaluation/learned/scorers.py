"""The trained scorers: USL-H style (VUP, NUP, and a masked language model where there is one), MaUdE style.

"Style": retrained here on other data and another encoder; their values compare with no paper's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from g2r.artifacts import replacing
from g2r.dialogue import Context
from g2r.errors import ArtifactError, DependencyError
from g2r.evaluation.learned.base import LearnedScorer
from g2r.evaluation.learned.features import Features
from g2r.evaluation.learned.heads import PairHead, TextHead, TurnsHead, predict
from g2r.evaluation.metrics import Floats

try:
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file
    from torch import nn
except ImportError as error:
    raise DependencyError(f"learned scorers need {error.name}: pip install 'g2r[train]'") from error

from g2r.student import BiEncoder

RECORD_FILE = "scorers.json"
_HEADS: Mapping[str, type[nn.Module]] = {"vup": TextHead, "nup": PairHead, "maude": TurnsHead}


@dataclass(frozen=True, slots=True)
class ScorersRecord:
    """What trained scorers are (`scorers.json`).

    Attributes:
        base: the frozen encoder, as it was named.
        fingerprint: that of the encoder.
        dimensions: length of its vectors.
        accuracy: of each head on held-out dialogues, both labels weighing the same; chance is 0.5.
        counts: contexts, and rows of each head.
    """

    base: str
    fingerprint: str
    dimensions: int
    accuracy: Mapping[str, float]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class VupScorer:
    """Probability that the response is an utterance as people write it; the context is not read."""

    features: Features
    head: nn.Module
    name: str = "VUP"

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        return predict(self.head, [self.features.responses(responses)])


@dataclass(frozen=True, slots=True)
class NupScorer:
    """Probability that the response is the next utterance."""

    features: Features
    head: nn.Module
    name: str = "NUP"

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        return predict(self.head, [self.features.contexts(contexts), self.features.responses(responses)])


@dataclass(frozen=True, slots=True)
class MaudeScorer:
    """Probability that the response is the real one, turn by turn (MaUdE style)."""

    features: Features
    head: nn.Module
    name: str = "MaUdE-style"

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        return predict(self.head, [self.features.turns(contexts), self.features.responses(responses)])


@dataclass(frozen=True, slots=True)
class UslScorer:
    """.33 U + .33 S + .34 S L of USL-H's released default: understandable, sensible, specific."""

    understandable: LearnedScorer
    sensible: LearnedScorer
    specific: LearnedScorer
    name: str = "USL-H-style"

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        u, s, specific = (
            part.score(contexts, responses) for part in (self.understandable, self.sensible, self.specific)
        )
        combined: Floats = 0.33 * u + 0.33 * s + 0.34 * s * specific
        return combined


def save_scorers(folder: Path, record: ScorersRecord, heads: Mapping[str, nn.Module]) -> None:
    """Write the scorers into `folder`, whole or not at all.

    Raises:
        ArtifactError: the place cannot be written.
    """
    with replacing(folder) as new:
        new.mkdir()
        for name, head in heads.items():
            save_file(head.state_dict(), str(new / f"{name}.safetensors"))
        text = json.dumps(asdict(record), indent=2, ensure_ascii=False)
        (new / RECORD_FILE).write_text(text + "\n", encoding="utf-8")


def load_scorers(folder: Path) -> tuple[list[LearnedScorer], ScorersRecord]:
    """Open what `save_scorers` wrote: VUP, NUP, MaUdE-style.

    Raises:
        ArtifactError: the folder holds no scorers, a file of it is broken, or their encoder has changed.
        InputError: their encoder is not there.
    """
    folder = Path(folder)
    try:
        record = ScorersRecord(**json.loads((folder / RECORD_FILE).read_text(encoding="utf-8")))
        heads = {name: head(record.dimensions) for name, head in _HEADS.items()}
        for name, head in heads.items():
            head.load_state_dict(load_file(str(folder / f"{name}.safetensors")))
    except (OSError, ValueError, TypeError, SafetensorError, RuntimeError) as error:
        problem = str(error).splitlines()[0]
        raise ArtifactError(
            f"{folder} holds no trained scorers ({problem}); train them with scripts/train_scorers.py"
        ) from error
    encoder = BiEncoder.load(record.base)
    if encoder.fingerprint != record.fingerprint:
        raise ArtifactError(
            f"the scorers in {folder} were trained on another {record.base!r} than the one here; train them again"
        )
    features = Features(encoder)
    scorers: list[LearnedScorer] = [
        VupScorer(features, heads["vup"]),
        NupScorer(features, heads["nup"]),
        MaudeScorer(features, heads["maude"]),
    ]
    return scorers, record


def specificity(nll: Floats, quartiles: Sequence[float]) -> Floats:
    """Negative log-likelihoods as 0 to 1: the first quartile of real replies is .25, the third .75 (USL-H)."""
    low, high = quartiles
    scaled: Floats = np.clip(0.25 + 0.5 * (nll - low) / max(high - low, 1e-9), 0.0, 1.0)
    return scaled
