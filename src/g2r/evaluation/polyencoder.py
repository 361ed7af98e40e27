"""The poly-encoder (Humeau et al. 2020), a slower rival of the student: trained from its base, on its data.

A context becomes m vectors, each the attention of a learned code over its tokens; a response r attends over
them, and s(c, r) is the cosine of r and what it attends to. Contexts can still be encoded once for many
responses, but responses cannot be searched: it ranks lists.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from g2r.artifacts import refuse_other, replacing
from g2r.config import TrainConfig
from g2r.dialogue import Context, Example
from g2r.errors import ArtifactError, DependencyError, InputError
from g2r.evaluation.metrics import Floats, hits_at, ranks
from g2r.progress import Progress, silent
from g2r.training.batches import Batch, BatchMaker, Schedule, TrainingData, training_data
from g2r.training.validation import HitsValidation

try:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file
    from sentence_transformers.util import batch_to_device
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise DependencyError(f"the poly-encoder needs {error.name}: pip install 'g2r[train]'") from error

from g2r.losses import g2r_loss
from g2r.student import CONTEXT_TASK, FORM_FILE, RESPONSE_TASK, BiEncoder
from g2r.training.distillation import training_precision

CODES = 16
_CODES_FILE = "codes.safetensors"
_RECORD_FILE = "poly_encoder.json"
_TEXTS_AT_ONCE = 32


class PolyEncoder(nn.Module):
    """A bi-encoder with m codes; a `LearnedScorer`.

    Attributes:
        student: encodes tokens and responses.
        codes: float (m, dimensions).
    """

    name = "poly-encoder"

    def __init__(self, student: BiEncoder, *, codes: int = CODES, seed: int = 0) -> None:
        super().__init__()
        self.student = student
        self.model: nn.Module = student.model
        dimensions = student.model.get_embedding_dimension()
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(codes, dimensions, generator=generator) / math.sqrt(dimensions)
        self.codes = nn.Parameter(drawn.to(student.model.device))
        self._contexts: dict[Context, Tensor] = {}
        self._responses: dict[str, Tensor] = {}

    def context_vectors(self, contexts: Sequence[Context]) -> Tensor:
        """What the codes attend to in each context: (contexts, m, dimensions)."""
        found = self._read([self.student.context_text(context) for context in contexts], CONTEXT_TASK)
        tokens, mask = found["token_embeddings"], found["attention_mask"].bool()
        attention = torch.einsum("md,btd->bmt", self.codes.to(tokens.dtype), tokens)
        weights = attention.masked_fill(~mask[:, None, :], torch.finfo(attention.dtype).min).softmax(dim=-1)
        return torch.einsum("bmt,btd->bmd", weights, tokens)

    def response_vectors(self, responses: Sequence[str]) -> Tensor:
        """g(r), unit length: (responses, dimensions)."""
        return functional.normalize(
            self._read(responses, RESPONSE_TASK)["sentence_embedding"].float(), dim=-1
        )

    def _read(self, texts: Sequence[str], task: str) -> dict[str, Tensor]:
        features = self.student.features(texts, task)
        found: dict[str, Tensor] = self.model({**batch_to_device(features, self.codes.device), "task": task})
        return found

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        """The cosine of each pair: float (pairs,). Every text is encoded once, however often it is asked for."""
        self.eval()
        with torch.inference_mode():
            self._remember(contexts, responses)
            scores = [
                float(poly_scores(self._contexts[c][None], self._responses[r][None])[0, 0])
                for c, r in zip(contexts, responses, strict=True)
            ]
        return np.array(scores, dtype=np.float64)

    def _remember(self, contexts: Sequence[Context], responses: Sequence[str]) -> None:
        new_contexts = [c for c in dict.fromkeys(contexts) if c not in self._contexts]
        for start in range(0, len(new_contexts), _TEXTS_AT_ONCE):
            part = new_contexts[start : start + _TEXTS_AT_ONCE]
            self._contexts.update(zip(part, self.context_vectors(part).float(), strict=True))
        new_responses = sorted((r for r in set(responses) if r not in self._responses), key=len)
        for start in range(0, len(new_responses), _TEXTS_AT_ONCE):
            texts = new_responses[start : start + _TEXTS_AT_ONCE]
            self._responses.update(zip(texts, self.response_vectors(texts), strict=True))

    def forget(self) -> None:
        """Drop remembered vectors: the weights have changed."""
        self._contexts.clear()
        self._responses.clear()

    def save(self, folder: Path) -> None:
        """Write student and codes, whole or not at all.

        Raises:
            ArtifactError: the place cannot be written.
        """
        with replacing(Path(folder)) as new:
            self.student.write(new)
            save_file({"codes": self.codes.detach().contiguous()}, str(new / _CODES_FILE))
            (new / _RECORD_FILE).write_text(json.dumps({"codes": len(self.codes)}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "PolyEncoder":
        """Open what `save` wrote.

        Raises:
            ArtifactError: there is no poly-encoder in `folder`.
        """
        try:
            codes = load_file(str(Path(folder) / _CODES_FILE))["codes"]
            poly = cls(BiEncoder.load(folder), codes=len(codes))
        except (OSError, KeyError, SafetensorError, InputError) as error:
            raise ArtifactError(
                f"no poly-encoder in {folder} ({error}); train it with scripts/train_poly_encoder.py"
            ) from error
        with torch.no_grad():
            poly.codes.copy_(codes)
        return poly


def poly_scores(contexts: Tensor, responses: Tensor) -> Tensor:
    """s(c, r) of m vectors a context (B, m, dimensions) and responses of unit length (U, dimensions): (B, U)."""
    attention = torch.einsum("bmd,ud->bum", contexts, responses).softmax(dim=-1)
    attended = functional.normalize(torch.einsum("bum,bmd->bud", attention, contexts), dim=-1)
    return torch.einsum("bud,ud->bu", attended, responses)


def train_poly_encoder(
    examples: Sequence[Example],
    *,
    base: str | Path | None = None,
    output: Path,
    config: TrainConfig | None = None,
    codes: int = CODES,
    progress: Progress = silent,
) -> PolyEncoder:
    """Train a poly-encoder on the batches and the loss of the student, by its configuration.

    Split "train" trains, hits@1/20 on split "valid" chooses the step that is kept. A training that is
    killed starts again: it is a rival's, and short.

    Args:
        base: takes the place of `config.base`, to start where the student started.

    Raises:
        ConfigError: the options do not fit the examples.
        InputError: the base is not there, or a score is not finite.
        ArtifactError: the output cannot be written, or holds something that is no poly-encoder.
    """
    config = config or TrainConfig()
    refuse_other(output, mark=FORM_FILE)
    train = [e for e in examples if e.split == "train"]
    if config.contexts == "taught":
        train = [e for e in train if any(not c.original for c in e.candidates)]
    data = training_data(train, config)
    validation = HitsValidation.draw([e for e in examples if e.split == "valid"], seed=config.seed)
    poly = _start(base or config.base, config, codes)
    schedule = Schedule(len(data.lists), config.batch_size, config.seed)
    steps = config.max_steps
    if steps < 1:
        steps = max(1, math.ceil(config.epochs * schedule.steps_per_epoch))
    evaluate_at = {math.ceil(steps * k / config.evals) for k in range(1, config.evals + 1)}
    maker = BatchMaker(data, schedule, config)
    optimiser = torch.optim.AdamW(poly.parameters(), lr=config.learning_rate)
    pace = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _rate(step, steps, config.warmup_fraction)
    )
    best = -1.0
    for step in range(1, steps + 1):
        poly.train()
        optimiser.zero_grad()
        torch.autograd.backward(_loss(poly, maker.batch(step - 1), data, config))
        nn.utils.clip_grad_norm_(poly.parameters(), config.max_grad_norm)
        optimiser.step()
        pace.step()
        progress(step, steps, note="poly-encoder")
        if step in evaluate_at:
            poly.forget()
            hits = _hits(poly, validation) if validation else float(step)
            if hits > best:
                best = hits
                measured = {"hits@1": hits} if validation else {}
                poly.student.training = {**data.counts, "step": step, **measured}
                poly.save(output)
    return PolyEncoder.load(output)


def _start(base: str | Path, config: TrainConfig, codes: int) -> PolyEncoder:
    """The base with as many towers, reading contexts as the student does."""
    torch.manual_seed(config.seed)
    student = BiEncoder.load(base).with_form(
        turn_order=config.turn_order,
        speaker_marks=config.speaker_marks,
        max_context_tokens=config.max_context_tokens,
        max_response_tokens=config.max_response_tokens,
        history=config.history,
    )
    return PolyEncoder(student.with_towers(config.towers), codes=codes, seed=config.seed)


def _loss(poly: PolyEncoder, batch: Batch, data: TrainingData, config: TrainConfig) -> Tensor:
    contexts = [data.lists[i].example.context for i in batch.contexts]
    responses = [data.responses[i] for i in batch.encoded]
    device = poly.codes.device
    precision = training_precision(config.precision, accelerated=device.type != "cpu")
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        queries = poly.context_vectors(contexts)
        parts = [
            poly.response_vectors(responses[start : start + _TEXTS_AT_ONCE])
            for start in range(0, len(responses), _TEXTS_AT_ONCE)
        ]
    positives, negatives, scored = (
        torch.from_numpy(mask).to(device) for mask in (batch.positives, batch.negatives, batch.scored)
    )
    return g2r_loss(
        poly_scores(queries.float(), torch.cat(parts)) / config.student_temperature,
        positives=positives,
        negatives=negatives,
        teacher_scores=torch.from_numpy(batch.teacher_scores).float().to(device),
        scored=scored,
        alpha=config.alpha if config.score else 0.0,
        teacher_temperature=config.teacher_temperature,
        student_temperature=config.distillation_temperature,
    ).total


def _rate(step: int, steps: int, warmup: float) -> float:
    """Rising to the peak in the first steps, then falling evenly to 0, as the student's."""
    rising = math.ceil(warmup * steps)
    return (step + 1) / (rising + 1) if step < rising else (steps - step) / max(1, steps - rising)


def _hits(poly: PolyEncoder, validation: HitsValidation) -> float:
    rows, width = validation.candidates.shape
    contexts = [context for context in validation.contexts for _ in range(width)]
    texts = [validation.texts[i] for i in validation.candidates.ravel()]
    return hits_at(ranks(poly.score(contexts, texts).reshape(rows, width)), 1)
