"""Distil the student: the G2R loss on sentence-transformers' trainer (METHOD: The loss)."""

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from g2r.artifacts import refuse_other, replacing
from g2r.config import TrainConfig, parse_config
from g2r.dialogue import Example
from g2r.errors import ConfigError, DependencyError
from g2r.progress import Progress, silent
from g2r.training.batches import BatchMaker, Schedule, TrainingData, training_data
from g2r.training.checkpoints import claim, last_whole, seal, workplace, writing
from g2r.training.keys import KeyMaker
from g2r.training.mining import mine_negatives
from g2r.training.validation import BankValidation, HitsValidation, Judge, Validation, thinned

try:
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainingArguments
    from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.integrations import get_available_reporting_integrations
except ImportError as error:
    raise DependencyError(f"training needs {error.name}: pip install 'g2r[train]'") from error

from g2r.student import FORM_FILE, TRAINING_FILE, BiEncoder, quiet
from g2r.training.trainer import BatchCollator, Conduct, G2RLoss, G2RTrainer, StudentEvaluator, in_order

LOG_FILE = "training_log.jsonl"
BEST = "best"
_LOGS = 50
_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def distill(
    examples: Sequence[Example],
    *,
    base: str | Path | BiEncoder | None = None,
    output: Path | None = None,
    config: TrainConfig | None = None,
    judge: Judge | None = None,
    progress: Progress = silent,
    **options: Any,
) -> BiEncoder:
    """Distil a student from examples: split "train" trains, split "valid" chooses the model that is kept.

    Without `config.score` it learns from the candidates alone (D-G2R; the baseline with responses
    "original"), with it from the teacher's scores too (DM-G2R). With an `output` the training leaves
    checkpoints beside it until it ends, and the same call goes on from the last of them; the student there
    before stays until the new one is whole.

    Args:
        examples: contexts with candidates.
        base: "minilm", a folder, a hub name or a student; takes the place of `config.base`.
        output: folder the student is saved in.
        config: all settings; single ones may be given as `options`.
        judge: scores what is retrieved, for model selection by "bank_score" and for mined negatives.
        progress: called after each step.

    Raises:
        ConfigError: an option is wrong, or does not fit the examples.
        InputError: the base is not there, or a score is NaN or infinite.
        ArtifactError: the output cannot be written, or holds something that is no student.
    """
    if output is not None:
        refuse_other(Path(output), mark=FORM_FILE)
    values = {**(config or TrainConfig()).model_dump(), **options}
    if isinstance(base, (str, Path)):
        values["base"] = str(base)
    config = parse_config(TrainConfig, values, where="distill")
    data = training_data([e for e in examples if e.split == "train" and _taught(e, config)], config)
    valid = [e for e in examples if e.split == "valid"]
    student = _start(base if isinstance(base, BiEncoder) else BiEncoder.load(config.base), config)
    with ExitStack() as stack:
        if output is not None:
            output = Path(output)
            folder = workplace(output)
        elif _processes() == 1:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="g2r-")))
        else:
            raise ConfigError("several processes need a place they share; give the folder of the student")
        stack.enter_context(writing(output or folder))
        if _process() == 0:
            claim(folder, _identity(data, valid, student, config))
        logs = output.with_name(f"{output.name}.logs") if output else folder / "logs"
        training = _Training(student, data, valid, config, folder, logs=logs, judge=judge, progress=progress)
        log = training.run()
        trained = BiEncoder.load(folder / BEST)
        if output is not None and _process() == 0:
            _save(trained, output, log)
        training.wait_for_all()
        if output is not None and _process() == 0:
            shutil.rmtree(folder)
    return trained


def _taught(example: Example, config: TrainConfig) -> bool:
    return config.contexts == "all" or any(not c.original for c in example.written)


def _start(base: BiEncoder, config: TrainConfig) -> BiEncoder:
    """A copy of the base that reads contexts as the config says, with as many towers."""
    return base.with_form(
        turn_order=config.turn_order,
        speaker_marks=config.speaker_marks,
        max_context_tokens=config.max_context_tokens,
        max_response_tokens=config.max_response_tokens,
        history=config.history,
    ).with_towers(config.towers)


def _save(student: BiEncoder, output: Path, log: Sequence[dict[str, float]]) -> None:
    with replacing(output) as new:
        student.write(new)
        lines = "".join(json.dumps(entry) + "\n" for entry in log)
        (new / LOG_FILE).write_text(lines, encoding="utf-8")


