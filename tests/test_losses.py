"""The loss against plain loops over METHOD's formulas, and what must have no say in it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from g2r.errors import ConfigError, InputError
from g2r.losses import contrastive_loss, distillation_loss, g2r_loss, key_loss

B, U = 5, 9


def batch(seed, *, dtype=torch.float64, contexts=B, responses=U):
    """Similarities, masks and scores: rows with one to four candidates, some unscored, some columns idle."""
    random = np.random.default_rng(seed)
    similarities = torch.tensor(random.normal(scale=4, size=(contexts, responses)), dtype=dtype)
    positives, negatives = torch.zeros(2, contexts, responses, dtype=torch.bool)
    for row in range(contexts):
        order = random.permutation(responses - 1)
        count, against = random.integers(1, 5), random.integers(0, responses - 5)
        positives[row, order[:count]] = True
        negatives[row, order[count : count + against]] = True
    scores = torch.tensor(random.normal(loc=-2, size=(contexts, responses)), dtype=dtype)
    scored = positives & torch.tensor(random.random((contexts, responses)) < 0.8)
    return similarities, positives, negatives, scores, scored


def contrastive_by_loops(s, positives, negatives):
    losses = []
    for i in range(len(s)):
        against = sum(math.exp(s[i, n]) for n in range(s.shape[1]) if negatives[i, n])
        own = [math.exp(s[i, j]) for j in range(s.shape[1]) if positives[i, j]]
        losses.append(sum(-math.log(e / (e + against)) for e in own) / len(own))
    return losses


def distillation_by_loops(s, t, scored, negatives, teacher_temperature, student_temperature):
    losses, entropies = [], []
    for i in range(len(s)):
        own = [j for j in range(s.shape[1]) if scored[i, j]]
        if len(own) < 2:
            losses.append(0.0)
            entropies.append(math.nan)
            continue
        scores = np.array([float(t[i, j]) for j in own])
        standard = (scores - scores.mean()) / scores.std()
        q = np.exp(standard / teacher_temperature)
        q /= q.sum()
        everything = own + [n for n in range(s.shape[1]) if negatives[i, n]]
        p = {j: math.exp(s[i, j] / student_temperature) for j in everything}
        total = sum(p.values())
        losses.append(
            student_temperature**2
            * sum(q[k] * (math.log(q[k]) - math.log(p[j] / total)) for k, j in enumerate(own))
        )
        entropies.append(-sum(q * np.log(q)) / math.log(len(own)))
    return losses, entropies


@pytest.mark.parametrize("seed", range(8))
def test_contrastive_is_the_formula(seed):
    s, positives, negatives, _, _ = batch(seed)
    expected = contrastive_by_loops(s, positives, negatives)
    np.testing.assert_allclose(contrastive_loss(s, positives, negatives), expected, rtol=1e-12)


@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.5, 2.0), (3.0, 0.7)])
@pytest.mark.parametrize("seed", range(4))
def test_distillation_is_the_formula(seed, temperatures):
    s, _, negatives, t, scored = batch(seed)
    result = distillation_loss(
        s, t, scored, negatives, teacher_temperature=temperatures[0], student_temperature=temperatures[1]
    )
    losses, entropies = distillation_by_loops(s, t, scored, negatives, *temperatures)
    np.testing.assert_allclose(result.per_context, losses, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.entropy, entropies, rtol=1e-9)


def test_the_other_candidates_never_stand_in_the_denominator():
    s, positives, negatives, _, _ = batch(3)
    row = int(positives.sum(dim=1).argmax())
    first, second = torch.nonzero(positives[row]).flatten()[:2]
    alone = positives.clone()
    alone[row] = False
    alone[row, first] = True
    before = contrastive_loss(s, alone, negatives)[row]
    s[row, second] += 50
    assert contrastive_loss(s, alone, negatives)[row] == before


def test_every_context_weighs_the_same_however_many_candidates_it_has():
    s = torch.zeros(2, 6, dtype=torch.float64)
    positives = torch.tensor([[1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0]], dtype=torch.bool)
    negatives = torch.tensor([[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1]], dtype=torch.bool)
    loss = g2r_loss(s.requires_grad_(), positives=positives, negatives=negatives)
    loss.total.backward()
    assert s.grad[0].abs().sum() == pytest.approx(s.grad[1].abs().sum())
    assert loss.contrastive == pytest.approx(math.log(2))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), padding=st.integers(1, 5), value=st.floats(-1e4, 1e4))
def test_padding_gets_no_probability_and_no_gradient(seed, padding, value):
    s, positives, negatives, t, scored = batch(seed)
    arguments = {"positives": positives, "negatives": negatives, "teacher_scores": t, "scored": scored}
    plain = g2r_loss(s, **arguments, alpha=0.4).total
    padded = torch.nn.functional.pad(s, (0, padding), value=value).requires_grad_()
    wider = {
        name: torch.nn.functional.pad(mask, (0, padding), value=math.nan if name == "teacher_scores" else 0)
        for name, mask in arguments.items()
    }
    loss = g2r_loss(padded, **wider, alpha=0.4).total
    loss.backward()
    assert loss.item() == pytest.approx(plain.item(), rel=1e-12)
    idle = ~(wider["positives"] | wider["negatives"])
    assert (padded.grad[idle] == 0).all()
    assert torch.isfinite(padded.grad).all()


def test_the_order_of_the_columns_does_not_matter():
    s, positives, negatives, t, scored = batch(5)
    order = torch.randperm(U)
    one = g2r_loss(s, positives=positives, negatives=negatives, teacher_scores=t, scored=scored, alpha=0.3)
    other = g2r_loss(
        s[:, order],
        positives=positives[:, order],
        negatives=negatives[:, order],
        teacher_scores=t[:, order],
        scored=scored[:, order],
        alpha=0.3,
    )
    assert one.total.item() == pytest.approx(other.total.item(), rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_the_unit_of_the_teacher_scores_does_not_matter(seed, scale, shift):
    s, _, negatives, t, scored = batch(seed)
    one = distillation_loss(s, t, scored, negatives)
    other = distillation_loss(s, t * scale + shift, scored, negatives)
    np.testing.assert_allclose(one.per_context, other.per_context, rtol=1e-6, atol=1e-9)


def test_a_student_that_agrees_has_nothing_left_to_learn():
    t = torch.tensor([[1.0, 2.0, 4.0, 0.0]], dtype=torch.float64)
    scored = torch.tensor([[True, True, True, False]])
    standard = (t[0, :3] - t[0, :3].mean()) / t[0, :3].std(correction=0)
    s = torch.cat([standard / 0.5, torch.tensor([7.0])])[None].requires_grad_()
    result = distillation_loss(s, t, scored, torch.zeros_like(scored), teacher_temperature=0.5)
    result.per_context.sum().backward()
    assert result.per_context.item() == pytest.approx(0, abs=1e-12)
    assert s.grad.abs().max() < 1e-12


def test_equal_scores_are_a_uniform_target():
    s = torch.randn(1, 4, dtype=torch.float64)
    scored = torch.tensor([[True, True, True, False]])
    result = distillation_loss(s, torch.full((1, 4), 0.1, dtype=torch.float64), scored, ~scored)
    p = s.softmax(dim=1)[0, :3]
    assert result.uniform.tolist() == [True]
    assert result.entropy.item() == pytest.approx(1)
    assert result.per_context.item() == pytest.approx(float((1 / 3 * (1 / 3 / p).log()).sum()))


def test_a_list_of_one_scored_candidate_has_no_term_and_is_counted():
    s, positives, negatives, t, _ = batch(1)
    scored = torch.zeros_like(positives)
    scored[0, torch.nonzero(positives[0])[0]] = True
    parts = g2r_loss(
        s.requires_grad_(),
        positives=positives,
        negatives=negatives,
        teacher_scores=t,
        scored=scored,
        alpha=0.5,
    )
    assert parts.without_target == B
    assert parts.distillation == 0
    assert parts.target_entropy.isnan()
    assert parts.total.item() == pytest.approx(parts.contrastive.item())
    parts.total.backward()
    assert torch.isfinite(s.grad).all()


def test_alpha_mixes_the_two_terms():
    s, positives, negatives, t, scored = batch(2)
    masks = {"positives": positives, "negatives": negatives, "teacher_scores": t, "scored": scored}
    parts = g2r_loss(s, **masks, alpha=0.25, teacher_temperature=2)
    own = contrastive_loss(s, positives, negatives)
    term = distillation_loss(s, t, scored, negatives, teacher_temperature=2)
    assert not term.has_term.all()
    expected = torch.where(term.has_term, 0.75 * own + 0.25 * term.per_context, own)
    assert parts.total == pytest.approx(expected.mean())
    assert g2r_loss(s, **masks, alpha=0).total == pytest.approx(parts.contrastive)
    assert g2r_loss(s, positives=positives, negatives=negatives, alpha=1).total == pytest.approx(
        parts.contrastive
    )


def test_a_lower_teacher_temperature_gives_a_sharper_target():
    s, _, negatives, t, scored = batch(2)
    entropies = [
        distillation_loss(s, t, scored, negatives, teacher_temperature=T).entropy.nanmean()
        for T in (0.2, 1, 5)
    ]
    assert entropies == sorted(entropies)


def test_the_gradient_is_that_of_the_value():
    s, positives, negatives, t, scored = batch(4)

    def total(values):
        return g2r_loss(
            values,
            positives=positives,
            negatives=negatives,
            teacher_scores=t,
            scored=scored,
            alpha=0.5,
            teacher_temperature=0.7,
            student_temperature=1.6,
        ).total

    assert torch.autograd.gradcheck(total, s.requires_grad_())


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused(wrong):
    s, _, negatives, t, scored = batch(0)
    row, column = torch.nonzero(scored)[0].tolist()
    t[row, column] = wrong
    with pytest.raises(InputError, match=f"context {row}, response {column}"):
        distillation_loss(s, t, scored, negatives)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan])
def test_temperatures_must_be_over_zero(wrong):
    s, _, negatives, t, scored = batch(0)
    with pytest.raises(ConfigError, match="teacher temperature"):
        distillation_loss(s, t, scored, negatives, teacher_temperature=wrong)
    with pytest.raises(ConfigError, match="student temperature"):
        distillation_loss(s, t, scored, negatives, student_temperature=wrong)


def test_masks_that_would_train_silently_wrong_are_refused():
    s, positives, negatives, t, scored = batch(0)
    with pytest.raises(InputError, match="both candidate and negative"):
        contrastive_loss(s, positives, positives)
    with pytest.raises(InputError, match=r"contexts \[0, 1, 2, 3, 4\].*no candidate"):
        contrastive_loss(s, torch.zeros_like(positives), negatives)
    with pytest.raises(InputError, match="expected bool"):
        contrastive_loss(s, positives[:, :-1], negatives)
    with pytest.raises(InputError, match="expected bool"):
        contrastive_loss(s, positives.long(), negatives)
    with pytest.raises(InputError, match="teacher scores have shape"):
        distillation_loss(s, t[:, :-1], scored, negatives)
    with pytest.raises(InputError, match="expected \\(contexts, responses\\)"):
        contrastive_loss(s[0], positives, negatives)


def test_the_key_term_is_the_contrastive_one_and_nothing_for_a_context_without_a_key():
    s, positives, negatives, _, _ = batch(5)
    positives[2] = False
    losses = key_loss(s.requires_grad_(), positives, negatives)
    rest = [i for i in range(B) if i != 2]
    expected = contrastive_by_loops(s.detach()[rest], positives[rest], negatives[rest])
    np.testing.assert_allclose(losses[rest].detach(), expected, rtol=1e-12)
    losses.sum().backward()
    assert losses[2] == 0
    assert (s.grad[2] == 0).all()
    assert (key_loss(s, torch.zeros_like(positives), negatives) == 0).all()
