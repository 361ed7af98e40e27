"""The comparison that closes a run: its students, its banks and the controls on held-out contexts, as a report."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g2r.artifacts import read_manifest
from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.config import IndexConfig, ReportConfig, parse_config
from g2r.dialogue import Example
from g2r.encoder import Encoder
from g2r.errors import DependencyError, InputError
from g2r.evaluation.leakage import Leakage, find_leaks
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.replies import (
    measure_replies,
    ratings_on_record,
    reply_table,
    reply_to_all,
    side_by_side,
)
from g2r.evaluation.report import Section, write_report
from g2r.evaluation.scorers import MemoEncoder, bm25_scorer, encoder_scorer
from g2r.evaluation.selection import Selection, SelectionList, evaluate_selection
from g2r.evaluation.students import LONG, Comparison, compare_selections, longest_lists
from g2r.evaluation.systems import Bm25System, BotSystem, HumanSystem, RandomSystem, SystemReply
from g2r.index.base import encode_views
from g2r.index.faiss import FaissIndex
from g2r.progress import Progress, silent

UNTRAINED, BM25 = "untrained base", "BM25"
SAID, DRAWN = "original reply", "random reply"
"""Controls; with a space, which the name of a student cannot have."""

SERVED = "bank"
"""The bank of the bot; the others were made to compare."""


@dataclass
class _Results:
    """What was found so far, by student (one entry a seed) and by system."""

    lists: list[SelectionList]
    examples: list[Example]
    selections: dict[str, list[Selection]] = field(default_factory=lambda: defaultdict(list))
    replies: dict[str, list[SystemReply]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def write_comparison(
    examples: Sequence[Example],
    *,
    students: Mapping[str, Path],
    banks: Mapping[str, Path],
    base: str,
    config: ReportConfig | None = None,
    output: Path,
    progress: Progress = silent,
) -> Mapping[str, Any]:
    """Compare students and banks on the test split and write the report; return its counts.

    Args:
        examples: all splits; leaks of the test split into the others are looked for.
        students: folders by name, in the order of the table; NAME@SEED is a further training seed of NAME.
            Differences are to the first one.
        banks: folders of banks with their index by name; each is searched by each student's first seed.
        base: what the students were trained from: the untrained control.

    Raises:
        InputError: no held-out context has an original response, or a student or bank cannot be read.
        ArtifactError: the report cannot be written.
    """
    from g2r.student import BiEncoder

    config = config or ReportConfig()
    test = held_out(examples, config.sources)
    lists = longest_lists(test, candidates=config.candidates, contexts=config.contexts, seed=config.seed)
    by_id = {e.context_id: e for e in reversed(test)}
    results = _Results(lists, [by_id[item.context_id] for item in lists])
    loaded = {name: _sampled(ResponseBank.load(path), config) for name, path in banks.items()}
    steps = 2 + len(students)
    places: dict[str, str | Path] = {UNTRAINED: base, **students}
    for done, (label, place) in enumerate(places.items()):
        encoder = MemoEncoder(BiEncoder.load(place))
        _add_student(results, label, encoder, loaded, banks, config)
        progress(done + 1, steps, note=label)
    _add_controls(results, loaded, config)
    reference = _reference(students)
    leakage = find_leaks(
        results.examples,
        bank=ResponseBank.load(banks[SERVED]).texts if SERVED in banks else (),
        training=[e for e in examples if e.split == "train"],
    )
    comparison = compare_selections(
        results.selections, reference=reference, candidates=config.candidates, seed=config.seed
    )
    sections = [
        _selection_section(comparison, results.missing),
        *_clean_section(results.selections, leakage, reference, config),
        *_reply_sections(results, config),
        _leak_section(leakage),
    ]
    write_report(output, sections, _items(results, leakage), title="Comparison")
    progress(steps, steps, note="report")
    hits = {row.name: row.hits[config.candidates] for row in comparison.rows}
    return {
        "contexts": comparison.contexts,
        **{
            f"hits@1/{config.candidates} {name}": round(value.value, 4)
            for name, value in hits.items()
            if not isinstance(value, NotComputed)
        },
    }


def held_out(examples: Sequence[Example], sources: Sequence[str] = ()) -> list[Example]:
    """The test examples with an original response, of the given sources only.

    Raises:
        InputError: there is none.
    """
    test = [
        e
        for e in examples
        if e.split == "test" and any(not sources or c.source in sources for c in e.originals)
    ]
    if not test:
        wanted = f" from {', '.join(sources)}" if sources else ""
        raise InputError(
            f"none of {len(examples)} examples is a test example with an original response{wanted}; "
            "raise data.test_fraction or mend report.sources"
        )
    return test


def _add_student(
    results: _Results,
    label: str,
    encoder: Encoder,
    banks: Mapping[str, ResponseBank],
    folders: Mapping[str, Path],
    config: ReportConfig,
) -> None:
    """Let one student choose in the lists and, if it is the first seed of its name, reply from every bank."""
    name = _name(label)
    results.selections[name].append(
        evaluate_selection(encoder_scorer(encoder), results.lists, sizes=(config.candidates, LONG))
    )
    if label != name:
        return
    contexts = [e.context for e in results.examples]
    for bank_name, bank in banks.items():
        index = _index_for(bank, folders[bank_name], encoder)
        encode_views(encoder, contexts, index.views)
        system = BotSystem(Bot(encoder, bank, index))
        results.replies[_pair(name, bank_name)] = reply_to_all(system, contexts)


def _sampled(bank: ResponseBank, config: ReportConfig) -> ResponseBank:
    """The bank, or so many of its responses as the report may search, drawn by seed."""
    if config.responses is None or len(bank) <= config.responses:
        return bank
    rows = random.Random(config.seed).sample(range(len(bank)), config.responses)
    return ResponseBank.from_responses(bank[row] for row in rows)


def _index_for(bank: ResponseBank, folder: Path, encoder: Encoder) -> FaissIndex:
    """The bank's index if it was built for this encoder, else an exact one of the same keys that is."""
    manifest = read_manifest(folder / "index")
    if manifest is None:
        raise InputError(f"no index in {folder}; make it with g2r index")
    if manifest.inputs == {"encoder": encoder.fingerprint, "bank": bank.version}:
        return FaissIndex.load(folder / "index", bank=bank, encoder=encoder)
    built = parse_config(IndexConfig, manifest.config, where=str(folder))
    exact = built.model_copy(update={"kind": "flat", "min_recall_at_1": 0.0, "min_recall_at_10": 0.0})
    return FaissIndex.build(bank, encoder, exact)


