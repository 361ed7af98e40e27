"""Any text classifier in the form of a transformers model."""

from collections.abc import Sequence
from typing import Any

from g2r.errors import DependencyError, InputError
from g2r.vetting.base import Flag

try:
    from transformers import pipeline
except ImportError as error:
    raise DependencyError(
        f"the classifier hf:... needs {error.name}; install it with: pip install 'g2r[train]'"
    ) from error

_HARMLESS = frozenset(
    {"neutral", "safe", "ok", "okay", "clean", "normal", "none", "non-toxic", "not toxic", "nontoxic"}
    | {"not hate", "nothate", "non-hate", "non-offensive", "not offensive", "not-offensive", "sfw", "label 0"}
)
_TOKENS = 512


class HuggingFaceClassifier:
    """Flags what a text-classification model gives one of its bad labels.

    Attributes:
        name: "hf:MODEL".
        labels: the labels that count as bad; all that do not say "harmless" where none are named.
        threshold: least probability for a flag.
    """

    def __init__(self, model: str, *, labels: Sequence[str] = (), threshold: float = 0.5) -> None:
        """Load a model of the hub or a folder.

        Raises:
            InputError: there is no such text classifier, or it has none of `labels`.
        """
        self.name = f"hf:{model}"
        self.threshold = threshold
        try:
            self._classify: Any = pipeline("text-classification", model=model, top_k=None)
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot load the classifier {model} ({' '.join(str(error).split())[:200]}); expected a "
                "text-classification model of the hub or its folder"
            ) from error
        known = list(self._classify.model.config.id2label.values())
        missing = [label for label in labels if label not in known]
        if missing:
            raise InputError(f"{model} has no label {missing[0]!r}; it has {', '.join(known)}")
        self.labels = frozenset(labels or (label for label in known if not is_harmless(label)))

    def flags(self, texts: Sequence[str]) -> list[list[Flag]]:
        found = self._classify(list(texts), batch_size=16, truncation=True, max_length=self._longest)
        return [
            [
                Flag(each["label"], round(float(each["score"]), 4), f"{self.name} says {each['label']}")
                for each in labels
                if each["label"] in self.labels and each["score"] >= self.threshold
            ]
            for labels in found
        ]

    @property
    def _longest(self) -> int:
        positions = getattr(self._classify.model.config, "max_position_embeddings", _TOKENS)
        return int(min(positions, self._classify.tokenizer.model_max_length, _TOKENS))


def is_harmless(label: str) -> bool:
    """Whether a label by its name says that there is nothing against a text."""
    return label.lower().replace("_", " ") in _HARMLESS
