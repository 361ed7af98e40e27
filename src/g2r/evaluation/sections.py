"""The parts of a comparison's report: what was measured as tables, with how to read them."""

from collections.abc import Mapping, Sequence

import numpy as np

from g2r.config import ReportConfig
from g2r.errors import DependencyError
from g2r.evaluation.diversity import distinct_differences
from g2r.evaluation.grid import Banks, Results
from g2r.evaluation.leakage import Leakage
from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.paired import Values, compare_values, p_text
from g2r.evaluation.replies import measure_replies, ratings_on_record, reply_table, side_by_side
from g2r.evaluation.report import Section
from g2r.evaluation.rivals import BM25, DRAWN
from g2r.evaluation.rules import ReplyRules
from g2r.evaluation.selection import Selection
from g2r.evaluation.significance import bootstrap_mean
from g2r.evaluation.students import Comparison, compare_selections
from g2r.evaluation.systems import SystemReply
from g2r.evaluation.tables import Value, table


def selection_section(comparison: Comparison, missing: Sequence[str]) -> Section:
    """Tier C: who chooses what was said."""
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


def clean_section(
    selections: Mapping[str, Sequence[Selection]], leakage: Leakage, reference: str, config: ReportConfig
) -> list[Section]:
    """The same without the contexts that leaked, if any did."""
    if not leakage.leaks:
        return []
    if not leakage.clean:
        return [_all_leaked("Without what leaked", leakage)]
    clean = {name: [own.restricted_to(leakage.clean) for own in each] for name, each in selections.items()}
    comparison = compare_selections(
        clean, reference=reference, candidates=config.candidates, seed=config.seed
    )
    text = f"The same on the {comparison.contexts} contexts of which nothing leaked."
    return [Section("Without what leaked", text, comparison.table(), comparison)]


def standing_section(
    title: str,
    text: str,
    values: Values,
    *,
    measure: str,
    reference: str,
    clean: Sequence[bool],
    bounds: Mapping[str, Floats] | None = None,
    seed: int,
) -> Section:
    """Systems by one measure, against the reference, and the same without the items that leaked."""
    standings = compare_values(values, reference=reference, seed=seed)
    kept = np.asarray(clean, dtype=np.bool_)
    leaked = int((~kept).sum())
    without = {
        name: bootstrap_mean(own[kept & ~np.isnan(own)], seed=seed)
        for name, own in ((name, np.mean(seeds, axis=0)) for name, seeds in values.items())
    }
    several = any(s.seeds for s in standings)
    limits = {name: bootstrap_mean(own, seed=seed) for name, own in (bounds or {}).items()}
    blank: tuple[Value, ...] = (None, None)
    rows: list[tuple[Value, ...]] = [
        (name, value, *blank, *([None] if leaked else []), *([None] if several else []))
        for name, value in limits.items()
    ]
    rows += [
        (
            s.name,
            s.value,
            s.difference,
            p_text(s.p_adjusted),
            *([without[s.name]] if leaked else []),
            *([s.seeds] if several else []),
        )
        for s in standings
    ]
    headers = (
        "system",
        measure,
        f"against {reference}",
        "p (Holm)",
        *([f"without {leaked} that leaked"] if leaked else []),
        *(["over seeds"] if several else []),
    )
    read = {"reference": reference, "rows": standings, "bounds": limits, "without_leaks": without}
    return Section(title, text, table(headers, rows), read)


def reply_sections(
    results: Results, leakage: Leakage, reference: str, config: ReportConfig, rules: ReplyRules
) -> list[Section]:
    """Tiers A and B: diversity and health of what was said, with and without what leaked."""
    text = (
        "First replies of every student from every bank, and of the controls, on the same contexts and by the "
        f"rules of the run's bot ({rules.text})"
        + (f", each bank cut to {config.responses:,} responses drawn by seed" if config.responses else "")
        + ". Dist-n falls with the number of tokens: compare it at equal tokens. Milliseconds are those of one "
        "reply at a time in this process, exported students on ONNX Runtime, others on torch: speed is "
        "measured by g2r bench."
    )
    try:
        measured = measure_replies(
            results.replies, results.examples, ratings=ratings_on_record(results.examples), seed=config.seed
        )
        sections = [Section("Replies", text, reply_table(measured), measured)]
        if leakage.leaks:
            sections.append(_clean_replies(results, leakage, config.seed))
        sections.append(_distinct_section(results, reference, config.seed))
    except DependencyError as error:
        sections = [Section("Replies", f"Not computed: {error}.")]
    return sections


def _all_leaked(title: str, leakage: Leakage) -> Section:
    reason = NotComputed(f"all {leakage.contexts} contexts leaked")
    return Section(title, f"{str(reason).capitalize()}.", values=reason)


def _clean_replies(results: Results, leakage: Leakage, seed: int) -> Section:
    if not leakage.clean:
        return _all_leaked("Replies without what leaked", leakage)
    kept = [i for i, e in enumerate(results.examples) if e.context_id in leakage.clean]
    examples = [results.examples[i] for i in kept]
    replies = {name: [own[i] for i in kept] for name, own in results.replies.items()}
    measured = measure_replies(replies, examples, ratings=ratings_on_record(examples), seed=seed)
    text = f"The same on the {len(kept)} contexts of which nothing leaked."
    return Section("Replies without what leaked", text, reply_table(measured), measured)


def _distinct_section(results: Results, reference: str, seed: int) -> Section:
    title = "Differences in Dist-2"
    replies = {name: [r.text for r in own] for name, own in results.replies.items()}
    found = distinct_differences(replies, reference=reference, seed=seed)
    if isinstance(found, NotComputed):
        return Section(title, str(found).capitalize() + ".", values=found)
    text = (
        f"Dist-2 less that of {reference} on the contexts that both answered; p by swapping the two systems' "
        "replies per context, Holm over the systems. More diverse is not better by itself: random replies are."
    )
    rows = [(d.name, d.value, p_text(d.p), p_text(d.p_adjusted), d.n) for d in found]
    return Section(title, text, table(("system", "difference", "p", "p (Holm)", "contexts"), rows), found)


def side_by_side_section(results: Results, config: ReportConfig) -> list[Section]:
    """Replies of the students from the served bank, and what was said, for people to read."""
    step = max(1, len(results.examples) // max(1, config.side_by_side))
    places = range(0, len(results.examples), step)[: config.side_by_side]
    if not places:
        return []
    columns: dict[str, list[SystemReply]] = {
        name: [own[i] for i in places]
        for name, own in results.replies.items()
        if ", " not in name and name not in (DRAWN, BM25)
    }
    contexts = [results.examples[i].context for i in places]
    return [Section("Side by side", "First replies.", side_by_side(columns, contexts))]


def bank_section(banks: Banks) -> Section:
    """What was searched."""
    sizes = {
        name: {"responses": len(bank), "searched": len(banks.searched[name])}
        for name, bank in banks.whole.items()
    }
    text = "What the students reply from; of a bank cut for this report only the responses searched count."
    shown = table(
        ("bank", "responses", "searched"),
        [(name, size["responses"], size["searched"]) for name, size in sizes.items()],
    )
    return Section("Banks", text, shown, sizes)


def leak_section(leakage: Leakage) -> Section:
    """What of the test was seen before."""
    counts = leakage.counts()
    found = ", ".join(f"{what}: {n}" for what, n in counts.items()) or "none"
    text = (
        f"Test texts found in the served bank or the training data, of {leakage.contexts} contexts: {found}. "
        "Near is a Jaccard likeness of 0.85 or more; responses under 4 words are not looked for."
    )
    return Section("Leaks", text, values=counts)
