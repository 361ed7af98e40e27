"""The benchmark of a run: every system in one interleaved run, search at several sizes, cold starts."""

import gc
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g2r.artifacts import library_versions, read_examples, refuse_other, replacing
from g2r.config import BenchConfig
from g2r.dialogue import Context
from g2r.encoder import ExportRecord, OnnxEncoder, Vectors
from g2r.errors import InputError
from g2r.latency.banks import RunBank
from g2r.latency.faster import times_faster
from g2r.latency.memory import physical_cores
from g2r.latency.opening import RIVAL, TORCH_BOT, bot_name, open_systems
from g2r.latency.results import BenchResult, as_file, markdown, reply_speeds
from g2r.latency.rounds import Plan, Record, measure_replies, measure_throughput
from g2r.latency.searching import SearchSpeed, faiss_threads, measure_search
from g2r.latency.starting import measure_cold_starts
from g2r.progress import Progress, silent

MEASUREMENTS, TABLES, VALUES = "latency.jsonl", "latency.md", "latency.json"
_WARM_UP = 5


def bench(
    run: Path, output: Path, config: BenchConfig | None = None, *, progress: Progress = silent
) -> BenchResult:
    """Measure the bot of a run beside its rivals; write latency.jsonl, latency.md and latency.json.

    The folder is written whole or not at all.

    Args:
        run: a finished run: its student, exported, its bank and its dialogues.
        output: folder of the results.
        config: what is measured, how often.
        progress: told of finished rounds, part by part.

    Raises:
        InputError: the run lacks something, or has too few held-out contexts.
        ConfigError: a rival or a search structure is not known.
        DependencyError: an extra is not installed.
        ArtifactError: an exported student is damaged, or the output cannot be written or holds something else.
    """
    refuse_other(output, mark=TABLES)
    config = config or BenchConfig()
    threads = config.threads or physical_cores()
    contexts = draw_contexts(run, config)
    with replacing(output) as new, faiss_threads(threads), _torch_threads(threads):
        new.mkdir()
        with _recording(new / MEASUREMENTS) as record:
            result = _measure(run, config, contexts, threads, record, progress)
        (new / TABLES).write_text(markdown(result), encoding="utf-8")
        text = json.dumps(as_file(result), indent=2, ensure_ascii=False, allow_nan=False)
        (new / VALUES).write_text(text + "\n", encoding="utf-8")
    return result


@dataclass(frozen=True, slots=True)
class Contexts:
    """Held-out contexts: those that are timed, others to warm up on, and those that search is measured on."""

    timed: list[Context]
    warm_up: list[Context]
    queries: list[Context]


def draw_contexts(run: Path, config: BenchConfig) -> Contexts:
    """Contexts of a run, drawn by seed.

    Raises:
        InputError: there are not enough.
    """
    examples = read_examples(run / "dialogues.parquet")
    held_out = list(dict.fromkeys(e.context for e in examples if e.split != "train"))
    if len(held_out) < config.contexts + _WARM_UP:
        raise InputError(
            f"{run} holds {len(held_out)} contexts out, expected {config.contexts} and {_WARM_UP} to warm up on; "
            "lower contexts, or hold out more (data.test_fraction)"
        )
    order = np.random.default_rng(config.seed).permutation(len(held_out))
    drawn = [held_out[i] for i in order]
    warm_up = drawn[config.contexts : config.contexts + _WARM_UP]
    return Contexts(drawn[: config.contexts], warm_up, drawn[: config.queries])


