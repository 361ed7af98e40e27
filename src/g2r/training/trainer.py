"""The loss and the batches as sentence-transformers' trainer wants them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.losses import CachedLossMixin
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from g2r.config import TrainConfig
from g2r.losses import LossParts, g2r_loss, key_loss
from g2r.progress import Progress
from g2r.student import CONTEXT_TASK, RESPONSE_TASK, BiEncoder
from g2r.training.batches import BatchMaker
from g2r.training.keys import KeyMaker
from g2r.training.validation import Validation

Features = dict[str, Any]

_CHUNK = 32
"""Texts that share one padding when there is no gradient cache."""


@dataclass
class BatchCollator(SentenceTransformerDataCollator):  # type: ignore[misc]
    """Turns rows of the schedule into the texts of a batch and its masks (METHOD, 1).

    The trainer's columns hold texts alone, so a row is its place in the schedule and nothing else; which
    texts, which ids and which masks that means is the `BatchMaker`'s to say.
    """

    maker: BatchMaker | None = None
    student: BiEncoder | None = None
    keys: KeyMaker | None = None

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        assert self.maker is not None
        assert self.student is not None
        step = features[0]["position"] // self.maker.schedule.rows
        batch = self.maker.batch(step)
        keys = self.keys.batch(step, self.maker.contexts(step), batch.contexts) if self.keys else None
        data = self.maker.data
        contexts = keys.queries if keys else [data.lists[i].example.context for i in batch.contexts]
        columns = {
            "contexts": self._texts(map(self.student.context_text, contexts), CONTEXT_TASK),
            "responses": self._texts((data.responses[i] for i in batch.encoded), RESPONSE_TASK),
        }
        masks: dict[str, Tensor] = {}
        if keys:
            columns["keys"] = self._texts(map(self.student.context_text, keys.keys), CONTEXT_TASK)
            masks = {
                "key_positives": torch.from_numpy(keys.positives),
                "key_negatives": torch.from_numpy(keys.negatives),
            }
        inputs: dict[str, Any] = {
            f"{column}_{key}": value for column, values in columns.items() for key, value in values.items()
        }
        inputs["label"] = masks | {
            "positives": torch.from_numpy(batch.positives),
            "negatives": torch.from_numpy(batch.negatives),
            "scored": torch.from_numpy(batch.scored),
            "teacher_scores": torch.from_numpy(batch.teacher_scores).float(),
        }
        return inputs

    def _texts(self, texts: Iterable[str], task: str) -> Features:
        assert self.student is not None
        return self.student.features(list(texts), task) | {"task": task}


class G2RLoss(CachedLossMixin, nn.Module):  # type: ignore[misc]
    """`g2r_loss` of the texts of a batch, with or without gradient cache (METHOD, 7).

    Over several processes each holds its share of the contexts and of the responses; the vectors of the
    responses are gathered with their gradients, so that the mean over the processes is the loss of the
    whole batch.

    Attributes:
        parts: the parts of the last loss.
    """

    def __init__(self, model: SentenceTransformer, config: TrainConfig) -> None:
        super().__init__()
        self.model: Any = model
        self.config = config
        self.mini_batch_size = config.mini_batch_size
        self.uses_gradient_cache = config.mini_batch_size > 0
        self.parts: LossParts | None = None

    def forward(self, features: Iterable[Features], labels: dict[str, Tensor]) -> Tensor:
        if self.uses_gradient_cache:
            loss: Tensor = CachedLossMixin.forward_cached(self, features, labels)
            return loss
        return self.calculate_loss([[self._encoded(column)] for column in features], labels)

    def _encoded(self, column: Features) -> Tensor:
        """The vectors of a column, (texts, dimensions), encoded in chunks of like length."""
        order = torch.argsort(column["attention_mask"].sum(dim=1), stable=True)
        vectors = [self.model(chunk)["sentence_embedding"] for chunk in _chunks(column, order)]
        return torch.cat(vectors)[torch.argsort(order)]

    def calculate_loss(
        self, reps: Sequence[Sequence[Tensor]], labels: dict[str, Tensor], *, with_backward: bool = False
    ) -> Tensor:
        device = reps[0][0].device.type
        with torch.autocast(device, enabled=False):  # in bf16 the scores would have three digits
            contexts, responses, *keys = (
                functional.normalize(torch.cat(list(column)).float()) for column in reps
            )
            masks = dict(labels)
            key_masks = [masks.pop(f"key_{name}") for name in ("positives", "negatives") if keys]
            similarities = contexts @ _gathered(responses).T / self.config.student_temperature
            self.parts = g2r_loss(
                similarities,
                **masks,
                alpha=self.config.alpha if self.config.score else 0.0,
                teacher_temperature=self.config.teacher_temperature,
                student_temperature=self.config.distillation_temperature,
            )
            if keys:
                likeness = contexts @ _gathered(keys[0]).T / self.config.student_temperature
                term = key_loss(likeness, *key_masks).mean()
                total = self.parts.total + self.config.key_weight * term
                self.parts = replace(self.parts, total=total, keys=term.detach())
        if with_backward:
            torch.autograd.backward(self.parts.total)
        return self.parts.total.detach() if with_backward else self.parts.total

    def logged_parts(self) -> dict[str, Tensor]:
        """The parts of the last loss as the log shows them, which takes the mean over the processes."""
        assert self.parts is not None
        names = ["contrastive", "candidates", "negatives"]
        counts = []
        if self.config.score and self.config.alpha > 0:
            names += ["distillation", "target_entropy"]
            counts += ["without_target", "uniform_targets"]
        if self.parts.keys is not None:
            names.append("keys")
        parts = {name: getattr(self.parts, name) for name in names}
        return parts | {name: getattr(self.parts, name).float() * _processes() for name in counts}


def _chunks(column: Features, order: Tensor) -> Iterator[Features]:
    """Cut a column, taken in the given order, into pieces padded to their own longest text."""
    mask = column["attention_mask"]
    for rows in torch.split(order, _CHUNK):
        width = int(mask[rows].any(dim=0).nonzero().max()) + 1
        yield {
            key: value[rows, :width] if isinstance(value, Tensor) and value.shape == mask.shape else value
            for key, value in column.items()
        }


def _gathered(responses: Tensor) -> Tensor:
    """The vectors of all processes, (U, dimensions), in the order of the processes."""
    if _processes() == 1:
        return responses
    return torch.cat(list(all_gather(responses)))  # type: ignore[no-untyped-call]


def _processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


class G2RTrainer(SentenceTransformerTrainer):  # type: ignore[misc]
    """Logs the parts of the loss beside it, and leaves the model card to the student."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Nothing: the card would describe rows of a schedule."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.track_loss_components(self.loss.logged_parts())
        return loss

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._save_checkpoint(*args, **kwargs)
        except (SafetensorError, RuntimeError) as error:
            # What torch and safetensors raise when a file cannot be written is no OSError.
            raise OSError(str(error).splitlines()[0]) from error


