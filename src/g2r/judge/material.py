"""What the judge is trained and measured on: examples and on-policy lists sorted by use, drawn by seed and step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from g2r.config import JudgeConfig
from g2r.dialogue import Context, Example
from g2r.encoder import Encoder
from g2r.errors import ConfigError
from g2r.evaluation.metrics import first_choice_good, hits_at, ranks, spearman
from g2r.judge.data import (
    JudgedResponses,
    Nearest,
    NegativeCounts,
    NegativeSource,
    OnPolicyList,
    contrasted_list,
    fitting_responses,
    next_utterance_list,
    scored_lists,
    split_by_dialogue,
    without_contexts,
)
from g2r.judge.model import Judge
from g2r.student import BiEncoder
from g2r.training.batches import Schedule

KINDS = NEXT, ON_POLICY, SCORED = "next_utterance", "on_policy", "scored"
MOST_VALID = 100
"""Lists of each kind that an evaluation looks at, at most."""

NEAREST = 30
"""Responses retrieved for a context, of which negatives are drawn."""


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


def retriever(examples: Sequence[Example], config: JudgeConfig) -> Nearest | None:
    """What finds hard negatives among the training responses, None if none are asked for."""
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
        nearest: Nearest | None = None,
    ) -> "Material":
        """Sort what is given by use. Contexts of the lists that measure are in no phase of the training.

        Raises:
            ConfigError: no context has a fitting response.
        """
        counts = NegativeCounts(
            **{
                name: getattr(config, name)
                for name in ("random", "wrong_turn", "speaker", "said", "retrieved")
            }
        )
        kept_apart = split_by_dialogue(
            [i.dialogue_id for i in on_policy], config.valid_share, seed=config.seed
        )
        apart = [i for i in on_policy if i.dialogue_id in kept_apart]
        asked = [i.context for i in apart]
        train = without_contexts([e for e in examples if e.split == "train"], asked)
        fitting = [e for e in train if fitting_responses(e)]
        if not fitting or not counts.total:
            raise ConfigError(
                "no context of split 'train' has a fitting response, or no negatives are asked for; "
                "expected dialogues with responses, and one negative a list at least"
            )
        negatives = NegativeSource(train, counts, nearest=nearest)
        valid = [e for e in examples if e.split == "valid" and fitting_responses(e)]
        generator = np.random.default_rng([config.seed, 4])
        drawn = generator.permutation(len(valid))[:MOST_VALID]
        negatives.look_up([valid[i].context for i in drawn])
        return cls(
            next_utterances=fitting,
            scored=scored_lists(train),
            on_policy=without_contexts([i for i in on_policy if i.dialogue_id not in kept_apart], asked),
            negatives=negatives,
            valid_next=[next_utterance_list(valid[i], negatives, generator) for i in drawn],
            valid_scored=[i.judged() for i in apart[:MOST_VALID]],
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

    def draw(
        self, kind: str, count: int, step: int, config: JudgeConfig, *, easy: bool = False
    ) -> list[JudgedResponses]:
        """The `count` lists of a kind that train in its step `step`: the seed's and the step's alone.

        Args:
            easy: next utterances against random negatives alone: what topics go together is learned first.
        """
        items: Sequence[Any] = {NEXT: self.next_utterances, ON_POLICY: self.on_policy, SCORED: self.scored}[
            kind
        ]
        generator = np.random.default_rng([config.seed, 5, KINDS.index(kind), step])
        places = Schedule(len(items), count, config.seed).step(step)
        chosen = [items[place.context] for place in places]
        if kind == ON_POLICY:
            return [item.judged() for item in chosen]
        if easy:
            return [next_utterance_list(i, self.negatives, generator, easy=True) for i in chosen]
        self.negatives.look_up([item.context for item in chosen])
        if kind == NEXT:
            return [next_utterance_list(item, self.negatives, generator) for item in chosen]
        return [contrasted_list(item, self.negatives, config.contrast, generator) for item in chosen]

    @property
    def phases(self) -> int:
        return 2 if self.scored or self.on_policy else 1


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