def _process() -> int:
    """Number of this process under torchrun, 0 without."""
    return int(os.environ.get("RANK", "0"))


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _identity(data: TrainingData, valid: Sequence[Example], student: BiEncoder, config: TrainConfig) -> str:
    """Names a training: equal only if it would go through the same steps."""
    digest = hashlib.sha256(config.model_dump_json(exclude={"report_to"}).encode())
    digest.update(student.fingerprint.encode())
    for chosen in data.lists:
        digest.update(chosen.example.context_id.encode())
        digest.update(chosen.scores.tobytes() + chosen.responses.tobytes() + chosen.answers.tobytes())
    for text in data.responses:
        digest.update(text.encode())
    for example in valid:
        digest.update(example.context_id.encode())
        digest.update("".join(c.response_id for c in example.candidates).encode())
    return digest.hexdigest()


class _Training:
    """One training: the schedule, the trainer and its callbacks, from the start or the last checkpoint."""

    def __init__(
        self,
        student: BiEncoder,
        data: TrainingData,
        valid: Sequence[Example],
        config: TrainConfig,
        folder: Path,
        *,
        logs: Path,
        judge: Judge | None,
        progress: Progress,
    ) -> None:
        if config.batch_size % _processes():
            raise ConfigError(
                f"batch_size {config.batch_size} cannot be shared evenly by {_processes()} processes"
            )
        self.folder = folder
        self.schedule = Schedule(len(data.lists), config.batch_size, config.seed, _processes())
        self.steps = config.max_steps
        if config.max_steps < 1:
            self.steps = max(1, math.ceil(config.epochs * self.schedule.steps_per_epoch))
        validations = _validations(data, valid, config, judge)
        self.arguments = _arguments(self, config)
        mined = mine_negatives(student, data, config, judge=judge) if config.hard_negatives else ()
        maker = BatchMaker(data, self.schedule, config, mined, _process())
        _freeze(student, config.freeze_layers)
        self.keeper = _Keeper(student, folder / BEST, config.select_by, data.counts)
        conduct = Conduct(
            config,
            steps_per_epoch=self.schedule.steps_per_epoch,
            evaluate_at=self._evaluation_steps(config) if validations else frozenset(),
            progress=progress,
        )
        self.trainer = G2RTrainer(
            model=student.model,
            args=self.arguments,
            train_dataset=Dataset.from_dict({"position": range(self.steps * self.schedule.rows)}),
            loss=G2RLoss(student.model, config),
            evaluator=StudentEvaluator(student, validations) if validations else None,
            data_collator=BatchCollator(
                student.model.preprocess,
                maker=maker,
                student=student,
                keys=KeyMaker(data, config.seed) if config.key_weight else None,
            ),
            callbacks=[conduct, self.keeper],
        )
        self.trainer.remove_callback(PrinterCallback)
        for callback in self.trainer.callback_handler.callbacks:
            if getattr(callback, "logging_dir", "") is None:
                callback.logging_dir = str(logs)

    def run(self) -> list[dict[str, float]]:
        """Train to the last step; the model that is kept stands in `best`. Returns the log."""
        self.wait_for_all()
        checkpoint = last_whole(self.folder)
        with quiet():
            self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if not self.keeper.folder.is_dir():
            self.keeper.keep({}, self.steps)
        self.wait_for_all()
        return [_untimed(entry) for entry in self.trainer.state.log_history if "train_runtime" not in entry]

    def wait_for_all(self) -> None:
        """Let every process come here before any goes on."""
        self.trainer.accelerator.wait_for_everyone()

    def _evaluation_steps(self, config: TrainConfig) -> frozenset[int]:
        return frozenset(math.ceil(self.steps * k / config.evals) for k in range(1, config.evals + 1))


def _untimed(entry: Mapping[str, float]) -> dict[str, float]:
    """A log entry without what depends on the machine's speed, its names in order."""
    return {name: entry[name] for name in sorted(entry) if not name.endswith(("_runtime", "_per_second"))}


