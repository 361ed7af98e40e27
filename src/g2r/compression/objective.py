"""The loss of a small tower: the full one's vectors, and its order of the bank's keys."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

SAME = 0.999
"""From this cosine on a key is the context itself: it says nothing of the order of the others."""


def cosine_loss(vectors: Tensor, targets: Tensor) -> Tensor:
    """1 - cosine of unit vectors (contexts, dimensions), mean over contexts."""
    return (1 - (vectors * targets).sum(dim=1)).mean()


def bank_loss(vectors: Tensor, targets: Tensor, kinds: Sequence[Tensor], *, temperature: float) -> Tensor:
    """KL from the full tower's distribution over the bank's keys to the small one's, mean over kinds and contexts.

    Args:
        vectors: of the small tower, (contexts, dimensions), unit length.
        targets: of the full one.
        kinds: keys kind by kind, each (keys, dimensions), unit length; a key that is the context itself is
            left out.
        temperature: divides the similarities of both.
    """
    return torch.stack([_divergence(vectors, targets, keys, temperature) for keys in kinds]).mean()


def _divergence(vectors: Tensor, targets: Tensor, keys: Tensor, temperature: float) -> Tensor:
    wanted = targets @ keys.T
    least = torch.finfo(wanted.dtype).min
    same = wanted > SAME
    log_wanted = functional.log_softmax((wanted / temperature).masked_fill(same, least), dim=1)
    log_given = functional.log_softmax((vectors @ keys.T / temperature).masked_fill(same, least), dim=1)
    parts = log_wanted.exp() * (log_wanted - log_given)
    return parts.masked_fill(same, 0).sum(dim=1).mean()
