"""Train the scorers on human dialogues: real replies against corrupted, random and hard ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import refuse_other
from g2r.dialogue import Context, Example
from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.evaluation.learned.corruption import CORRUPTIONS, corrupted
from g2r.evaluation.learned.features import Features
from g2r.evaluation.learned.heads import Head, PairHead, TextHead, TurnsHead, fit, new_head
from g2r.evaluation.learned.scorers import RECORD_FILE, ScorersRecord, save_scorers
from g2r.progress import Progress, silent
from g2r.student import BiEncoder

FEWEST = 50
_HELD_OUT = 0.1
_HARD = (5, 50)
"""A hard negative stands between these places by the base's own score: the first ones may well fit."""


@dataclass
class _Rows:
    """Training rows of one head: what it reads, whether it is good, whether its example is held out."""

    contexts: list[Context] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    good: list[bool] = field(default_factory=list)
    held_out: list[bool] = field(default_factory=list)

    def add(self, context: Context, response: str, good: bool, held_out: bool) -> None:
        self.contexts.append(context)
        self.responses.append(response)
        self.good.append(good)
        self.held_out.append(held_out)

    @property
    def labels(self) -> NDArray[np.bool_]:
        return np.array(self.good)

    @property
    def validation(self) -> NDArray[np.bool_]:
        return np.array(self.held_out)


def train_scorers(
    examples: Sequence[Example],
    *,
    base: str = "minilm",
    output: Path,
    contexts: int = 3_000,
    epochs: int = 12,
    seed: int = 0,
    progress: Progress = silent,
) -> ScorersRecord:
    """Train VUP, NUP and the MaUdE-style scorer on the original responses of split "train", and save them.

    VUP tells replies from their own with words in another order, left out or repeated. NUP tells a reply
    from a random and a hard one of another dialogue. The MaUdE-style scorer tells it from all of these; the
    paper's model-written negatives are hard ones here, and its back-translated ones are left out, since
    nothing here translates.

    Args:
        base: the frozen encoder: "minilm", a folder, or a hub name.
        output: folder the scorers are saved in.
        contexts: at most so many examples, drawn by seed; a tenth of their dialogues chooses the epoch.

    Raises:
        InputError: too few examples have an original response.
        ArtifactError: the folder holds something else, or cannot be written.
    """
    refuse_other(output, mark=RECORD_FILE)
    kept = _drawn(examples, contexts, seed)
    encoder = BiEncoder.load(base)
    features = Features(encoder)
    golds = [e.originals[0].text for e in kept]
    vectors = features.responses(golds)
    progress(1, 5, note="replies encoded")
    queries = features.contexts([e.context for e in kept])
    progress(2, 5, note="contexts encoded")
    utterances, following, both = _rows(kept, queries @ vectors.T, seed)
    size = features.dimensions
    heads: dict[str, Head] = {
        "vup": new_head(TextHead, size, seed=seed),
        "nup": new_head(PairHead, size, seed=seed),
        "maude": new_head(TurnsHead, size, seed=seed),
    }
    inputs = {
        "vup": (utterances, [features.responses(utterances.responses)]),
        "nup": (following, [features.contexts(following.contexts), features.responses(following.responses)]),
        "maude": (both, [features.turns(both.contexts), features.responses(both.responses)]),
    }
    accuracy, counts = {}, {"contexts": len(kept)}
    for done, (name, (rows, columns)) in enumerate(inputs.items(), 3):
        accuracy[name] = fit(heads[name], columns, rows.labels, rows.validation, epochs=epochs, seed=seed)
        counts[name] = len(rows.good)
        progress(done, 5, note=name)
    record = ScorersRecord(base, encoder.fingerprint, size, accuracy, counts)
    save_scorers(output, record, heads)
    return record


def _drawn(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    kept = [e for e in examples if e.split == "train" and e.originals]
    if len(kept) < FEWEST:
        raise InputError(
            f"{len(kept)} training examples with an original response, expected {FEWEST} or more"
        )
    rows = np.random.default_rng(seed).permutation(len(kept))[:count]
    return [kept[i] for i in sorted(rows)]


def _rows(kept: Sequence[Example], scores: NDArray[np.float32], seed: int) -> tuple[_Rows, _Rows, _Rows]:
    """The rows of VUP, NUP and the MaUdE-style scorer. `scores` are the base's, (examples, examples)."""
    generator = np.random.default_rng([seed, 1])
    dialogues = sorted({_dialogue(e) for e in kept})
    count = max(1, round(_HELD_OUT * len(dialogues)))
    held_out = {dialogues[i] for i in generator.permutation(len(dialogues))[:count]}
    utterances, following, both = _Rows(), _Rows(), _Rows()
    for row, example in enumerate(kept):
        aside = _dialogue(example) in held_out
        context, gold = example.context, example.originals[0].text
        for rows in (utterances, following, both):
            rows.add(context, gold, True, aside)
        for kind in CORRUPTIONS:
            worse = corrupted(gold, kind, generator)
            if worse is not None:
                utterances.add(context, worse, False, aside)
                both.add(context, worse, False, aside)
        for wrong in _wrong_replies(kept, row, scores[row], held_out, generator):
            following.add(context, wrong, False, aside)
            both.add(context, wrong, False, aside)
    return utterances, following, both


def _wrong_replies(
    kept: Sequence[Example],
    row: int,
    scores: NDArray[np.float32],
    held_out: set[str],
    generator: np.random.Generator,
) -> list[str]:
    """A random and a hard reply of another dialogue on the same side of the split, none of them the gold."""
    own = {normal_form(c.text) for c in kept[row].candidates}
    side = _dialogue(kept[row]) in held_out

    def fits(other: int) -> bool:
        e = kept[other]
        return (
            _dialogue(e) != _dialogue(kept[row])
            and (_dialogue(e) in held_out) == side
            and normal_form(e.originals[0].text) not in own
        )

    random_ones = [int(i) for i in generator.integers(len(kept), size=40) if fits(int(i))][:1]
    hard = [int(i) for i in np.argsort(-scores)[: 4 * _HARD[1]] if fits(int(i))][slice(*_HARD)]
    chosen = random_ones + ([hard[int(generator.integers(len(hard)))]] if hard else [])
    return [kept[i].originals[0].text for i in chosen]


def _dialogue(example: Example) -> str:
    return example.dialogue_id or example.context_id