class _Keeper(TrainerCallback):  # type: ignore[misc]
    """Keeps the best model seen so far, and seals every checkpoint once it is whole."""

    def __init__(self, student: BiEncoder, folder: Path, measure: str, counts: Mapping[str, int]) -> None:
        self.student = student
        self.folder = folder
        self.measure = measure
        self.counts = counts

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        measured = {
            name: metrics[f"eval_{name}"]
            for name in ("hits@1", "mrr", "bank_score")
            if f"eval_{name}" in metrics
        }
        if measured[self.measure] > self._best():
            self.keep(measured, state.global_step)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def keep(self, measured: Mapping[str, float], step: int) -> None:
        """Keep the model as it is now, in the place of the one kept before."""
        self.student.training = {**self.counts, "step": step, **measured}
        if _process() == 0:
            self.student.save(self.folder)

    def _best(self) -> float:
        kept = self.folder / TRAINING_FILE
        return float(json.loads(kept.read_text("utf-8"))[self.measure]) if kept.is_file() else -math.inf


def _validations(
    data: TrainingData, valid: Sequence[Example], config: TrainConfig, judge: Judge | None
) -> list[Validation]:
    """What the model is selected by, hits@1/20 always among it.

    Raises:
        ConfigError: the held-out examples cannot give what `select_by` asks for.
    """
    hits = HitsValidation.draw(valid, seed=config.seed)
    validations: list[Validation] = [hits] if hits else []
    if config.select_by == "bank_score":
        if not valid:
            raise ConfigError("select_by bank_score needs examples of split 'valid', got none")
        bank = tuple(data.responses[i] for i in data.bank)
        held_out = tuple(thinned(valid, seed=config.seed))
        validations.append(BankValidation(held_out, bank, config.score, judge))
    elif hits is None and any(e.originals for e in valid):
        raise ConfigError("select_by hits@1 needs two different original responses in split 'valid', got one")
    return validations


def _arguments(training: "_Training", config: TrainConfig) -> SentenceTransformerTrainingArguments:
    unknown = set(config.report_to) - set(get_available_reporting_integrations())
    if unknown:
        raise ConfigError(
            f"report_to names {sorted(unknown)}, which are unknown or not installed; "
            f"installed are {sorted(get_available_reporting_integrations())}"
        )
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    precision = training_precision(config.precision, accelerated=accelerated)
    return SentenceTransformerTrainingArguments(
        output_dir=str(training.folder),
        max_steps=training.steps,
        per_device_train_batch_size=training.schedule.rows // _processes(),
        batch_sampler=in_order,
        learning_rate=config.learning_rate,
        warmup_steps=math.ceil(config.warmup_fraction * training.steps),
        max_grad_norm=config.max_grad_norm,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not accelerated,
        seed=config.seed,
        eval_strategy="no",
        save_strategy="steps",
        save_steps=config.checkpoint_steps,
        save_total_limit=2,
        logging_steps=max(1, training.steps // _LOGS),
        report_to=list(config.report_to) or "none",
        disable_tqdm=True,
        dataloader_pin_memory=accelerated,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        router_mapping={"contexts": "query", "responses": "document", "keys": "query"},
    )


def training_precision(wanted: str, *, accelerated: bool) -> str:
    """The precision to train in; "auto" is bf16 where it is computed natively, else fp32.

    Raises:
        ConfigError: fp16 was asked for on a CPU.
    """
    if wanted == "fp16" and not accelerated:
        raise ConfigError("precision fp16 needs a GPU; use bf16, fp32 or auto on a CPU")
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return "bf16" if native and not accelerated else "fp32"


def _freeze(student: BiEncoder, layers: int) -> None:
    """Take the embeddings and the first `layers` layers out of training, if there are any to freeze.

    So are the poolers of BERT-like models in any case: nothing reads them, and processes would wait.

    Raises:
        ConfigError: no layer would be left to train.
    """
    numbers = [
        int(found[1]) for name, _ in student.model.named_parameters() if (found := _LAYER.search(name))
    ]
    if layers > max(numbers, default=0):
        raise ConfigError(
            f"freeze_layers is {layers}, but this base has {len(set(numbers))} numbered layers; "
            "leave one to train at least, or 0 for none frozen"
        )
    first = "|".join(map(str, range(layers)))
    frozen = re.compile(rf"\.pooler\.|\.embeddings\.|\.layers?\.(?:{first})\." if layers else r"\.pooler\.")
    for name, parameter in student.model.named_parameters():
        if frozen.search(name):
            parameter.requires_grad_(False)
