"""Distilling a small context tower from the full one's vectors, which are computed once (METHOD: beyond the paper)."""

import copy
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g2r.artifacts import replacing
from g2r.compression.agreement import Agreement, measure_agreement
from g2r.compression.material import Material
from g2r.config import CompressConfig
from g2r.encoder import Vectors
from g2r.errors import DependencyError
from g2r.index.base import encode_views
from g2r.index.keys import RESPONSE_KEY
from g2r.progress import Progress, silent

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise DependencyError(f"compression needs {error.name}: pip install 'g2r[train]'") from error

from g2r.compression.objective import bank_loss, cosine_loss
from g2r.compression.towers import trained_parameters, with_small_tower
from g2r.student import CONTEXT_TASK, BiEncoder
from g2r.training import training_precision

LOG_FILE = "training_log.jsonl"
_STATIC_RATE, _LAYERED_RATE = 5e-3, 5e-4
_SORTED_TOGETHER = 16
_MAX_GRAD_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Compressed:
    """A student with a small context tower.

    Attributes:
        student: answers contexts by the small tower.
        agreement: with the full tower on the held-out contexts.
        log: a line an evaluation.
    """

    student: BiEncoder
    agreement: Agreement
    log: tuple[Mapping[str, float], ...]


def compress(
    full: BiEncoder,
    material: Material,
    config: CompressConfig | None = None,
    *,
    progress: Progress = silent,
) -> Compressed:
    """Distil a small context tower; of those evaluated the one with the best recall@10 is kept.

    The same student, material and config give the same weights on one machine. Where the small tower is to
    encode the contexts of the bank too, it is still chosen by its agreement on the full tower's keys.

    Raises:
        ConfigError: the full tower has fewer layers, or is compressed already.
    """
    config = config or CompressConfig()
    texts = [full.context_text(turns) for turns in material.contexts]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        student = with_small_tower(full, config, texts)
        return _Compression(student, material, texts, config, progress).run()


def save(made: Compressed, folder: Path) -> None:
    """Write the student, with its log, as `BiEncoder.save` does."""
    with replacing(folder) as new:
        made.student.write(new)
        lines = "".join(json.dumps(entry) + "\n" for entry in made.log)
        (new / LOG_FILE).write_text(lines, encoding="utf-8")