def _reference(students: Mapping[str, Path]) -> str:
    """What the others are compared with: the first student, or the untrained base if there is but one."""
    names = list(dict.fromkeys(_name(label) for label in students))
    return names[0] if len(names) > 1 else UNTRAINED


def _name(label: str) -> str:
    """The student that a label names, whatever its seed."""
    return label.partition("@")[0]


def _pair(student: str, bank: str) -> str:
    return student if bank == SERVED else f"{student}, {bank} bank"


def _add_controls(results: _Results, banks: Mapping[str, ResponseBank], config: ReportConfig) -> None:
    contexts = [e.context for e in results.examples]
    results.replies[SAID] = reply_to_all(HumanSystem(results.examples), contexts)
    texts = banks[SERVED].texts if SERVED in banks else []
    if texts:
        results.replies[DRAWN] = reply_to_all(RandomSystem(texts, seed=config.seed), contexts)
    try:
        sizes = (config.candidates, LONG)
        results.selections[BM25] = [evaluate_selection(bm25_scorer(), results.lists, sizes=sizes)]
        if texts:
            results.replies[BM25] = reply_to_all(Bm25System(texts), contexts)
    except DependencyError as error:
        results.missing.append(f"{BM25}: not computed, {error}.")


def _selection_section(comparison: Comparison, missing: Sequence[str]) -> Section:
    chance = 1 / comparison.candidates
    text = (
        f"Which of {comparison.candidates} responses was said? One is the original, the others are original "
        f"responses of other dialogues; {comparison.contexts} held-out contexts, chance {chance:.3f}, 0.95 bootstrap "
        f"intervals over contexts, paired permutation tests against {comparison.reference}. "
        "It shows who imitates people, not who replies best."
    )
    return Section(
        "Choosing the original response", " ".join([text, *missing]), comparison.table(), comparison
    )


def _clean_section(
    selections: Mapping[str, Sequence[Selection]], leakage: Leakage, reference: str, config: ReportConfig
) -> list[Section]:
    """The same without the contexts that leaked, if any did and some are left."""
    if not leakage.leaks or not leakage.clean:
        return []
    clean = {name: [own.restricted_to(leakage.clean) for own in each] for name, each in selections.items()}
    comparison = compare_selections(
        clean, reference=reference, candidates=config.candidates, seed=config.seed
    )
    text = f"The same on the {comparison.contexts} contexts of which nothing leaked."
    return [Section("Without what leaked", text, comparison.table(), comparison)]


def _reply_sections(results: _Results, config: ReportConfig) -> list[Section]:
    text = (
        "First replies of every student from every bank, and of the controls, on the same contexts and under the "
        "same repeat rule"
        + (f", each bank cut to {config.responses:,} responses drawn by seed" if config.responses else "")
        + ". Dist-n falls with the number of tokens: compare it at equal tokens."
    )
    try:
        measured = measure_replies(
            results.replies,
            results.examples,
            ratings=ratings_on_record(results.examples),
            seed=config.seed,
        )
        sections = [Section("Replies", text, reply_table(measured), measured)]
    except DependencyError as error:
        sections = [Section("Replies", f"Not computed: {error}.")]
    shown = results.examples[:: max(1, len(results.examples) // max(1, config.side_by_side))]
    places = [results.examples.index(e) for e in shown[: config.side_by_side]]
    if places:
        columns = {
            name: [own[i] for i in places]
            for name, own in results.replies.items()
            if ", " not in name and name not in (DRAWN, BM25)
        }
        contexts = [results.examples[i].context for i in places]
        sections.append(Section("Side by side", "First replies.", side_by_side(columns, contexts)))
    return sections


def _leak_section(leakage: Leakage) -> Section:
    counts = leakage.counts()
    found = ", ".join(f"{what}: {n}" for what, n in counts.items()) or "none"
    text = (
        f"Test texts found in the served bank or the training data, of {leakage.contexts} contexts: {found}. "
        "Near is a Jaccard likeness of 0.85 or more; responses under 4 words are not looked for."
    )
    return Section("Leaks", text, values=counts)


def _items(results: _Results, leakage: Leakage) -> list[dict[str, Any]]:
    """One record a context: ranks by student and seed, replies by system.

    No timings: what was encoded for one bank is not encoded again for the next.
    """
    leaks = defaultdict(list)
    for leak in leakage.leaks:
        leaks[leak.context_id].append(leak)
    return [
        {
            "context_id": e.context_id,
            "turns": e.context,
            "original": e.originals[0].text,
            "ranks": {
                name: {size: [int(own.ranks[size][i]) for own in seeds] for size in seeds[0].ranks}
                for name, seeds in results.selections.items()
            },
            "replies": {name: own[i].text for name, own in results.replies.items()},
            "leaks": leaks[e.context_id],
        }
        for i, e in enumerate(results.examples)
    ]