def in_order(dataset: Any, batch_size: int, drop_last: bool, **_: Any) -> DefaultBatchSampler:
    """Batches in the order of the schedule, which is shuffled already."""
    return DefaultBatchSampler(SequentialSampler(dataset), batch_size, drop_last)


class StudentEvaluator(BaseEvaluator):  # type: ignore[misc]
    """Measures the student, whose model is the one in training, by the given validations."""

    def __init__(self, student: BiEncoder, validations: Sequence[Validation]) -> None:
        super().__init__()
        self.student = student
        self.validations = validations

    def __call__(self, model: SentenceTransformer, *args: Any, **kwargs: Any) -> dict[str, float]:
        values = [validation.measure(self.student) for validation in self.validations]
        return {name: value for measured in values for name, value in measured.items()}


class Conduct(TrainerCallback):  # type: ignore[misc]
    """Seeds every step, says when to evaluate and log, and tells the progress."""

    def __init__(
        self, config: TrainConfig, *, steps_per_epoch: int, evaluate_at: frozenset[int], progress: Progress
    ) -> None:
        self.config = config
        self.steps_per_epoch = steps_per_epoch
        self.evaluate_at = evaluate_at
        self.progress = progress

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Dropout depends on the step alone, so that a resumed training repeats it whatever came before.
        torch.manual_seed((self.config.seed << 32) + state.global_step * args.world_size + args.process_index)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # The dataset is the schedule of all epochs: tell the trackers the real one.
        state.epoch = state.global_step / self.steps_per_epoch
        control.should_evaluate = state.global_step in self.evaluate_at
        control.should_log = control.should_log or control.should_evaluate or control.should_save
        if state.is_world_process_zero:
            self.progress(state.global_step, state.max_steps, note=self._note(state))

    def _note(self, state: TrainerState) -> str:
        seen = {key: value for entry in state.log_history for key, value in entry.items()}
        return " ".join(
            f"{label} {seen[key]:.3f}"
            for label, key in (("loss", "loss"), ("hits@1", "eval_hits@1"), ("bank", "eval_bank_score"))
            if key in seen
        )
