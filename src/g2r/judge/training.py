"""Train the judge: next utterances first, then what large models scored (METHOD: judge)."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g2r.artifacts import refuse_other, replacing
from g2r.config import JudgeConfig, parse_config
from g2r.dialogue import Example
from g2r.errors import DependencyError
from g2r.judge.data import JudgedResponses, OnPolicyList
from g2r.progress import Progress, silent
from g2r.training.checkpoints import claim, workplace, writing

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise DependencyError(f"training needs {error.name}: pip install 'g2r[train]'") from error

from g2r.judge.material import Material, measure, retriever
from g2r.judge.model import Judge
from g2r.judge.objective import ListTensors, order_loss, rating_loss
from g2r.judge.pairs import JUDGE_FILE
from g2r.training import LOG_FILE, training_precision

BEST, STATE = "best", "state.pt"

PAIRS_AT_ONCE = {"cpu": 32, "cuda": 512}
"""Pairs of like length in one forward pass, by device."""


def train_judge(
    examples: Sequence[Example],
    *,
    on_policy: Sequence[OnPolicyList] = (),
    output: Path,
    config: JudgeConfig | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Judge:
    """Train a judge from examples (next utterances; scored lists where candidates have judge scores).

    Of the examples split "train" trains and split "valid" measures hits@1; of the on-policy lists
    `valid_share` of the dialogues are kept apart, with their contexts wherever else these stand, and the judge whose rank correlation with them is best is
    kept (hits@1 without any). Leave out what is held out before (`g2r.judge.data.without_held_out`). The
    training leaves checkpoints beside `output` until it ends, and the same call goes on from the last.
    With `minutes` the number of steps depends on the machine's speed, else the result is the seed's.

    Args:
        examples: contexts with candidates.
        on_policy: what a student retrieved, rated.
        output: folder the judge is saved in.
        config: all settings; single ones may be given as `options`.
        progress: called after each step.

    Raises:
        ConfigError: an option is wrong, or there is nothing to train on.
        InputError: the base or the retriever is not there.
        ArtifactError: the output cannot be written, or holds something that is no judge.
    """
    output = Path(output)
    refuse_other(output, mark=JUDGE_FILE)
    config = parse_config(JudgeConfig, {**(config or JudgeConfig()).model_dump(), **options}, where="judge")
    torch.manual_seed(config.seed)
    judge = Judge.load(config.base, layers=config.layers).with_form(
        history=config.history, speaker_marks=config.speaker_marks, max_tokens=config.max_tokens
    )
    folder = workplace(output)
    with writing(output):
        claim(folder, _identity(examples, on_policy, judge, config))
        material = Material.of(examples, on_policy, config, nearest=retriever(examples, config))
        log = _Training(judge, material, config, folder, progress).run()
        best = Judge.load(folder / BEST)
        with replacing(output) as new:
            new.mkdir()
            best.write(new)
            (new / LOG_FILE).write_text("".join(json.dumps(entry) + "\n" for entry in log), encoding="utf-8")
        shutil.rmtree(folder)
    return best


def _identity(
    examples: Sequence[Example], on_policy: Sequence[OnPolicyList], judge: Judge, config: JudgeConfig
) -> str:
    """Names a training: equal only if it would see the same lists from the same start."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    digest.update(judge.fingerprint.encode())
    for item in (*examples, *on_policy):
        digest.update(repr(item).encode())
    return digest.hexdigest()


@dataclass
class _State:
    """How far a training has come; what a checkpoint holds beside the weights."""

    step: int = 0
    seconds: float = 0.0
    evaluations: int = 0
    best: float = -math.inf
    drawn: dict[str, int] = field(default_factory=dict)
    log: list[dict[str, float]] = field(default_factory=list)


def phase_at(done: float, pretrain_share: float, phases: int) -> tuple[int, float]:
    """Phase (0: next utterances, 1: scored lists) at the share `done` of a training, and the share of it done."""
    if phases == 1 or done < pretrain_share:
        return 0, done / (pretrain_share if phases > 1 else 1.0)
    return 1, (done - pretrain_share) / (1 - pretrain_share) if pretrain_share < 1 else 1.0


def learning_rate_at(done: float, peak: float, warmup: float) -> float:
    """Rises to `peak` over the share `warmup` of a phase, then falls to 0 at its end."""
    return peak * (done / warmup if done < warmup else max(0.0, 1 - done) / (1 - warmup))


