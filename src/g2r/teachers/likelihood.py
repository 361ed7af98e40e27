"""Log-likelihoods of many responses to one context for the price of one context (METHOD: Sharing).

A context is read once: by the encoder and the first step of the decoder of a seq2seq model, as a prompt by
a decoder-only one. What the model remembers of it (keys and values) is repeated for the responses, which
are read in chunks of like length. The output layer sees only the positions that predict a token of a
response, and one chunk at a time, so that logits over the vocabulary stay under a fixed size.
"""

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from g2r.errors import TeacherError

CPU_CHUNK_BYTES = 2**25
GPU_CHUNK_BYTES = 2**28
"""Most memory of one chunk's fp32 logits; larger is no faster on a CPU. One response over it is a chunk of its own."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """One response to score: row of its context, place among the context's responses, tokens."""

    row: int
    place: int
    ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Memory:
    """What a model keeps of a batch of contexts.

    Attributes:
        cache: keys and values, first dimension contexts.
        first: log-probabilities of the first token of a response, fp32 (contexts, vocabulary).
        mask: 1 at the tokens of a context, 0 at padding, (contexts, tokens).
        encoded: output of the encoder (contexts, tokens, width); None for a decoder-only model.
    """

    cache: Any
    first: Tensor
    mask: Tensor
    encoded: Tensor | None


