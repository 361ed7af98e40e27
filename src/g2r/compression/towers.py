"""The small context tower, as it begins, in the student's folder beside the full towers."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Normalize,
    Router,
    StaticEmbedding,
)
from torch import nn

from g2r.config import CompressConfig
from g2r.encoder import Vectors
from g2r.errors import ConfigError
from g2r.student import CONTEXT_TASK, KEY_TASK, RESPONSE_TASK, BiEncoder, quiet

_FREQUENT = 1e-3
"""A token of this share of all tokens begins with half the weight of a rare one (smooth inverse frequency)."""
_TOKENS_AT_ONCE = 256


def with_small_tower(full: BiEncoder, config: CompressConfig, texts: Sequence[str]) -> BiEncoder:
    """A student whose queries go through a small tower, and its responses and keys as `config` says.

    Args:
        full: the student that is compressed; its weights are shared with the result.
        config: what the tower is made of.
        texts: context texts; a static tower's weights begin by how frequent their tokens are.

    Raises:
        ConfigError: the full tower has fewer layers, or is compressed already.
    """
    if full.full is not full:
        raise ConfigError("this student is compressed already; compress the full one")
    contexts, responses = _full_towers(full)
    small = layered_tower(contexts, config) if config.layers else [static_tower(full, texts)]
    routes = {CONTEXT_TASK: small, RESPONSE_TASK: responses}
    if config.context_keys == "full":
        routes[KEY_TASK] = contexts
    router = Router(routes, default_route=RESPONSE_TASK)
    with quiet():
        model = SentenceTransformer(modules=[router, Normalize()], device=str(full.model.device))
    return BiEncoder(model, full.form)


def _full_towers(full: BiEncoder) -> tuple[list[nn.Module], list[nn.Module]]:
    """The modules of f and of g, the same ones if shared, normalisation left out."""
    first = full.model[0]
    if isinstance(first, Router):
        return list(first.sub_modules[CONTEXT_TASK]), list(first.sub_modules[RESPONSE_TASK])
    shared = [module for module in full.model if not isinstance(module, Normalize)]
    return shared, shared


def layered_tower(modules: Sequence[nn.Module], config: CompressConfig) -> list[nn.Module]:
    """A copy of a tower that keeps its embeddings and some of its layers.

    Raises:
        ConfigError: it has fewer layers, or none that can be counted.
    """
    small = [copy.deepcopy(module) for module in modules]
    network: Any = small[0].model
    stacks = [
        (parent, name, stack)
        for parent in network.modules()
        for name, stack in parent.named_children()
        if isinstance(stack, nn.ModuleList) and len(stack) == network.config.num_hidden_layers
    ]
    if not stacks or config.layers > len(stacks[0][2]):
        layers = len(stacks[0][2]) if stacks else "no known"
        raise ConfigError(f"layers is {config.layers}, but the full tower has {layers} layers; ask for fewer")
    parent, name, stack = stacks[0]
    kept = kept_layers(len(stack), config.layers, spread=config.keep == "spread")
    setattr(parent, name, nn.ModuleList(stack[i] for i in kept))
    network.config.num_hidden_layers = config.layers
    return small


def kept_layers(layers: int, kept: int, *, spread: bool) -> list[int]:
    """Which of `layers` a tower of `kept` begins with, ascending: spread from the first to the last, or the first."""
    if not spread or kept == 1:
        return list(range(kept))
    return [round(i * (layers - 1) / (kept - 1)) for i in range(kept)]


def static_tower(full: BiEncoder, texts: Sequence[str]) -> StaticEmbedding:
    """A vector a token: the full tower's of the token alone, the less the more frequent it is in `texts`."""
    tokenizer: Any = _full_towers(full)[0][0].tokenizer
    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    counts = np.bincount(np.concatenate([np.array(own, np.int64) for own in ids]), minlength=len(tokenizer))
    shares = counts / max(1, counts.sum())
    weights = _FREQUENT / (_FREQUENT + shares)
    vectors = _token_vectors(full, tokenizer) * weights[:, None]
    return StaticEmbedding(
        copy.deepcopy(tokenizer.backend_tokenizer), embedding_weights=vectors.astype(np.float32)
    )


def _token_vectors(full: BiEncoder, tokenizer: Any) -> Vectors:
    """f of each token of the vocabulary by itself, between the special tokens: (tokens, dimensions)."""
    around = tokenizer("a", return_special_tokens_mask=True)
    own = [i for i, special in enumerate(around["special_tokens_mask"]) if not special]
    before, after = around["input_ids"][: own[0]], around["input_ids"][own[-1] + 1 :]
    model = full.model.eval()
    parts = []
    for start in range(0, len(tokenizer), _TOKENS_AT_ONCE):
        rows = [[*before, i, *after] for i in range(start, min(start + _TOKENS_AT_ONCE, len(tokenizer)))]
        ids = torch.tensor(rows, device=model.device)
        features = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "task": CONTEXT_TASK}
        with torch.no_grad():
            parts.append(model(features)["sentence_embedding"].float().cpu().numpy())
    return np.concatenate(parts)


def trained_parameters(student: BiEncoder) -> list[nn.Parameter]:
    """Those of the small tower that learn, all others frozen.

    Most weights of a small tower stand in its token embeddings, and each step would cost as much for tokens
    that it never saw as for those that it did. So a static tower has sparse gradients, and under layers the
    embeddings stay as they are.
    """
    student.model.requires_grad_(False)
    tower = student.model[0].sub_modules[CONTEXT_TASK]
    tower.requires_grad_(True)
    if isinstance(tower[0], StaticEmbedding):
        tower[0].embedding.sparse = True
    else:
        for name, parameter in tower.named_parameters():
            if ".embeddings." in name or ".pooler." in name:
                parameter.requires_grad_(False)
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]
