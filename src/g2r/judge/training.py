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

import numpy as np

from g2r.artifacts import refuse_other, replacing
from g2r.config import JudgeConfig, parse_config
from g2r.dialogue import Context, Example
from g2r.encoder import Encoder
from g2r.errors import ConfigError, DependencyError
from g2r.evaluation.metrics import first_choice_good, hits_at, ranks, spearman
from g2r.judge.data import (
    JudgedResponses,
    NegativeCounts,
    NegativeSource,
    OnPolicyList,
    contrasted_list,
    fitting_responses,
    next_utterance_list,
    scored_lists,
    split_by_dialogue,
)
from g2r.progress import Progress, silent
from g2r.training.batches import Schedule
from g2r.training.checkpoints import claim, workplace, writing

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise DependencyError(f"training needs {error.name}: pip install 'g2r[train]'") from error

from g2r.judge.model import Judge
from g2r.judge.objective import ListTensors, order_loss, rating_loss
from g2r.judge.pairs import JUDGE_FILE
from g2r.student import BiEncoder
from g2r.training import LOG_FILE, training_precision

KINDS = NEXT, ON_POLICY, SCORED = "next_utterance", "on_policy", "scored"
BEST, STATE = "best", "state.pt"
MOST_VALID = 100
"""Lists of each kind that an evaluation looks at, at most."""

NEAREST = 30
"""Responses retrieved for a context, of which negatives are drawn."""

PAIRS_AT_ONCE = {"cpu": 32, "cuda": 512}


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
    `valid_share` of the dialogues are kept apart, and the judge whose rank correlation with them is best is
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
        material = Material.of(examples, on_policy, config, nearest=_nearest(examples, config))
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


class _Retriever:
    """The responses of a pool nearest to each context, by an encoder."""

    def __init__(self, encoder: Encoder, pool: Sequence[str]) -> None:
        self.encoder = encoder
        self.pool = pool
        self.keys = encoder.encode_responses(pool)

    def __call__(self, contexts: Sequence[Context]) -> list[list[str]]:
        count = min(NEAREST, len(self.pool))
        found = []
        for scores in self.encoder.encode_contexts(contexts) @ self.keys.T:
            nearest = np.argpartition(-scores, count - 1)[:count]
            found.append([self.pool[i] for i in nearest[np.argsort(-scores[nearest])]])
        return found


def _nearest(examples: Sequence[Example], config: JudgeConfig) -> _Retriever | None:
    if not config.retrieved or not config.retriever:
        return None
    pool = list(dict.fromkeys(c.text for e in examples if e.split == "train" for c in e.candidates))
    drawn = np.random.default_rng([config.seed, 3]).permutation(len(pool))[: config.retrieved_pool]
    return _Retriever(BiEncoder.load(config.retriever), [pool[i] for i in sorted(drawn)]) if pool else None


