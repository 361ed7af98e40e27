"""Distilling the student: batches and masks, the trainer, validation, checkpoints."""

from g2r.training.distillation import LOG_FILE, distill, training_precision

__all__ = ["LOG_FILE", "distill", "training_precision"]
