"""The paper's generative rivals: BlenderBot's architectures with random weights, on which speed does not depend.

Sizes are those of Roller et al., "Recipes for building an open-domain chatbot" (2021), and of the released
configurations (blenderbot_small-90M, blenderbot-400M-distill, blenderbot-3B); the paper counts 87,508,992,
2,696,268,800 and 9,431,810,048 parameters, the distilled model has 365M.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from g2r.dialogue import Context
from g2r.encoder import OnnxEncoder
from g2r.errors import ConfigError, DependencyError
from g2r.evaluation.metrics import NotComputed
from g2r.latency.rounds import TOTAL
from g2r.latency.systems import milliseconds_since
from g2r.student import CONTEXT_TASK, BiEncoder

try:
    import torch
    from transformers import (
        BlenderbotConfig,
        BlenderbotForConditionalGeneration,
        BlenderbotSmallConfig,
        BlenderbotSmallForConditionalGeneration,
        GenerationConfig,
    )
except ImportError as error:
    raise DependencyError(f"generative rivals need {error.name}: pip install 'g2r[train]'") from error

_PAD, _START, _END = 0, 1, 2
_FIRST_TOKEN = 4
_HEADROOM = 1.2
"""Memory for activations, caches and what else the machine does, beside the weights: share of them."""
_WEIGHT = 0.02
_BLOCKED_NGRAM = 3
_BYTES = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of an encoder-decoder.

    Attributes:
        small: normalises after each block, as the 90M model, else before.
        vocabulary: number of tokens.
        width: of the residual stream.
        layers: of encoder and decoder.
        heads: of every attention.
        positions: the longest text.
    """

    small: bool
    vocabulary: int
    width: int
    layers: tuple[int, int]
    heads: int
    positions: int

    def model(self) -> Any:
        """The model, its weights not set."""
        kinds = (
            (BlenderbotSmallConfig, BlenderbotSmallForConditionalGeneration)
            if self.small
            else (BlenderbotConfig, BlenderbotForConditionalGeneration)
        )
        config = kinds[0](
            vocab_size=self.vocabulary,
            d_model=self.width,
            encoder_layers=self.layers[0],
            decoder_layers=self.layers[1],
            encoder_attention_heads=self.heads,
            decoder_attention_heads=self.heads,
            encoder_ffn_dim=4 * self.width,
            decoder_ffn_dim=4 * self.width,
            max_position_embeddings=self.positions,
        )
        return kinds[1](config)


ARCHITECTURES = {
    "90M": Architecture(True, 54_944, 512, (8, 8), 16, 512),
    "400M-distill": Architecture(False, 8_008, 1_280, (2, 12), 32, 128),
    "2.7B": Architecture(False, 8_008, 2_560, (2, 24), 32, 128),
    "9.4B": Architecture(False, 8_008, 4_096, (4, 32), 32, 128),
}


def parameters(architecture: Architecture) -> int:
    """Number of weights, counted without memory for them."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in architecture.model().parameters())


def architecture_named(name: str) -> Architecture:
    """Raises ConfigError: there is no such rival."""
    if name not in ARCHITECTURES:
        raise ConfigError(f"generators: {name!r} is none of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def fitting_dtype(
    weights: int, available: int, dtype: Literal["auto", "fp32", "bf16"]
) -> Literal["fp32", "bf16"] | NotComputed:
    """The numbers with which so many weights fit into so many bytes, fp32 first; or why they do not."""
    for choice in ("fp32", "bf16") if dtype == "auto" else (dtype,):
        if weights * _BYTES[choice] * _HEADROOM <= available:
            return choice
    least = weights * _BYTES[choice] * _HEADROOM
    return NotComputed(f"memory: needs {least / 1e9:.1f} GB in {choice}, {available / 1e9:.1f} GB are free")


def random_model(architecture: Architecture, *, dtype: str, device: str, seed: int = 0) -> Any:
    """The model with small random weights, made in place: never twice in memory."""
    with torch.device("meta"):
        model = architecture.model()
    model = model.to({"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]).to_empty(device=device)
    model.tie_weights()
    generator = torch.Generator(device=device).manual_seed(seed)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(-_WEIGHT, _WEIGHT, generator=generator)
    return model.eval()


class GenerativeRival:
    """Writes replies of a fixed number of tokens, with its attention cached.

    A context has as many random tokens as the student's tokenizer makes of it: the rival's own vocabulary is
    of the same kind, and its weights know no words.
    """

    slow = True

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: OnnxEncoder | BiEncoder,
        *,
        beams: int,
        tokens: int,
        note: str = "",
    ) -> None:
        """Decode with `model`, greedily for one beam; with several, no trigram stands twice, as in the paper."""
        self.name, self.note = name, note
        self.device = str(model.device.type)
        self._model, self._tokenizer = model, tokenizer
        self._decoding = GenerationConfig(
            num_beams=beams,
            do_sample=False,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            no_repeat_ngram_size=_BLOCKED_NGRAM if beams > 1 else 0,
            use_cache=True,
            decoder_start_token_id=_START,
            bos_token_id=_START,
            eos_token_id=_END,
            pad_token_id=_PAD,
        )

    def reply(self, context: Context) -> Mapping[str, float]:
        start = time.perf_counter()
        inputs = self._inputs([context])
        between = time.perf_counter()
        self.generate(inputs)
        return {
            "tokenise": 1000 * (between - start),
            "generate": milliseconds_since(between),
            TOTAL: milliseconds_since(start),
        }

    def reply_batch(self, contexts: Sequence[Context]) -> None:
        self.generate(self._inputs(contexts))

    def generate(self, inputs: Mapping[str, Any]) -> Any:
        """The replies as tokens (contexts, tokens), the first one being that of the start; on the CPU."""
        with torch.inference_mode():
            return self._model.generate(**inputs, generation_config=self._decoding).cpu()

    def _inputs(self, contexts: Sequence[Context]) -> dict[str, Any]:
        lengths = [
            min(length, self._model.config.max_position_embeddings) for length in self._lengths(contexts)
        ]
        ids = np.full((len(contexts), max(lengths)), _PAD, dtype=np.int64)
        for row, length in enumerate(lengths):
            ids[row, :length] = np.random.default_rng(length).integers(
                _FIRST_TOKEN, self._model.config.vocab_size, size=length
            )
        tokens = torch.from_numpy(ids).to(self._model.device)
        return {"input_ids": tokens, "attention_mask": (tokens != _PAD).long()}

    def _lengths(self, contexts: Sequence[Context]) -> list[int]:
        if isinstance(self._tokenizer, OnnxEncoder):
            return [len(ids) for ids in self._tokenizer.tokenize_contexts(contexts)]
        texts = [self._tokenizer.context_text(context) for context in contexts]
        mask = self._tokenizer.features(texts, CONTEXT_TASK)["attention_mask"]
        return [int(length) for length in mask.sum(dim=1)]
