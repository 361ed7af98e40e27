"""What was measured, as rows, tables for people and JSON for the page of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from g2r.evaluation.metrics import Floats, NotComputed
from g2r.evaluation.report import Section, as_json, summary
from g2r.evaluation.significance import Estimate
from g2r.evaluation.tables import table
from g2r.index.keys import RESPONSE_KEY
from g2r.latency.faster import TimesFaster, faster_section
from g2r.latency.percentiles import PERCENTILES, percentile, percentile_ratio
from g2r.latency.rounds import TOTAL, TimedSystem
from g2r.latency.searching import SearchSpeed
from g2r.latency.starting import ColdStarts

MB = 1e6


@dataclass(frozen=True, slots=True)
class ReplySpeed:
    """How fast one system replies.

    Attributes:
        system: its name.
        device: where it runs.
        percentiles: milliseconds of a whole reply, by percentile.
        ratios: of those to the rival's, by percentile; None for the rival itself.
        phases: median milliseconds by phase.
        samples: replies timed.
        per_second: replies a second in batches, the median of several; None if not measured.
        memory_bytes: by how much the process grew when the system was opened and had replied once.
        note: what a reader of the numbers must know.
    """

    system: str
    device: str
    percentiles: Mapping[int, Estimate | NotComputed]
    ratios: Mapping[int, Estimate | NotComputed] | None
    phases: Mapping[str, float]
    samples: int
    per_second: float | None
    memory_bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One run of the benchmark.

    Attributes:
        facts: hardware, versions, sizes, decoding: what EVALUATION asks to be said.
        rival: whom the others are compared with.
        replies: systems in the order in which they were opened.
        faster: how many times faster the bot replies than each generative rival.
        missing: systems that could not be measured, with the reason.
        searches: recall beside speed.
        searched: the kind of key that these search.
        response_bytes: memory of a response beside its vector, by what it is for.
        starts: cold starts.
        responses: size of the bank that replies came from.
        served: the system that a run serves, known as "student" in its report.
    """

    facts: Mapping[str, Any]
    rival: str
    replies: Sequence[ReplySpeed]
    faster: Sequence[TimesFaster]
    missing: Mapping[str, NotComputed]
    searches: Sequence[SearchSpeed]
    searched: str
    response_bytes: Mapping[str, float]
    starts: Sequence[ColdStarts]
    responses: int
    served: str


def reply_speeds(
    systems: Sequence[TimedSystem],
    taken: Mapping[str, Mapping[str, Floats]],
    rates: Mapping[str, Floats],
    memory: Mapping[str, int],
    *,
    rival: str,
    seed: int,
) -> list[ReplySpeed]:
    """Percentiles, ratios to the rival and phases of every system, of milliseconds by phase (contexts, rounds)."""
    reference = taken[rival][TOTAL]
    return [
        ReplySpeed(
            system=system.name,
            device=system.device,
            percentiles={at: percentile(own[TOTAL], at, seed=seed) for at in PERCENTILES},
            ratios=None
            if system.name == rival
            else {at: percentile_ratio(own[TOTAL], reference, at, seed=seed) for at in PERCENTILES},
            phases={phase: float(median(ms.ravel())) for phase, ms in own.items() if phase != TOTAL},
            samples=own[TOTAL].size,
            per_second=float(median(rates[system.name])) if system.name in rates else None,
            memory_bytes=memory[system.name],
            note=system.note,
        )
        for system in systems
        for own in (taken[system.name],)
    ]


def report_rows(result: BenchResult) -> list[dict[str, Any]]:
    """How fast each system replies, as the page of a report draws it (`g2r.evaluation.html.files.Speed`).

    The served system stands there once more, first and under the name that the report knows it by.
    """
    return [
        {
            "system": name,
            "device": speed.device,
            "responses": result.responses,
            "p50": as_json(speed.percentiles[50]),
        }
        for name, speed in _named(result)
        if isinstance(speed.percentiles[50], Estimate)
    ]