def log_likelihoods(
    model: Any,
    contexts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[Sequence[int]]],
    *,
    start: int | None,
    pairs_at_once: int,
    chunk_bytes: int | None = None,
) -> list[list[float]]:
    """Return sum_t log P(r_t | r_<t, c) in nats for each response of each context.

    Args:
        model: a transformers seq2seq or causal model in evaluation mode.
        contexts: token ids of one batch of contexts, none of them empty.
        responses: for each context the token ids of its responses, end-of-turn token included.
        start: the token a decoder begins with; None for a decoder-only model.
        pairs_at_once: most responses read at once.
        chunk_bytes: most bytes of fp32 logits that stand in memory at once; None for the device's default.
    """
    sums = [[0.0] * len(group) for group in responses]
    pairs = [_Pair(row, place, ids) for row, group in enumerate(responses) for place, ids in enumerate(group)]
    if not pairs:
        return sums
    with torch.inference_mode():
        memory = _read_contexts(model, contexts, start)
        chunk_bytes = chunk_bytes or (CPU_CHUNK_BYTES if model.device.type == "cpu" else GPU_CHUNK_BYTES)
        most_tokens = max(1, chunk_bytes // (4 * memory.first.shape[1]))
        for chunk in _chunks(pairs, pairs_at_once, most_tokens):
            for pair, total in zip(chunk, _score_chunk(model, memory, chunk).tolist(), strict=True):
                sums[pair.row][pair.place] = total
    return sums


def _chunks(pairs: Sequence[_Pair], most_pairs: int, most_tokens: int) -> Iterator[list[_Pair]]:
    """Pairs of like length together, longest first, within both bounds (a lone pair may break the second)."""
    chunk: list[_Pair] = []
    tokens = 0
    for pair in sorted(pairs, key=lambda p: -len(p.ids)):
        if chunk and (len(chunk) == most_pairs or tokens + len(pair.ids) > most_tokens):
            yield chunk
            chunk, tokens = [], 0
        chunk.append(pair)
        tokens += len(pair.ids)
    yield chunk


def _read_contexts(model: Any, contexts: Sequence[Sequence[int]], start: int | None) -> _Memory:
    """One pass over the contexts: seq2seq ones padded on the right, prompts on the left."""
    ids, mask = pad(contexts, side="left" if start is None else "right", device=model.device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if start is None:
        inputs |= _positions(model, (mask.cumsum(1) - 1).clamp(min=0))
        keep = torch.zeros_like(mask, dtype=torch.bool)
        keep[:, -1] = True
    else:
        inputs["decoder_input_ids"] = torch.full_like(ids[:, :1], start)
        keep = torch.ones_like(ids[:, :1], dtype=torch.bool)
    logits, output = _forward(model, inputs, keep)
    if output.past_key_values is None:
        raise TeacherError(
            f"{type(model).__name__} keeps no key-value cache, expected an attention model; use another teacher"
        )
    encoded = None if start is None else output.encoder_last_hidden_state
    return _Memory(output.past_key_values, logits.log_softmax(-1), mask, encoded)


def _score_chunk(model: Any, memory: _Memory, chunk: Sequence[_Pair]) -> Tensor:
    """Log-likelihoods of the responses of a chunk, fp64 (pairs,): the first token by the memory, then the rest."""
    device = memory.first.device
    rows = torch.tensor([pair.row for pair in chunk], device=device)
    first = torch.tensor([pair.ids[0] for pair in chunk], device=device)
    sums = memory.first[rows, first].double()
    rest = [pair for pair in chunk if len(pair.ids) > 1]
    if not rest:
        return sums
    rows = rows[: len(rest)]  # the longest stand first
    ids, read = pad([pair.ids[:-1] for pair in rest], side="right", device=device)
    targets = torch.tensor([token for pair in rest for token in pair.ids[1:]], device=device)
    keep = read.bool()
    logits, _ = _forward(model, _continue(model, memory, rows, ids, read), keep)
    found = logits.gather(1, targets[:, None]).squeeze(1) - logits.logsumexp(1)
    owners = keep.nonzero()[:, 0]
    return sums.index_add(0, owners, found.double())


def _continue(model: Any, memory: _Memory, rows: Tensor, ids: Tensor, read: Tensor) -> dict[str, Any]:
    """Inputs that read responses (pairs, tokens) after the contexts they belong to."""
    mask = memory.mask[rows]
    inputs: dict[str, Any] = {"past_key_values": _repeat(memory.cache, rows)}
    if memory.encoded is not None:
        encoded = memory.encoded[rows]
        return inputs | {"decoder_input_ids": ids, "encoder_outputs": (encoded,), "attention_mask": mask}
    places = mask.sum(1, keepdim=True) + torch.arange(ids.shape[1], device=ids.device)
    return inputs | {
        "input_ids": ids,
        "attention_mask": torch.cat([mask, read], dim=1),
        **_positions(model, places),
    }


def _forward(model: Any, inputs: Mapping[str, Any], keep: Tensor) -> tuple[Tensor, Any]:
    """Run the model, with its output layer on the kept positions alone.

    The choice is made at the door of the output layer, so that whatever the model does to logits behind it
    (a bias, a scale, a cap) is done here too.

    Args:
        keep: True at the positions wanted, (rows, tokens).

    Returns:
        logits in fp32, (kept positions in row order, vocabulary), and all of the model's output.

    Raises:
        TeacherError: the model does not call its output layer on hidden states of (rows, tokens, width).
    """

    def only_kept(_: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (arguments[0][keep].unsqueeze(0), *arguments[1:])

    hook = model.get_output_embeddings().register_forward_pre_hook(only_kept)
    try:
        output = model(**inputs, use_cache=True, return_dict=True)
    finally:
        hook.remove()
    if output.logits.shape[:2] != (1, int(keep.sum())):
        raise TeacherError(
            f"{type(model).__name__} gave logits of shape {tuple(output.logits.shape)}, expected those of "
            f"{int(keep.sum())} positions: its output layer works in a way g2r does not know; use another teacher"
        )
    return output.logits[0].float(), output


def _repeat(cache: Any, rows: Tensor) -> Any:
    """A new cache with the given rows of `cache`, which stays as it is."""
    parts = [copy.copy(cache)]
    if hasattr(cache, "cross_attention_cache"):
        parts = [copy.copy(cache.self_attention_cache), copy.copy(cache.cross_attention_cache)]
    for part in parts:
        part.layers = [copy.copy(layer) for layer in part.layers]
        part.batch_select_indices(rows)
    return parts[0] if len(parts) == 1 else type(cache)(*parts)


def _positions(model: Any, places: Tensor) -> dict[str, Tensor]:
    """The position of each token as an input, for models that take it (others count by the mask)."""
    takes = "position_ids" in inspect.signature(model.forward).parameters
    return {"position_ids": places} if takes else {}


def pad(sequences: Sequence[Sequence[int]], *, side: str, device: Any) -> tuple[Tensor, Tensor]:
    """Return token ids and mask, both (sequences, longest); masked places hold token 0."""
    rows = [torch.tensor(ids, dtype=torch.long) for ids in sequences]
    ids = pad_sequence(rows, batch_first=True, padding_side=side)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side=side)
    return ids.to(device), mask.to(device)
