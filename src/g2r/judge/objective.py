"""The loss of the judge as functions on tensors (METHOD: a judge score is 0 to 10). No model, no text.

B lists, each of at most K responses, filled up where shorter. A logit is the judge's output before the
sigmoid; 10 * sigmoid(logit) is its rating.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from g2r.judge.data import JudgedResponses

HIGHEST_SCORE = 10.0


@dataclass(frozen=True, slots=True)
class ListTensors:
    """Lists side by side.

    Attributes:
        scores: float (B, K), 0 where there is no response.
        real: where there is a response, bool (B, K).
        rated: lists whose scores are ratings 0 to 10, bool (B,); in the others 1 marks the right response.
    """

    scores: Tensor
    real: Tensor
    rated: Tensor

    @classmethod
    def of(cls, lists: "list[JudgedResponses]", device: torch.device) -> "ListTensors":
        width = max(len(item.scores) for item in lists)
        scores = torch.zeros(len(lists), width)
        real = torch.zeros(len(lists), width, dtype=torch.bool)
        for row, item in enumerate(lists):
            scores[row, : len(item.scores)] = torch.tensor(item.scores)
            real[row, : len(item.scores)] = True
        rated = torch.tensor([item.rated for item in lists])
        return cls(scores.to(device), real.to(device), rated.to(device))


def list_targets(lists: ListTensors, *, temperature: float) -> Tensor:
    """What the order should be, a distribution over each list: (B, K).

    softmax(standardised scores / temperature) of a rated list, uniform if all are equal; the right response
    alone of the others.
    """
    count = lists.real.sum(dim=1, keepdim=True)
    mean = lists.scores.sum(dim=1, keepdim=True) / count
    centred = torch.where(lists.real, lists.scores - mean, 0.0)
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    standard = torch.where(deviation > 0, centred / deviation.clamp(min=1e-6), 0.0)
    soft = (standard / temperature).masked_fill(~lists.real, -torch.inf).softmax(dim=1)
    hard = lists.scores / lists.scores.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return torch.where(lists.rated[:, None], soft, hard)


def order_loss(logits: Tensor, lists: ListTensors, *, temperature: float) -> Tensor:
    """KL(target || softmax(logits)) in nats, each list weighing the same: scalar; cross-entropy if not rated.

    Args:
        logits: float (B, K); read where `lists.real`.
    """
    targets = list_targets(lists, temperature=temperature)
    log_judge = logits.masked_fill(~lists.real, torch.finfo(logits.dtype).min).log_softmax(dim=1)
    divergence = torch.xlogy(targets, targets) - torch.where(lists.real, targets * log_judge, 0.0)
    return divergence.sum(dim=1).mean()


def rating_loss(logits: Tensor, lists: ListTensors) -> Tensor:
    """Cross-entropy of score / 10 against sigmoid(logit) less the targets' own entropy, nats: scalar.

    The mean over the responses of rated lists; 0 without any, and where every rating is met.
    """
    counted = lists.real & lists.rated[:, None]
    if not counted.any():
        return logits.new_zeros(())
    targets = (lists.scores[counted] / HIGHEST_SCORE).clamp(0.0, 1.0)
    entropy = -(torch.xlogy(targets, targets) + torch.xlogy(1 - targets, 1 - targets))
    found = functional.binary_cross_entropy_with_logits(logits[counted], targets, reduction="none")
    return (found - entropy).mean()
