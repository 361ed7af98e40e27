"""A teacher run by transformers: any sequence-to-sequence model, any causal chat model."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g2r.config import GenerateConfig, TransformersTeacherConfig, parse_config
from g2r.dialogue import NO_SCORES, Context, Scores, content_id
from g2r.errors import DependencyError, TeacherError
from g2r.teachers.base import Sample

try:
    import torch
    from safetensors import SafetensorError
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        GenerationConfig,
    )
except ImportError as error:
    raise DependencyError(
        f"a transformers teacher needs {error.name}, which is not installed; run: pip install 'g2r[train]'"
    ) from error

from g2r.teachers.likelihood import log_likelihoods
from g2r.teachers.prompts import make_prompts
from g2r.teachers.sampling import Written, write_responses


class TransformersTeacher:
    """A sequence-to-sequence or causal model, by hub name or folder.

    Contexts are read in batches of like length. A context is read once for all the responses scored against
    it (METHOD: Sharing), and the log-likelihood of a sampled response is kept as it is written (METHOD:
    Data-level). How turns become text: `g2r.teachers.prompts`. Not safe to use from several threads at once.

    Args:
        model: hub name or folder.
        options: the other fields of `TransformersTeacherConfig`: device, dtype, batch_size, ...

    Raises:
        TeacherError: there is no such model, or it can neither be loaded nor used.
        ConfigError: an unknown option, or a value out of range.
    """

    score_kinds = frozenset({"ll"})

    def __init__(self, model: str | Path, **options: Any) -> None:
        self.config = parse_config(
            TransformersTeacherConfig, {"model": str(model), **options}, where="teacher"
        )
        self._model, tokenizer = _load(self.config)
        given = self._model.generation_config
        self._model.generation_config = GenerationConfig()  # its own sampling rules would change ours
        seq2seq = self._model.config.is_encoder_decoder
        self._start = _decoder_start(given, self._model.config) if seq2seq else None
        self._forced = _first_of(given, self._model.config, "forced_bos_token_id") if seq2seq else None
        positions = getattr(self._model.config.get_text_config(), "max_position_embeddings", None) or math.inf
        limit = int(min(self.config.max_context_tokens, positions if seq2seq else positions // 2))
        self._room = positions if seq2seq else positions - limit
        self._pairs_at_once = 2 * self.config.batch_size
        self._tokenizer = tokenizer
        self._prompts = make_prompts(
            tokenizer,
            self._model.config,
            stops=_as_tokens(_first_of(given, self._model.config, "eos_token_id")),
            limit=limit,
            system=self.config.system_prompt,
        )

    @classmethod
    def from_config(cls, config: TransformersTeacherConfig) -> "TransformersTeacher":
        """Load the teacher that `config` describes."""
        return cls(**config.model_dump(exclude={"kind"}))

    @property
    def name(self) -> str:
        """The model's name without its owner, or the folder's."""
        folder = Path(self.config.model)
        return folder.resolve().name if folder.is_dir() else folder.name

    def generate(
        self, contexts: Sequence[Context], settings: GenerateConfig, *, seed: int
    ) -> list[list[Sample]]:
        """Write `settings.responses_per_context` responses to each context (METHOD: Data-level).

        What is sampled depends on `seed` and the contexts of a batch, not on what was done before. `scores`
        hold the log-likelihood wherever the text has those tokens that were sampled, so that they are what
        `score` would give; else (cut, or spelled in unusual tokens) they are left to it.

        Raises:
            TeacherError: the logits are not finite, memory ran out, or `max_tokens` is over the model's limit.
        """
        self._check_room(settings.max_tokens, "max_tokens")
        prompts = [self._prompts.context_ids(context) for context in contexts]
        samples: list[list[Sample]] = [[] for _ in contexts]
        for batch in self._batches(prompts):
            with _memory_guarded(self.config.batch_size):
                written = write_responses(
                    self._model,
                    [prompts[i] for i in batch],
                    settings,
                    stops=self._prompts.stops,
                    start=self._start,
                    first=self._forced,
                    seed=_batch_seed(seed, [contexts[i] for i in batch]),
                    pairs_at_once=self._pairs_at_once,
                )
            for i, group in zip(batch, written, strict=True):
                samples[i] = [self._sample(contexts[i], one) for one in group]
        return samples

    def score(self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]) -> list[list[Scores]]:
        """Log-likelihood of `responses[i][j]` after `contexts[i]` (METHOD: LL), sum in nats and token count.

        Raises:
            TeacherError: a log-likelihood is not finite, a response is longer than the model reads, memory
                ran out, or the two arguments differ in length.
        """
        if len(contexts) != len(responses):
            raise TeacherError(
                f"{len(contexts)} contexts came with {len(responses)} lists of responses; expected one list each"
            )
        prompts = [self._prompts.context_ids(context) for context in contexts]
        ids = [[self._prompts.response_ids(text) for text in group] for group in responses]
        self._check_room(max((len(r) for group in ids for r in group), default=0), "a response")
        scores: list[list[Scores]] = [[] for _ in contexts]
        for batch in self._batches(prompts):
            with _memory_guarded(self.config.batch_size):
                sums = log_likelihoods(
                    self._model,
                    [prompts[i] for i in batch],
                    [ids[i] for i in batch],
                    start=self._start,
                    pairs_at_once=self._pairs_at_once,
                )
            for i, totals in zip(batch, sums, strict=True):
                scores[i] = [
                    _finite(Scores(ll_sum=total, tokens=len(tokens)), contexts[i], text)
                    for text, total, tokens in zip(responses[i], totals, ids[i], strict=True)
                ]
        return scores

    def _sample(self, context: Context, written: Written) -> Sample:
        """The text of what was written, with its scores where the text alone would give the same tokens."""
        text = self._tokenizer.decode(
            written.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        ).strip()
        if self._prompts.response_ids(text) != list(written.ids):
            return Sample(text, NO_SCORES, written.finished)
        scores = Scores(ll_sum=written.ll_sum, tokens=len(written.ids))
        return Sample(text, _finite(scores, context, text), written.finished)

    def _batches(self, prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of prompts of like length together, longest first, so that memory runs out at once or never."""
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        for begin in range(0, len(order), self.config.batch_size):
            yield order[begin : begin + self.config.batch_size]

    def _check_room(self, tokens: int, what: str) -> None:
        if tokens > self._room:
            raise TeacherError(
                f"{what} of {tokens} tokens; {self.name} takes at most {self._room:.0f} after a context; "
                "lower max_tokens, max_words or max_context_tokens"
            )


