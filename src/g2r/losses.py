"""The G2R loss as functions on tensors (METHOD: The loss). No model, no file, no text.

Names of shapes: B contexts; U different responses, each encoded once. Row i of a mask says what each of
the U responses is to context i: one of its candidates (P_i), a negative (N_i), or neither (a false
negative, padding). Similarities s_ij are cosines over a temperature, without unit.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from g2r.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True)
class Distillation:
    """The distillation term and what its targets look like.

    Attributes:
        per_context: KL(q_i || p_i) in nats times T_student squared, 0 where there is no term: (B,).
        has_term: contexts with two scored candidates or more, the others have no term: bool (B,).
        uniform: contexts with a term whose scores are all equal, their target is uniform: bool (B,).
        entropy: of each target over that of the uniform one, from 0 (one-hot) to 1; NaN without a term: (B,).
    """

    per_context: Tensor
    has_term: Tensor
    uniform: Tensor
    entropy: Tensor


@dataclass(frozen=True, slots=True)
class LossParts:
    """The loss of a batch, each part a scalar tensor; only `total` carries a gradient.

    Attributes:
        total: mean over the contexts of (1 - alpha) contrastive + alpha distillation; of the contrastive term
            alone where a context has no distillation term. Plus the weighted key term, if there is one.
        contrastive: mean over the contexts, nats.
        distillation: mean over the contexts, those without a term counting as 0.
        target_entropy: mean over the contexts with a term, 1 for uniform targets; NaN if there are none.
        without_target: contexts with fewer than two scored candidates.
        uniform_targets: contexts whose scores are all equal.
        candidates: mean number of candidates of a context.
        negatives: mean number of negatives of a context.
        keys: the key term, mean over the contexts, those without a key counting as 0; None if not asked for.
    """

    total: Tensor
    contrastive: Tensor
    distillation: Tensor
    target_entropy: Tensor
    without_target: Tensor
    uniform_targets: Tensor
    candidates: Tensor
    negatives: Tensor
    keys: Tensor | None = None


def contrastive_loss(similarities: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Each candidate against the negatives of its context, never against the other candidates.

    For j in P_i: -log(exp s_ij / (exp s_ij + sum_{n in N_i} exp s_in)), averaged over P_i.

    Args:
        similarities: s_ij, float (B, U).
        positives: P_i, bool (B, U), at least one in each row.
        negatives: N_i, bool (B, U), disjoint from `positives`; may be empty: the loss is 0 there.

    Returns:
        The loss of each context in nats: (B,). Their plain mean weighs all contexts the same.

    Raises:
        InputError: shapes or types do not fit, a row has no candidate, or a response is on both sides.
    """
    _check_masks(similarities, positives=positives, negatives=negatives)
    if not positives.any(dim=1).all():
        rows = torch.nonzero(~positives.any(dim=1)).flatten().tolist()
        raise InputError(f"contexts {rows} of the batch have no candidate; every context needs at least one")
    lowest = torch.finfo(similarities.dtype).min
    against = similarities.masked_fill(~negatives, lowest).logsumexp(dim=1, keepdim=True)
    losses = functional.softplus(against - similarities)
    return torch.where(positives, losses, 0.0).sum(dim=1) / positives.sum(dim=1)


def distillation_loss(
    similarities: Tensor,
    teacher_scores: Tensor,
    scored: Tensor,
    negatives: Tensor,
    *,
    teacher_temperature: float = 1.0,
    student_temperature: float = 1.0,
) -> Distillation:
    """KL from the teacher's distribution over the scored candidates to the student's.

    q_i = softmax(standardised t_i / T_teacher) over the scored candidates, p_i = softmax(s_i / T_student)
    over them and the negatives. Scores are standardised in each list (mean 0, deviation 1), so that the
    unit and scale of the teacher do not matter; if all are equal, the target is uniform.

    Args:
        similarities: s_ij, float (B, U).
        teacher_scores: t_ij, float (B, U); read where `scored` alone.
        scored: candidates that have a teacher score, bool (B, U).
        negatives: N_i, bool (B, U), disjoint from `scored`.
        teacher_temperature: T_teacher.
        student_temperature: T_student, on top of the temperature that is already in `similarities`.

    Raises:
        ConfigError: a temperature is not over 0.
        InputError: shapes or types do not fit, or a score is NaN or infinite.
    """
    for name, value in (("teacher", teacher_temperature), ("student", student_temperature)):
        if not value > 0:
            raise ConfigError(f"the {name} temperature is {value}, expected a number over 0")
    _check_masks(similarities, scored=scored, negatives=negatives)
    if teacher_scores.shape != similarities.shape:
        raise InputError(
            f"teacher scores have shape {tuple(teacher_scores.shape)}, expected {tuple(similarities.shape)}"
        )
    targets, uniform = _target_distribution(teacher_scores, scored, teacher_temperature)
    lowest = torch.finfo(similarities.dtype).min
    log_student = torch.log_softmax(
        (similarities / student_temperature).masked_fill(~(scored | negatives), lowest), dim=1
    )
    has_term = scored.sum(dim=1) >= 2
    negative_entropy = torch.xlogy(targets, targets).sum(dim=1)
    cross_entropy = -torch.where(scored, targets * log_student, 0.0).sum(dim=1)
    divergence = torch.where(has_term, negative_entropy + cross_entropy, 0.0)
    relative = -negative_entropy / scored.sum(dim=1).clamp(min=2).to(targets.dtype).log()
    return Distillation(
        per_context=divergence * student_temperature**2,
        has_term=has_term,
        uniform=has_term & uniform,
        entropy=relative.masked_fill(~has_term, torch.nan),
    )