class _Training:
    """One training, from the start or the last checkpoint."""

    def __init__(
        self, judge: Judge, material: Material, config: JudgeConfig, folder: Path, progress: Progress
    ) -> None:
        self.judge = judge
        self.material = material
        self.config = config
        self.folder = folder
        self.progress = progress
        self.state = _State()
        judge.freeze(config.freeze)
        head = judge.head()
        own = {id(p) for p in head}
        body = [p for p in judge.model.parameters() if p.requires_grad and id(p) not in own]
        groups = [{"params": body, "pace": 1.0}, {"params": head, "pace": config.head_rate}]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        precision = training_precision(config.precision, accelerated=judge.device.type != "cpu")
        self.autocast: Any = (
            torch.autocast(judge.device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
        )
        self.at_once = PAIRS_AT_ONCE.get(judge.device.type, 64)

    def run(self) -> list[dict[str, float]]:
        """Train to the end; the judge that is kept stands in `best`. Returns the log."""
        self._resume()
        while (done := self._done()) < 1:
            with self._timed():
                self._step(*phase_at(done, self.config.pretrain_share, self.material.phases))
                self.state.step += 1
            if self._done() * self.config.evals >= self.state.evaluations + 1:
                with self._timed():
                    self._evaluate()
            if self.state.step % self.config.checkpoint_steps == 0:
                self._checkpoint()
            self.progress(
                self.state.step, self._steps_in_all(), note=f"loss {self.state.log[-1].get('loss', 0):.3f}"
            )
        if not (self.folder / BEST).is_dir():
            self._keep({})
        return self.state.log

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.state.seconds += time.perf_counter() - started

    def _done(self) -> float:
        """Share of the training that is done, by steps or by time, whichever is further."""
        by_time = self.state.seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(self.state.step / self.config.max_steps, by_time)

    def _steps_in_all(self) -> int:
        return max(self.state.step, round(self.state.step / max(self._done(), 1e-9)))

    def _step(self, phase: int, done: float) -> None:
        config, started = self.config, time.perf_counter()
        peak = config.scored_learning_rate if phase else config.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = group["pace"] * learning_rate_at(done, peak, config.warmup_fraction)
        lists: list[JudgedResponses] = []
        for kind, count in self.material.shares(phase, config).items():
            step = self.state.drawn.get(kind, 0)
            easy = phase == 0 and done < config.easy_share
            lists += self.material.draw(kind, count, step, config, easy=easy)
            self.state.drawn[kind] = step + 1
        torch.manual_seed(config.seed * 1_000_003 + self.state.step)  # dropout, the same after a resume
        self.judge.model.train()
        logits, tensors = self._forward(lists)
        order = order_loss(logits, tensors, temperature=config.temperature)
        rating = rating_loss(logits, tensors)
        loss = order + config.absolute * rating
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.judge.model.parameters(), config.max_grad_norm)
        self.optimizer.step()
        self._log(
            phase=phase,
            loss=loss.item(),
            order=order.item(),
            rating=rating.item(),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            pairs=int(tensors.real.sum()),
            step_seconds=round(time.perf_counter() - started, 3),
        )

    def _forward(self, lists: list[JudgedResponses]) -> tuple[Tensor, ListTensors]:
        """Logits of the lists side by side (B, K), and what they should be."""
        pairs = [pair for item in lists for pair in self.judge.pairs.tokens(item.context, item.responses)]
        with self.autocast:
            flat = self.judge.logits(pairs, at_once=self.at_once)
        tensors = ListTensors.of(lists, self.judge.device)
        logits = torch.zeros(tensors.real.shape, device=self.judge.device)
        return logits.masked_scatter(tensors.real, flat.float()), tensors

    def _evaluate(self) -> None:
        """Measure on the lists kept apart, and keep the judge if it is the best so far."""
        self.judge.model.eval()
        measured = measure(self.judge, self.material)
        self.state.evaluations = math.floor(self._done() * self.config.evals)
        self._log(**measured)
        chief = next((measured[name] for name in ("rho", "hits@1") if name in measured), None)
        if chief is not None and chief > self.state.best:
            self.state.best = chief
            self._keep(measured)

    def _keep(self, measured: Mapping[str, float]) -> None:
        self.judge.training = {**self.material.counts(), "step": self.state.step, **measured}
        self.judge.save(self.folder / BEST)

    def _log(self, **values: float) -> None:
        entry = {"step": self.state.step, **{k: round(v, 6) for k, v in values.items()}}
        self.state.log.append(entry)
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")

    def _checkpoint(self) -> None:
        whole = {
            "model": self.judge.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": vars(self.state),
        }
        with replacing(self.folder / STATE) as new:
            torch.save(whole, new)

    def _resume(self) -> None:
        path = self.folder / STATE
        if path.is_file():
            whole = torch.load(path, map_location=self.judge.device, weights_only=True)
            self.judge.model.load_state_dict(whole["model"])
            self.optimizer.load_state_dict(whole["optimizer"])
            self.state = _State(**whole["state"])
        elif (self.folder / BEST).is_dir():
            shutil.rmtree(self.folder / BEST)
        lines = "".join(json.dumps(entry) + "\n" for entry in self.state.log)
        (self.folder / LOG_FILE).write_text(lines, encoding="utf-8")
