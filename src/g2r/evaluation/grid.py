"""The student x bank grid: who replies from what, and who chooses in which lists (EVALUATION: controls)."""

import hashlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import read_manifest
from g2r.bank import ResponseBank
from g2r.bot import Bot, open_encoder
from g2r.config import IndexConfig, ReportConfig, parse_config
from g2r.dialogue import Context, Example
from g2r.encoder import Encoder, key_fingerprint
from g2r.errors import InputError
from g2r.evaluation.exams import Exam
from g2r.evaluation.metrics import Floats
from g2r.evaluation.replies import reply_to_all
from g2r.evaluation.rules import ReplyRules
from g2r.evaluation.scorers import MemoEncoder, Scorer, context_key_scorer, encoder_scorer
from g2r.evaluation.selection import Selection, SelectionList, evaluate_selection
from g2r.evaluation.students import LONG
from g2r.evaluation.systems import BotSystem, SystemReply
from g2r.index.base import encode_views
from g2r.index.faiss import FaissIndex

SERVED = "bank"
"""The bank of the bot; the others were made to compare."""


@dataclass
class Results:
    """What was found so far.

    Attributes:
        lists: of the original among others, one a held-out context.
        examples: the held-out contexts, in the same order.
        selections: by scorer, one for each training seed.
        taken: by exam and scorer, the values of each training seed.
        replies: by system, one a context.
        missing: what could not be computed, and why.
    """

    lists: list[SelectionList]
    examples: list[Example]
    selections: dict[str, list[Selection]] = field(default_factory=lambda: defaultdict(list))
    taken: dict[str, dict[str, list[Floats]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    replies: dict[str, list[SystemReply]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def contexts(self) -> list[Context]:
        return [e.context for e in self.examples]


@dataclass(frozen=True, slots=True)
class Banks:
    """The banks of a run, each whole and as far as it is searched, with their folders."""

    whole: Mapping[str, ResponseBank]
    searched: Mapping[str, ResponseBank]
    folders: Mapping[str, Path]
    without: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        folders: Mapping[str, Path],
        *,
        responses: int | None,
        seed: int,
        without: tuple[str, ...] = (),
    ) -> "Banks":
        """Load banks and cut them to `responses` that may be said: not banned, with none of the tags `without`.

        Raises:
            InputError: there is no bank in a folder, or none of its responses may be said.
        """
        whole = {name: ResponseBank.load(path) for name, path in folders.items()}
        searched = {name: _cut(bank, responses, seed, without) for name, bank in whole.items()}
        return cls(whole, searched, folders, without)

    @property
    def served(self) -> list[str]:
        """What may be said from the served bank, for the controls; empty if there is none."""
        if SERVED not in self.searched:
            return []
        bank = self.searched[SERVED]
        return [bank.text(int(row)) for row in np.flatnonzero(_sayable(bank, self.without))]


def _sayable(bank: ResponseBank, without: tuple[str, ...]) -> NDArray[np.bool_]:
    return bank.allowed(without=without)


def _cut(bank: ResponseBank, responses: int | None, seed: int, without: tuple[str, ...]) -> ResponseBank:
    """The bank, or so many of its responses that may be said; banks that share responses share the draw."""
    allowed = np.flatnonzero(_sayable(bank, without))
    if not len(allowed):
        kinds = f" or tagged {', '.join(without)}" if without else ""
        raise InputError(f"all {len(bank)} responses of the bank are banned{kinds}; it has nothing to say")
    if responses is None or len(allowed) <= responses:
        return bank
    drawn = sorted(allowed, key=lambda row: _lot(seed, bank.response_id(int(row))))[:responses]
    return ResponseBank.from_responses(bank[int(row)] for row in drawn)


def _lot(seed: int, response_id: str) -> bytes:
    return hashlib.sha256(f"{seed} {response_id}".encode()).digest()


def student_name(label: str) -> str:
    """The student that a label names, whatever its seed."""
    return label.partition("@")[0]


def system_name(student: str, bank: str) -> str:
    """How the report calls a student on a bank."""
    return student if bank == SERVED else f"{student}, {bank} bank"


def open_student(place: str | Path) -> MemoEncoder:
    """A student on ONNX Runtime where it was exported, else on torch; or a base by its name.

    Raises:
        InputError: there is none.
    """
    if Path(place).is_dir():
        return MemoEncoder(open_encoder(Path(place), precision="fp32"))
    from g2r.student import BiEncoder

    return MemoEncoder(BiEncoder.load(place))


def examine_student(
    results: Results,
    label: str,
    encoder: Encoder,
    banks: Banks,
    exams: Sequence[Exam],
    config: ReportConfig,
    rules: ReplyRules,
) -> dict[str, BotSystem]:
    """Let one student choose in all lists and, as the first seed of its name, reply from every bank.

    Returns:
        Its bots by bank.
    """
    name = student_name(label)
    # First of all, while the encoder remembers no context: what encoding takes is measured here.
    bots = bots_of(encoder, banks, results.contexts, rules) if label == name else {}
    for bank, system in bots.items():
        results.replies[system_name(name, bank)] = reply_to_all(system, results.contexts)
    results.selections[name].append(
        evaluate_selection(encoder_scorer(encoder), results.lists, sizes=(config.candidates, LONG))
    )
    for exam in exams:
        for suffix, scorer in _forms(exam, encoder).items():
            results.taken[exam.name][f"{name}{suffix}"].append(exam.take(scorer))
    return bots


def _forms(exam: Exam, encoder: Encoder) -> dict[str, Scorer]:
    """By what keys a student sits an exam, as a suffix to its name."""
    forms = {"": encoder_scorer(encoder)}
    if exam.written_for:
        forms[", context keys"] = context_key_scorer(encoder, exam.written_for)
        forms[", both keys"] = context_key_scorer(encoder, exam.written_for, response_key=1.0)
    return forms


def bots_of(
    encoder: Encoder, banks: Banks, contexts: Sequence[Context], rules: ReplyRules
) -> dict[str, BotSystem]:
    """A student on every bank, by the run's rules.

    Each context is encoded alone and once: what that takes counts for every bank.
    """
    indexes = {name: _index_for(bank, banks.folders[name], encoder) for name, bank in banks.searched.items()}
    views = tuple(dict.fromkeys(view for index in indexes.values() for view in index.views))
    spent: dict[Context, float] = {}
    for context in contexts if views else ():
        start = time.perf_counter()
        encode_views(encoder, [context], views)
        spent.setdefault(context, (time.perf_counter() - start) * 1000)
    return {
        name: BotSystem(
            Bot(encoder, banks.searched[name], index, config=rules.config, reranker=rules.reranker),
            encoding_ms=spent,
        )
        for name, index in indexes.items()
    }


def _index_for(bank: ResponseBank, folder: Path, encoder: Encoder) -> FaissIndex:
    """The bank's index if it was built for this encoder, else an exact one of the same keys that is."""
    manifest = read_manifest(folder / "index")
    if manifest is None:
        raise InputError(f"no index in {folder}; make it with g2r index")
    if manifest.inputs == {"encoder": key_fingerprint(encoder), "bank": bank.version}:
        return FaissIndex.load(folder / "index", bank=bank, encoder=encoder)
    built = parse_config(IndexConfig, manifest.config, where=str(folder))
    exact = built.model_copy(update={"kind": "flat", "min_recall_at_1": 0.0, "min_recall_at_10": 0.0})
    return FaissIndex.build(bank, encoder, exact)