def _measure(
    run: Path,
    config: BenchConfig,
    contexts: Contexts,
    threads: int,
    record: Record,
    progress: Progress,
) -> BenchResult:
    timed, warm_up = contexts.timed, contexts.warm_up
    starts = measure_cold_starts(run, times=config.cold_starts, record=record)
    bank = RunBank.read(run / "bank")
    encoder = OnnxEncoder.load(run / "student" / "onnx", precision="fp32", threads=threads)
    queries = encoder.encode_contexts(contexts.queries)
    searches = _searches(bank, queries, config, record, progress)
    opened = open_systems(run, bank, config, threads=threads, warm_up=warm_up[0])
    plan = Plan(config.rounds, config.slow_contexts, min(config.slow_rounds, config.rounds), config.seed)
    gc.collect()
    taken = measure_replies(opened.systems, timed, warm_up, plan, record=record, progress=progress)
    batches = Plan(config.batch_rounds, config.slow_contexts, min(1, config.batch_rounds), config.seed)
    rates = measure_throughput(
        opened.systems, timed, batches, batch=config.batch, record=record, progress=progress
    )
    served = bot_name(ExportRecord.read(run / "student" / "onnx").precision)
    lengths = [len(ids) for ids in encoder.tokenize_contexts(timed)]
    return BenchResult(
        facts=_facts(config, threads, lengths, bank),
        rival=RIVAL,
        replies=reply_speeds(
            opened.systems,
            taken,
            rates if config.batch_rounds else {},
            opened.memory,
            rival=RIVAL,
            seed=config.seed,
        ),
        faster=times_faster(opened.systems, taken, replying=_replying(served, config), seed=config.seed),
        missing=opened.missing,
        searches=searches,
        searched=bank.keys[0].name,
        response_bytes=opened.response_bytes,
        starts=starts,
        responses=config.responses,
        served=served,
    )


def _replying(served: str, config: BenchConfig) -> list[str]:
    """Whom generative rivals are compared with: the bot as it is served, and the one on their own device."""
    return [served] if config.device == "cpu" else [served, TORCH_BOT]


def _searches(
    bank: RunBank, queries: Vectors, config: BenchConfig, record: Record, progress: Progress
) -> list[SearchSpeed]:
    """Recall beside speed at each size, by the first kind of key."""
    speeds = []
    for done, size in enumerate(config.bank_sizes):
        (keys,) = bank.grown_keys(size, seed=config.seed, kinds=1)
        speeds += measure_search(
            keys.vectors,
            queries,
            structures=config.structures,
            efforts=config.efforts,
            depth=config.depth,
            rounds=config.search_rounds,
            seed=config.seed,
            record=record,
        )
        progress(done + 1, len(config.bank_sizes), note="search")
    return speeds


def _facts(config: BenchConfig, threads: int, lengths: list[int], bank: RunBank) -> Mapping[str, Any]:
    """What has to be said beside the numbers (EVALUATION: Latency and load)."""
    versions = library_versions(*_LIBRARIES)
    return {
        "machine": f"{platform.machine()}, {_processor()}, {physical_cores()} cores, {threads} threads",
        "device of torch's systems": config.device,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "contexts": f"{len(lengths)}, {config.rounds} rounds; {min(lengths)} to {max(lengths)} tokens, "
        f"half of them under {int(np.median(lengths))}",
        "bank": f"{config.responses:,} responses, {min(config.responses, len(bank.texts)):,} of them the run's, "
        "the others synthetic: its keys, each moved by half the difference of two others",
        "keys": ", ".join(f"{kind.name} {len(kind.vectors):,}" for kind in bank.keys) + " in the run's index",
        "index": f"kind {bank.config.kind}, weights {bank.config.response_key} response, "
        f"{bank.config.context_key} context",
        "generative rivals": f"{config.output_tokens} tokens, attention cached, "
        f"{config.slow_contexts} contexts in {config.slow_rounds} rounds",
        "batches": f"up to {config.batch} contexts, {config.batch_rounds} rounds",
        "seed": config.seed,
    }


_LIBRARIES = (
    "faiss-cpu",
    "numpy",
    "onnxruntime",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)


def _processor() -> str:
    """The processor's name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


@contextmanager
def _recording(path: Path) -> Iterator[Record]:
    """Each measurement as a line of JSON."""
    with path.open("w", encoding="utf-8") as handle:

        def write(measured: Mapping[str, Any]) -> None:
            handle.write(json.dumps(measured, ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Let torch have so many threads for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