def _named(result: BenchResult) -> list[tuple[str, ReplySpeed]]:
    served = [("student", speed) for speed in result.replies if speed.system == result.served]
    return served + [(speed.system, speed) for speed in result.replies]


def as_file(result: BenchResult) -> dict[str, Any]:
    """All of it as plain JSON; the page of a report draws `rows` and `searches`."""
    return {"rows": report_rows(result), **as_json(result)}


def markdown(result: BenchResult) -> str:
    """All of it as tables."""
    sections = [
        Section("What was measured", "\n".join(f"- {key}: {value}" for key, value in result.facts.items())),
        _reply_section(result),
        *([faster_section(result.faster)] if result.faster else []),
        _phase_section(result.replies),
    ]
    if result.searches:
        sections.append(_search_section(result))
    if result.starts:
        sections.append(_start_section(result.starts))
    return summary(sections, title="Latency and throughput")


def _reply_section(result: BenchResult) -> Section:
    rows = [
        (
            speed.system,
            speed.device,
            *(speed.percentiles[at] for at in PERCENTILES),
            *((speed.ratios or {}).get(at) for at in (50, 99)),
            speed.per_second,
            speed.memory_bytes / MB,
            str(speed.samples),
        )
        for speed in result.replies
    ]
    rows += [
        (name, None, reason, reason, reason, None, None, None, None, None)
        for name, reason in result.missing.items()
    ]
    headers = (
        "system",
        "device",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "p50 ratio",
        "p99 ratio",
        "replies/s",
        "memory MB",
        "samples",
    )
    notes = "\n".join(f"- {speed.system}: {speed.note}" for speed in result.replies if speed.note)
    text = (
        f"Replies from {result.responses:,} responses, one context at a time; intervals at level .95 over contexts. "
        f"Ratios are to {result.rival}, in the same rounds on the same contexts. Memory is by how much the "
        f"process grew when the system was opened; bank and index, which bots share, were there before.\n\n{notes}"
    )
    return Section("Replies", text, table(headers, rows))


def _phase_section(replies: Sequence[ReplySpeed]) -> Section:
    phases = list(dict.fromkeys(phase for speed in replies for phase in speed.phases))
    rows = [(speed.system, *(speed.phases.get(phase) for phase in phases)) for speed in replies]
    return Section("Phases of a reply", "Median milliseconds.", table(("system", *phases), rows))


def _search_section(result: BenchResult) -> Section:
    beside = sum(result.response_bytes.values())
    parts = ", ".join(f"{name} {value:.0f}" for name, value in result.response_bytes.items())
    rows = [
        (
            speed.structure,
            speed.description,
            f"{speed.responses:,}",
            speed.recall_at_1,
            speed.recall_at_10,
            speed.p50,
            speed.p99,
            f"{speed.build_seconds:.0f}",
            f"{speed.bytes_per_key:.0f}",
            f"{speed.bytes_per_key + beside:.0f}",
        )
        for speed in result.searches
    ]
    kind = (
        "response keys"
        if result.searched == RESPONSE_KEY
        else f"the keys of contexts seen as {result.searched}"
    )
    headers = (
        "structure",
        "FAISS",
        "keys",
        "recall@1",
        "recall@10",
        "p50 ms",
        "p99 ms",
        "build s",
        "bytes a key, mapped",
        "bytes a response",
    )
    text = (
        f"Search alone, by {kind}, one query at a time; recall against exact search in fp32. The file of "
        f"the keys is mapped into memory; beside it a response takes {beside:.0f} bytes in memory ({parts})."
    )
    return Section("Search", text, table(headers, rows))


def _start_section(starts: Sequence[ColdStarts]) -> Section:
    rows = [
        (
            each.command,
            float(median(each.seconds)),
            min(each.seconds),
            max(each.seconds),
            each.peak_bytes / MB,
        )
        for each in starts
    ]
    return Section(
        "Cold start",
        "Seconds from the start of a process to its first reply, its files in the system's cache.",
        table(("command", "median s", "least s", "most s", "peak memory MB"), rows),
    )