def _target_distribution(scores: Tensor, scored: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """q (B, U), 0 where there is no score; and which rows have equal scores throughout (B,)."""
    if not torch.isfinite(scores[scored]).all():
        row, column = torch.nonzero(scored & ~torch.isfinite(scores))[0].tolist()
        raise InputError(
            f"the teacher score of context {row}, response {column} of the batch is "
            f"{scores[row, column].item()}; expected a finite number: score the candidates again"
        )
    scores = torch.where(scored, scores, 0.0)
    count = scored.sum(dim=1, keepdim=True).clamp(min=1)
    centred = torch.where(scored, scores - scores.sum(dim=1, keepdim=True) / count, 0.0)
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    highest = scores.masked_fill(~scored, -torch.inf).amax(dim=1, keepdim=True)
    lowest = scores.masked_fill(~scored, torch.inf).amin(dim=1, keepdim=True)
    uniform = highest <= lowest
    standard = torch.where(uniform, 0.0, centred / deviation)
    logits = (standard / temperature).masked_fill(~scored, torch.finfo(scores.dtype).min)
    return torch.where(scored, logits.softmax(dim=1), 0.0), uniform.squeeze(1)


def g2r_loss(
    similarities: Tensor,
    *,
    positives: Tensor,
    negatives: Tensor,
    teacher_scores: Tensor | None = None,
    scored: Tensor | None = None,
    alpha: float = 0.0,
    teacher_temperature: float = 1.0,
    student_temperature: float = 1.0,
) -> LossParts:
    """The loss of a batch: (1 - alpha) contrastive + alpha distillation, every context weighing the same.

    A context without a distillation term keeps its whole contrastive term, or alpha would take away from
    what the contexts without scores teach. Without teacher scores, or with alpha 0, all have that term alone
    (D-G2R). Arguments as in `contrastive_loss` and `distillation_loss`; raises what they raise.
    """
    contrastive = contrastive_loss(similarities, positives, negatives)
    zero = torch.zeros_like(contrastive[0])
    total, divergence, entropy, without, uniform = contrastive.mean(), zero, zero + torch.nan, zero, zero
    if teacher_scores is not None and scored is not None and alpha > 0:
        term = distillation_loss(
            similarities,
            teacher_scores,
            scored,
            negatives,
            teacher_temperature=teacher_temperature,
            student_temperature=student_temperature,
        )
        divergence, entropy = term.per_context.mean(), term.entropy.nanmean()
        without, uniform = (~term.has_term).sum(), term.uniform.sum()
        total = ((1 - alpha * term.has_term) * contrastive + alpha * term.per_context).mean()
    return LossParts(
        total=total,
        contrastive=contrastive.mean().detach(),
        distillation=divergence.detach(),
        target_entropy=entropy.detach(),
        without_target=without,
        uniform_targets=uniform,
        candidates=positives.sum(dim=1).float().mean(),
        negatives=negatives.sum(dim=1).float().mean(),
    )


def key_loss(similarities: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """`contrastive_loss` of contexts against context keys, 0 for a context without a key.

    At run time a response is found by f(c).f(c_k), c_k a context that it was written for: contexts that
    share a response are drawn together, the others pushed apart (beyond the paper).

    Args:
        similarities: f(c_i).f(c_k) over the temperature, float (B, K).
        positives: keys that share a response with context i, bool (B, K).
        negatives: keys that share none, bool (B, K).

    Returns:
        The loss of each context in nats: (B,).

    Raises:
        InputError: as `contrastive_loss`.
    """
    losses = similarities.new_zeros(len(similarities))
    has_key = positives.any(dim=1)
    if not has_key.any():
        return losses
    own = contrastive_loss(similarities[has_key], positives[has_key], negatives[has_key])
    return losses.index_put((has_key,), own)


def _check_masks(similarities: Tensor, **masks: Tensor) -> None:
    if similarities.ndim != 2:
        raise InputError(
            f"similarities have shape {tuple(similarities.shape)}, expected (contexts, responses)"
        )
    for name, mask in masks.items():
        if mask.shape != similarities.shape or mask.dtype != torch.bool:
            raise InputError(
                f"{name} is {mask.dtype} {tuple(mask.shape)}, expected bool {tuple(similarities.shape)}"
            )
    first, second = masks.values()
    if (first & second).any():
        row, column = torch.nonzero(first & second)[0].tolist()
        raise InputError(
            f"response {column} is both candidate and negative of context {row}: it would be pushed both ways"
        )
