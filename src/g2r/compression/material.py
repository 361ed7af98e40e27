"""What a small tower learns from: contexts with the full tower's vectors, and the keys of the bank."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g2r.config import IndexConfig
from g2r.dialogue import Context, Example
from g2r.encoder import Encoder, Vectors, key_fingerprint
from g2r.errors import ArtifactError, InputError
from g2r.index.base import encode_views, view_of
from g2r.index.keys import RESPONSE_KEY, Keys, key_names
from g2r.index.stored import StoredKeys
from g2r.progress import Progress, silent

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Material:
    """Contexts to learn from, and what is measured on contexts kept from training.

    Attributes:
        contexts: what the views of training contexts and of the bank's contexts see, each once.
        vectors: the full tower's, (contexts, dimensions).
        keys: of the bank, kind by kind.
        config: of its index: the weights of the score.
        held_out: contexts on which the towers are compared.
        queries: the full tower's vectors of their views, one a kind of key, (held out, kinds, dimensions).
    """

    contexts: tuple[Context, ...]
    vectors: Vectors
    keys: tuple[Keys, ...]
    config: IndexConfig
    held_out: tuple[Context, ...]
    queries: Vectors

    @property
    def views(self) -> tuple[str, ...]:
        """The view that is compared with each kind of key."""
        return tuple(kind.view for kind in self.keys)


def gather(
    examples: Sequence[Example],
    bank: Path,
    full: Encoder,
    *,
    most_held_out: int = 300,
    progress: Progress = silent,
) -> Material:
    """Encode once, by the full student, what its context tower is compressed on.

    Args:
        examples: those of the split "train" are learned from, those of "valid" compared on.
        bank: folder of a bank whose index the full student made; its keys are taken as they are.
        full: the student, best as `OnnxEncoder`.
        most_held_out: contexts compared on, evenly thinned out.

    Raises:
        InputError: there is no bank, or no context to learn from or to compare on.
        ArtifactError: the bank has no index, or another student made it.
    """
    stored = StoredKeys.read(bank)
    made_by = stored.manifest.inputs.get("encoder")
    if made_by != key_fingerprint(full):
        raise ArtifactError(
            f"the index of {bank} was made by student {made_by}, this one is {key_fingerprint(full)}; "
            "give the bank that the full student indexed"
        )
    views = tuple(
        dict.fromkeys(["all", *(name for name in key_names(stored.config) if name != RESPONSE_KEY)])
    )
    learned = [example.context for example in examples if example.split == "train"]
    learned += [context.turns for response in stored.bank.built for context in response.contexts]
    contexts = tuple(dict.fromkeys(view_of(turns, view) for turns in learned for view in views if turns))
    valid = list(dict.fromkeys(example.context for example in examples if example.split == "valid"))
    held_out = tuple(valid[:: max(1, -(-len(valid) // most_held_out))])
    if not contexts or not held_out:
        raise InputError(
            f"{len(contexts)} contexts to learn from and {len(held_out)} held out; expected examples of the "
            'splits "train" and "valid"'
        )
    parts = []
    for start in range(0, len(contexts), _AT_ONCE):
        parts.append(full.encode_contexts(contexts[start : start + _AT_ONCE]))
        progress(min(start + _AT_ONCE, len(contexts)), len(contexts), note="contexts")
    queries = encode_views(full, held_out, [kind.view for kind in stored.keys])
    return Material(contexts, np.concatenate(parts), stored.keys, stored.config, held_out, queries)
