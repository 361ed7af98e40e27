"""The judge's loss against numpy, and what must get no gradient."""

import math

import numpy as np
import pytest
import torch

from g2r.judge.data import JudgedResponses
from g2r.judge.objective import ListTensors, list_targets, order_loss, rating_loss

CPU = torch.device("cpu")
LISTS = [
    JudgedResponses(("c",), ("a", "b", "d"), (2.0, 8.0, 5.0), rated=True),
    JudgedResponses(("c",), ("a", "b"), (1.0, 0.0), rated=False),
    JudgedResponses(("c",), ("a", "b"), (4.0, 4.0), rated=True),
]
LOGITS = torch.tensor([[0.3, -1.0, 2.0], [0.5, 0.1, 9.0], [1.0, -1.0, 7.0]])


def softmax(values):
    weights = np.exp(np.asarray(values) - np.max(values))
    return weights / weights.sum()


def test_targets_are_standardised_or_the_right_response_or_uniform():
    targets = list_targets(ListTensors.of(LISTS, CPU), temperature=0.5).numpy()
    scores = np.array([2.0, 8.0, 5.0])
    np.testing.assert_allclose(targets[0], softmax((scores - 5) / scores.std() / 0.5), rtol=1e-5)
    np.testing.assert_allclose(targets[1:], [[1, 0, 0], [0.5, 0.5, 0]], atol=1e-7)


def test_the_order_loss_is_the_mean_divergence_of_the_lists():
    scores = np.array([2.0, 8.0, 5.0])
    q = softmax((scores - 5) / scores.std())
    p = softmax(LOGITS[0].numpy())
    divergences = [
        (q * (np.log(q) - np.log(p))).sum(),
        -math.log(softmax([0.5, 0.1])[0]),
        sum(0.5 * (math.log(0.5) - math.log(p)) for p in softmax([1.0, -1.0])),
    ]
    found = order_loss(LOGITS, ListTensors.of(LISTS, CPU), temperature=1.0)
    assert found.item() == pytest.approx(np.mean(divergences), rel=1e-5)


def test_the_rating_loss_counts_rated_responses_and_is_zero_where_met():
    lists = ListTensors.of(LISTS, CPU)
    shares = np.array([0.2, 0.8, 0.5, 0.4, 0.4])
    logits = np.array([0.3, -1.0, 2.0, 1.0, -1.0])
    judged = 1 / (1 + np.exp(-logits))
    divergence = shares * np.log(shares / judged) + (1 - shares) * np.log((1 - shares) / (1 - judged))
    assert rating_loss(LOGITS, lists).item() == pytest.approx(divergence.mean(), rel=1e-5)
    met = torch.logit(torch.tensor([[0.2, 0.8, 0.5], [0.9, 0.9, 0.9], [0.4, 0.4, 0.9]]))
    assert rating_loss(met, lists).item() == pytest.approx(0, abs=1e-6)
    assert rating_loss(LOGITS[1:2], ListTensors.of(LISTS[1:2], CPU)).item() == 0


def test_ratings_of_nought_and_ten_give_finite_losses():
    lists = ListTensors.of([JudgedResponses(("c",), ("a", "b"), (0.0, 10.0), rated=True)], CPU)
    assert rating_loss(torch.tensor([[0.0, 0.0]]), lists).item() == pytest.approx(math.log(2), rel=1e-5)


def test_filling_gets_no_gradient_and_every_real_response_does():
    logits = LOGITS.clone().requires_grad_()
    lists = ListTensors.of(LISTS, CPU)
    loss = order_loss(logits, lists, temperature=1.0) + rating_loss(logits, lists)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[~lists.real] == 0).all()
    assert (gradient[lists.real] != 0).all()
    assert torch.isfinite(gradient).all()