@dataclass(frozen=True, slots=True)
class Material:
    """What a training draws its lists from.

    Attributes:
        next_utterances: contexts with a fitting response.
        scored: contexts whose candidates are rated.
        on_policy: rated lists of what a student retrieved.
        negatives: wrong responses.
        valid_next, valid_scored: lists that measure, the same at each evaluation.
    """

    next_utterances: Sequence[Example]
    scored: Sequence[Example]
    on_policy: Sequence[OnPolicyList]
    negatives: NegativeSource
    valid_next: Sequence[JudgedResponses] = ()
    valid_scored: Sequence[JudgedResponses] = ()

    @classmethod
    def of(
        cls,
        examples: Sequence[Example],
        on_policy: Sequence[OnPolicyList],
        config: JudgeConfig,
        *,
        nearest: _Retriever | None = None,
    ) -> "Material":
        """Sort what is given by use.

        Raises:
            ConfigError: no context has a fitting response.
        """
        counts = NegativeCounts(
            **{
                name: getattr(config, name)
                for name in ("random", "wrong_turn", "speaker", "said", "retrieved")
            }
        )
        train = [e for e in examples if e.split == "train"]
        fitting = [e for e in train if fitting_responses(e)]
        if not fitting or not counts.total:
            raise ConfigError(
                "no context of split 'train' has a fitting response, or no negatives are asked for; "
                "expected dialogues with responses, and one negative a list at least"
            )
        kept_apart = split_by_dialogue(
            [i.dialogue_id for i in on_policy], config.valid_share, seed=config.seed
        )
        negatives = NegativeSource(train, counts, nearest=nearest)
        valid = [e for e in examples if e.split == "valid" and fitting_responses(e)]
        generator = np.random.default_rng([config.seed, 4])
        drawn = generator.permutation(len(valid))[:MOST_VALID]
        negatives.look_up([valid[i].context for i in drawn])
        measured = [i.judged() for i in on_policy if i.dialogue_id in kept_apart]
        return cls(
            next_utterances=fitting,
            scored=scored_lists(train),
            on_policy=[i for i in on_policy if i.dialogue_id not in kept_apart],
            negatives=negatives,
            valid_next=[next_utterance_list(valid[i], negatives, generator) for i in drawn],
            valid_scored=measured[:MOST_VALID],
        )

    def counts(self) -> dict[str, int]:
        return {
            NEXT: len(self.next_utterances),
            SCORED: len(self.scored),
            ON_POLICY: len(self.on_policy),
            "valid_next": len(self.valid_next),
            "valid_scored": len(self.valid_scored),
        }

    def shares(self, phase: int, config: JudgeConfig) -> dict[str, int]:
        """Lists of each kind in a step; a kind that is not there leaves its share to the others."""
        if phase == 0:
            return {NEXT: config.batch_lists}
        wanted = {
            ON_POLICY: config.onpolicy_share if self.on_policy else 0.0,
            NEXT: config.replay_share,
        }
        wanted[SCORED] = max(0.0, 1.0 - sum(wanted.values())) if self.scored else 0.0
        total = sum(wanted.values()) or 1.0
        counts = {kind: round(config.batch_lists * share / total) for kind, share in wanted.items()}
        return {kind: count for kind, count in counts.items() if count} or {NEXT: config.batch_lists}

    def draw(self, kind: str, count: int, step: int, config: JudgeConfig) -> list[JudgedResponses]:
        """The `count` lists of a kind that train in its step `step`: the seed's and the step's alone."""
        items: Sequence[Any] = {NEXT: self.next_utterances, ON_POLICY: self.on_policy, SCORED: self.scored}[
            kind
        ]
        generator = np.random.default_rng([config.seed, 5, KINDS.index(kind), step])
        places = Schedule(len(items), count, config.seed).step(step)
        chosen = [items[place.context] for place in places]
        if kind == ON_POLICY:
            return [item.judged() for item in chosen]
        self.negatives.look_up([item.context for item in chosen])
        if kind == NEXT:
            return [next_utterance_list(item, self.negatives, generator) for item in chosen]
        return [contrasted_list(item, self.negatives, config.contrast, generator) for item in chosen]

    @property
    def phases(self) -> int:
        return 2 if self.scored or self.on_policy else 1


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
        parameters = [p for p in judge.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, weight_decay=config.weight_decay)
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
            group["lr"] = learning_rate_at(done, peak, config.warmup_fraction)
        lists: list[JudgedResponses] = []
        for kind, count in self.material.shares(phase, config).items():
            step = self.state.drawn.get(kind, 0)
            lists += self.material.draw(kind, count, step, config)
            self.state.drawn[kind] = step + 1
        torch.manual_seed(config.seed * 1_000_003 + self.state.step)  # dropout, the same after a resume
        self.judge.model.train()
        logits, tensors = self._forward(lists)
        order = order_loss(logits, tensors, temperature=config.temperature)
        rating = rating_loss(logits, tensors)
        loss = order + config.absolute * rating
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
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


def measure(judge: Judge, material: Material) -> dict[str, float]:
    """rho: mean Spearman with the ratings; first_good: share of first choices rated 6 or more; hits@1."""
    measured: dict[str, float] = {}
    rated = material.valid_scored
    if rated:
        found = judge.score_lists([i.context for i in rated], [i.responses for i in rated])
        given = [i.scores for i in rated]
        measured["rho"] = float(np.nanmean(spearman(found, given)))
        measured["first_good"] = float(first_choice_good(found, given).mean())
        gaps = [np.abs(a - np.asarray(b)).mean() for a, b in zip(found, given, strict=True)]
        measured["absolute_error"] = float(np.mean(gaps))
    lists = material.valid_next
    if lists:
        scores = judge.score_lists([i.context for i in lists], [i.responses for i in lists])
        measured["hits@1"] = hits_at(ranks(np.stack(scores)), 1)
    return measured
