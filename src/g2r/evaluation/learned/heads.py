"""Small networks on frozen vectors, and how they are fitted."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from g2r.encoder import Vectors
from g2r.errors import DependencyError, InputError
from g2r.evaluation.metrics import Floats

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise DependencyError(f"learned scorers need {error.name}: pip install 'g2r[train]'") from error

_HIDDEN = 128
_BATCH = 64


class TextHead(nn.Module):
    """Is this a real utterance? A hidden layer on its vector: (texts, dimensions) to logits (texts,)."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.layers = _layers(dimensions)

    def forward(self, texts: Tensor) -> Tensor:
        logits: Tensor = self.layers(texts).squeeze(-1)
        return logits


class PairHead(nn.Module):
    """Does r follow c? A hidden layer on [c; r; |c - r|; c * r]: two (pairs, dimensions) to logits (pairs,)."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.layers = _layers(4 * dimensions)

    def forward(self, contexts: Tensor, responses: Tensor) -> Tensor:
        logits: Tensor = self.layers(_joined(contexts, responses)).squeeze(-1)
        return logits


class TurnsHead(nn.Module):
    """MaUdE's form: an LSTM over the vectors of the turns gives h, then `PairHead` on h and r.

    Turns are (pairs, turns, dimensions), oldest first, zeros before the first turn of a shorter context.
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dimensions, dimensions, batch_first=True)
        self.pair = PairHead(dimensions)

    def forward(self, turns: Tensor, responses: Tensor) -> Tensor:
        _, (states, _) = self.lstm(turns)
        logits: Tensor = self.pair(states[-1], responses)
        return logits


Head = TextHead | PairHead | TurnsHead
HeadT = TypeVar("HeadT", TextHead, PairHead, TurnsHead)


def new_head(kind: type[HeadT], dimensions: int, *, seed: int) -> HeadT:
    """An untrained head, its weights drawn by seed."""
    torch.manual_seed(seed)
    return kind(dimensions)


def _layers(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(0.1), nn.Linear(width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))


def _joined(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b, (a - b).abs(), a * b], dim=-1)


def fit(
    head: nn.Module,
    features: Sequence[Vectors],
    labels: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    *,
    epochs: int,
    seed: int,
) -> float:
    """Train a head by binary cross-entropy, both labels weighing the same; keep its best epoch.

    Args:
        features: what `forward` takes, each (rows, ...).
        labels: which rows are good, (rows,).
        held_out: rows that choose the epoch, (rows,).

    Returns:
        Accuracy on the held-out rows, both labels weighing the same; chance is 0.5.

    Raises:
        InputError: one of the labels is missing among the rows that train, or among those held out.
    """
    for rows, use in ((~held_out, "to train on"), (held_out, "held out")):
        good, bad = int(labels[rows].sum()), int((~labels[rows]).sum())
        if not (good and bad):
            raise InputError(
                f"{good} good and {bad} bad rows {use}, expected some of each: a scorer learns to tell them "
                "apart; give more dialogues"
            )
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    inputs = [torch.from_numpy(np.ascontiguousarray(f, dtype=np.float32)) for f in features]
    targets = torch.from_numpy(labels.astype(np.float32))
    train, valid = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    share = float(labels[train].mean())
    weights = torch.where(targets > 0, 0.5 / share, 0.5 / (1 - share))
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-2)
    best, kept = -1.0, head.state_dict()
    for _ in range(epochs):
        head.train()
        order = generator.permutation(train)
        for rows in np.array_split(order, max(1, len(order) // _BATCH)):
            optimiser.zero_grad()
            logits = head(*(column[rows] for column in inputs))
            loss = functional.binary_cross_entropy_with_logits(logits, targets[rows], weights[rows])
            torch.autograd.backward(loss)
            optimiser.step()
        guesses = predict(head, [column[valid].numpy() for column in inputs]) > 0.5
        accuracy = float(np.mean([(guesses[labels[valid] == kind] == kind).mean() for kind in (True, False)]))
        if accuracy > best:
            best, kept = accuracy, {name: value.clone() for name, value in head.state_dict().items()}
    head.load_state_dict(kept)
    head.eval()
    return best


def predict(head: nn.Module, features: Sequence[Vectors]) -> Floats:
    """Probability of being good: float (rows,)."""
    if not len(features[0]):
        return np.zeros(0)
    head.eval()
    with torch.inference_mode():
        inputs = [torch.from_numpy(np.ascontiguousarray(f, dtype=np.float32)) for f in features]
        probabilities: Floats = torch.sigmoid(head(*inputs)).double().numpy()
    return probabilities
