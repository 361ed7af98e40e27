"""Writing responses with transformers, the log-likelihood of what was sampled kept on the way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    ForcedBOSTokenLogitsProcessor,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from g2r.config import GenerateConfig
from g2r.errors import TeacherError
from g2r.teachers.likelihood import log_likelihoods, pad


@dataclass(frozen=True, slots=True)
class Written:
    """One response as the model wrote it.

    Attributes:
        ids: its tokens, the one at which it stopped included.
        finished: False if it was cut at the token limit.
        ll_sum: log-likelihood in nats under the untempered, untruncated distribution.
    """

    ids: tuple[int, ...]
    finished: bool
    ll_sum: float


class _SampledLogLikelihood(LogitsProcessor):  # type: ignore[misc]
    """Sums log P(token) of the tokens sampled, by logits that no other processor has touched.

    It stands first among the processors. The token drawn from one step's logits is known at the next step,
    so one step's distribution is kept, never those of the whole response.
    """

    def __init__(self, stops: Sequence[int]) -> None:
        self._stops = torch.tensor(stops)
        self._last: Tensor | None = None
        self.sums = torch.zeros(0)
        self._open = torch.zeros(0)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._last is None:
            self._stops = self._stops.to(scores.device)
            self.sums = torch.zeros(len(scores), dtype=torch.float64, device=scores.device)
            self._open = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
        else:
            self.add(input_ids[:, -1])
        self._last = scores.float().log_softmax(-1)
        if not torch.isfinite(self._last.amax(-1)).all():
            raise TeacherError(
                "the teacher gave logits that are not finite; try dtype float32, or check the model's weights"
            )
        return scores

    def add(self, tokens: Tensor) -> None:
        """Count the tokens (responses,) drawn from the last step's logits, where a response was still open."""
        assert self._last is not None
        found = self._last.gather(1, tokens[:, None]).squeeze(1).double()
        self.sums = self.sums + torch.where(self._open, found, 0.0)
        self._open = self._open & ~torch.isin(tokens, self._stops)


class _OnResponse(LogitsProcessor):  # type: ignore[misc]
    """A processor that sees the response alone, not the prompt before it."""

    def __init__(self, processor: LogitsProcessor, *, skip: int) -> None:
        self._processor = processor
        self._skip = skip

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        changed: Tensor = self._processor(input_ids[:, self._skip :], scores)
        return changed


def write_responses(
    model: Any,
    contexts: Sequence[Sequence[int]],
    settings: GenerateConfig,
    *,
    stops: Sequence[int],
    start: int | None,
    first: int | None,
    seed: int,
    pairs_at_once: int,
) -> list[list[Written]]:
    """Write `settings.responses_per_context` responses to each context of one batch.

    Beams change places from step to step, so a beam search is followed by a pass that scores what it found;
    sampling needs none. The random state of the process is left as it was.

    Args:
        contexts: token ids, none of them empty.
        stops: tokens at which a response ends.
        start: the token a decoder begins with; None for a decoder-only model.
        first: a token every response must begin with, or None.
        seed: together with the batch it fixes what is sampled.
        pairs_at_once: most responses scored at once after a beam search.

    Raises:
        TeacherError: the model's logits are not finite.
    """
    ids, mask = pad(contexts, side="left" if start is None else "right", device=model.device)
    skip = ids.shape[1] if start is None else 1
    sampled = _SampledLogLikelihood(stops) if settings.method == "sample" else None
    with _seeded(seed, model.device), torch.inference_mode():
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=_generation_config(settings, stops, start),
            logits_processor=_processors(settings, sampled, stops, first, skip, model.device),
        )
    rows = [_until_stop(row, stops) for row in output[:, skip:].tolist()]
    m = settings.responses_per_context
    groups = [rows[i : i + m] for i in range(0, len(rows), m)]
    if sampled:
        sampled.add(output[:, -1])
        flat = sampled.sums.tolist()
        sums = [flat[i : i + m] for i in range(0, len(flat), m)]
    else:
        sums = log_likelihoods(model, contexts, groups, start=start, pairs_at_once=pairs_at_once)
    return [
        [Written(ids, ids[-1] in stops, total) for ids, total in zip(group, totals, strict=True)]
        for group, totals in zip(groups, sums, strict=True)
    ]


def _until_stop(row: Sequence[int], stops: Sequence[int]) -> tuple[int, ...]:
    """The response without what stands after its first stop token."""
    end = next((place for place, token in enumerate(row) if token in stops), len(row))
    return tuple(row[: end + 1])


def _generation_config(settings: GenerateConfig, stops: Sequence[int], start: int | None) -> GenerationConfig:
    """Length, beams and special tokens; what changes the distribution is in `_processors`."""
    sampling = settings.method == "sample"
    return GenerationConfig(
        max_new_tokens=settings.max_tokens,
        do_sample=sampling,
        num_beams=1 if sampling else settings.beams,
        num_return_sequences=settings.responses_per_context,
        eos_token_id=list(stops),
        pad_token_id=stops[0],
        decoder_start_token_id=start,
        **({"top_k": 0} if sampling else {}),
    )


def _processors(
    settings: GenerateConfig,
    sampled: _SampledLogLikelihood | None,
    stops: Sequence[int],
    first: int | None,
    skip: int,
    device: Any,
) -> LogitsProcessorList:
    """Everything between raw logits and the draw, in order; transformers adds none of its own."""
    chain = LogitsProcessorList()
    if sampled:
        chain.append(sampled)
    if settings.no_repeat_ngram:
        chain.append(_OnResponse(NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram), skip=skip))
    if settings.min_tokens:
        chain.append(
            MinNewTokensLengthLogitsProcessor(skip, settings.min_tokens, list(stops), device=str(device))
        )
    if first is not None:
        chain.append(ForcedBOSTokenLogitsProcessor(first))
    if sampled and settings.temperature != 1:
        chain.append(TemperatureLogitsWarper(settings.temperature))
    if sampled and settings.top_k:
        chain.append(TopKLogitsWarper(settings.top_k))
    if sampled and settings.top_p < 1:
        chain.append(TopPLogitsWarper(settings.top_p))
    return chain


@contextmanager
def _seeded(seed: int, device: Any) -> Iterator[None]:
    """Random numbers by `seed` within, the process's own sequence untouched."""
    forked = [] if device.type == "cpu" else [device]
    kind = "cuda" if device.type == "cpu" else device.type
    with torch.random.fork_rng(devices=forked, device_type=kind):
        torch.manual_seed(seed)
        yield