class _Compression:
    """One training: the schedule, the steps, and the best tower so far."""

    def __init__(
        self,
        student: BiEncoder,
        material: Material,
        texts: list[str],
        config: CompressConfig,
        progress: Progress,
    ) -> None:
        self.student, self.material, self.texts = student, material, texts
        self.config, self.progress = config, progress
        self.parameters = trained_parameters(student)
        self.device = student.model.device
        self.targets = torch.from_numpy(material.vectors)
        self.kinds = _kinds(material)
        self.draws = torch.Generator().manual_seed(config.seed)
        per_epoch = math.ceil(len(texts) / config.batch_size)
        self.steps = max(1, math.ceil(config.epochs * per_epoch))
        rate = config.learning_rate or (_LAYERED_RATE if config.layers else _STATIC_RATE)
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(self.parameters, lr=rate, weight_decay=0.0)
            if config.layers
            else torch.optim.SparseAdam(self.parameters, lr=rate)
        )
        self.pace = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._share_of_rate)
        precision = training_precision(config.precision, accelerated=self.device.type != "cpu")
        low = precision == "bf16" and config.layers > 0
        self.autocast: Any = torch.autocast(self.device.type, dtype=torch.bfloat16) if low else nullcontext()
        self.log: list[Mapping[str, float]] = []
        self.best: tuple[Agreement, dict[str, Tensor]] | None = None

    def run(self) -> Compressed:
        """Train to the end and return the best tower."""
        due = {math.ceil(i * self.steps / self.config.evals) for i in range(1, self.config.evals + 1)}
        losses: list[tuple[float, float]] = []
        for step, rows in enumerate(self._batches(), start=1):
            losses.append(self._step(rows))
            if step in due:
                self._evaluate(step, losses)
                losses.clear()
            note = f"recall@10 {self.log[-1]['recall@10']:.3f}" if self.log else ""
            self.progress(step, self.steps, note=note)
        assert self.best is not None
        agreement, weights = self.best
        self._tower.load_state_dict(weights)
        self.student.model.eval()
        counts = {
            "compressed_from": self.student.full.fingerprint,
            "contexts": len(self.texts),
            "held_out": len(self.material.held_out),
            "steps": self.steps,
            **_named(agreement),
        }
        # A new object: the fingerprint of the one that was trained is of no weights that are left.
        student = BiEncoder(self.student.model, self.student.form, training=counts)
        return Compressed(student, agreement, tuple(self.log))

    @property
    def _tower(self) -> Any:
        return self.student.model[0].sub_modules[CONTEXT_TASK]

    def _share_of_rate(self, step: int) -> float:
        """Rising over the warm-up, then falling to 0 in a line."""
        warm_up = max(1.0, self.config.warmup_fraction * self.steps)
        return min((step + 1) / warm_up, (self.steps - step) / max(1.0, self.steps - warm_up), 1.0)

    def _batches(self) -> Iterator[list[int]]:
        """Rows of the contexts for each step; texts of like length stand together."""
        size, left = self.config.batch_size, self.steps
        while left:
            order = torch.randperm(len(self.texts), generator=self.draws).tolist()
            block = size * _SORTED_TOGETHER
            batches: list[list[int]] = []
            for start in range(0, len(order), block):
                alike = sorted(order[start : start + block], key=lambda row: len(self.texts[row]))
                parts = [alike[i : i + size] for i in range(0, len(alike), size)]
                batches += [parts[i] for i in torch.randperm(len(parts), generator=self.draws).tolist()]
            yield from batches[:left]
            left -= min(left, len(batches))

    def _step(self, rows: list[int]) -> tuple[float, float]:
        """One optimiser step; returns both terms of the loss."""
        self._tower.train()
        features = self.student.features([self.texts[row] for row in rows], CONTEXT_TASK)
        moved = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in features.items()}
        with self.autocast:
            vectors = self.student.model(moved)["sentence_embedding"]
        vectors = torch.nn.functional.normalize(vectors.float(), dim=1)
        targets = self.targets[rows].to(self.device)
        cosine = cosine_loss(vectors, targets)
        bank = bank_loss(vectors, targets, self._drawn_keys(), temperature=self.config.temperature)
        self.optimizer.zero_grad()
        torch.autograd.backward(cosine + self.config.bank_weight * bank)
        if self.config.layers:
            torch.nn.utils.clip_grad_norm_(self.parameters, _MAX_GRAD_NORM)
        self.optimizer.step()
        self.pace.step()
        return float(cosine.detach()), float(bank.detach())

    def _drawn_keys(self) -> list[Tensor]:
        drawn = []
        for keys in self.kinds:
            rows = torch.randperm(len(keys), generator=self.draws)[: self.config.bank_keys]
            drawn.append(keys[rows].to(self.device))
        return drawn

    def _evaluate(self, step: int, losses: list[tuple[float, float]]) -> None:
        self.student.model.eval()
        small = encode_views(self.student, self.material.held_out, self.material.views)
        agreement = measure_agreement(self.material.keys, self.material.config, self.material.queries, small)
        cosine, bank = np.mean(losses, axis=0).tolist()
        self.log.append({"step": step, "loss_cosine": cosine, "loss_bank": bank, **_named(agreement)})
        if self.best is None or agreement.recall_at_10 > self.best[0].recall_at_10:
            self.best = agreement, copy.deepcopy(self._tower.state_dict())


def _kinds(material: Material) -> list[Tensor]:
    """The keys that a context is compared with: those of responses, and those of contexts of all views together."""
    responses = [kind.vectors for kind in material.keys if kind.name == RESPONSE_KEY]
    contexts = [kind.vectors for kind in material.keys if kind.name != RESPONSE_KEY]
    parts: list[Vectors] = [*responses, *([np.concatenate(contexts)] if contexts else [])]
    return [torch.from_numpy(part) for part in parts]


def _named(agreement: Agreement) -> dict[str, float]:
    values = asdict(agreement)
    return {"first_same": values["first"], "recall@10": values["recall_at_10"], "cosine": values["cosine"]}