def _load(config: TransformersTeacherConfig) -> tuple[Any, Any]:
    """Return model and tokenizer, the model in evaluation mode on its device."""
    name, revision = config.model, config.revision
    device = _device(config.device)
    dtype = config.dtype if config.dtype != "auto" else "float32" if device == "cpu" else "bfloat16"
    try:
        described = AutoConfig.from_pretrained(name, revision=revision)
        kind = AutoModelForSeq2SeqLM if described.is_encoder_decoder else AutoModelForCausalLM
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        model = kind.from_pretrained(name, revision=revision, dtype=getattr(torch, dtype)).to(device).eval()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise TeacherError(_not_loaded(name, error)) from error
    except ImportError as error:
        raise DependencyError(f"the teacher {name} needs more packages: {_one_line(error)}") from error
    if model.get_output_embeddings() is None:
        raise TeacherError(
            f"{name} is a {type(model).__name__} without an output layer; expected a seq2seq or causal model"
        )
    return model, tokenizer


def _not_loaded(name: str, error: Exception) -> str:
    if Path(name).is_dir():
        return (
            f"the folder {name} holds no teacher that loads; expected config.json, weights and tokenizer of a "
            f"seq2seq or causal model: {_one_line(error)}"
        )
    return (
        f"no teacher {name}; expected a folder of that name, or a hub model within reach (offline, download "
        f"it before and give its folder): {_one_line(error)}"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _device(wanted: str) -> str:
    """The device to use; "auto" is the best there is.

    Raises:
        TeacherError: torch knows no such device, or it is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return str(torch.empty(0, device=wanted).device)
    except (RuntimeError, AssertionError) as error:
        raise TeacherError(
            f"no device {wanted!r} for the teacher; expected auto, cpu, cuda, cuda:1 or mps: {_one_line(error)}"
        ) from error


def _first_of(generation: Any, model: Any, field: str) -> Any:
    """A special token, from the generation configuration or the model's own."""
    value = getattr(generation, field, None)
    return value if value is not None else getattr(model, field, None)


def _decoder_start(generation: Any, model: Any) -> int:
    """The token a decoder begins with: its own, else the one that begins a text."""
    for field in ("decoder_start_token_id", "bos_token_id"):
        token = _first_of(generation, model, field)
        if token is not None:
            return int(token)
    raise TeacherError(
        "the teacher's configuration names no token for its decoder to begin with; set decoder_start_token_id"
    )


def _as_tokens(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)


def _batch_seed(seed: int, contexts: Sequence[Context]) -> int:
    """A seed that depends on the run's and on the contexts of the batch alone."""
    return int(content_id([str(seed), *(content_id(context) for context in contexts)]), 16) >> 1


def _finite(scores: Scores, context: Context, response: str) -> Scores:
    if scores.ll_sum is None or not math.isfinite(scores.ll_sum):
        raise TeacherError(
            f"the teacher's log-likelihood of {response!r:.80} after {list(context)!r:.160} is {scores.ll_sum}, "
            "expected a finite number; try dtype float32, or check the model's weights"
        )
    return scores


@contextmanager
def _memory_guarded(batch_size: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TeacherError(
            f"the device ran out of memory with batch_size={batch_size}; lower it (the finished part is kept)"
        ) from error
