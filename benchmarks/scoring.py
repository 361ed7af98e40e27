"""Scoring with a shared context against scoring pair by pair: speed, agreement, peak memory.

Random weights in the published shapes of BlenderBot-small (90M, seq2seq) and GPT-2 (124M, decoder-only);
weights change neither the time nor the memory. Contexts of 40-80 tokens, responses of 10-20.

    OMP_NUM_THREADS=1 python benchmarks/scoring.py

The rivals take turns within each round and are timed in processor seconds, so that other load on the machine
weighs little and on all of them alike:
    shared   g2r: contexts read once, their memory repeated for the candidates
    pairs    one forward pass for each (context, response), teacher-forced
    batched  the same in padded batches of one context with all its candidates
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BlenderbotSmallConfig,
    BlenderbotSmallForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
)

from g2r.teachers.likelihood import log_likelihoods, pad

Lists = list[list[list[int]]]
MODELS: dict[str, Callable[[], Any]] = {
    "BlenderBot-small 90M": lambda: BlenderbotSmallForConditionalGeneration(
        BlenderbotSmallConfig(
            vocab_size=54944,
            d_model=512,
            encoder_layers=8,
            decoder_layers=8,
            encoder_attention_heads=16,
            decoder_attention_heads=16,
            encoder_ffn_dim=2048,
            decoder_ffn_dim=2048,
        )
    ),
    "GPT-2 124M": lambda: GPT2LMHeadModel(GPT2Config()),
}
START = {"BlenderBot-small 90M": 1, "GPT-2 124M": None}


@dataclass(frozen=True)
class Work:
    """Contexts with their candidates, as token ids."""

    contexts: list[list[int]]
    responses: Lists


def draw_work(contexts: int, candidates: int) -> Work:
    rng = random.Random(0)
    draw = lambda low, high: [rng.randrange(4, 50_000) for _ in range(rng.randint(low, high))]  # noqa: E731
    return Work(
        [draw(40, 80) for _ in range(contexts)],
        [[draw(10, 20) for _ in range(candidates)] for _ in range(contexts)],
    )


def build(name: str) -> Any:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def shared(model: Any, work: Work, start: int | None) -> list[float]:
    sums = log_likelihoods(model, work.contexts, work.responses, start=start, pairs_at_once=32)
    return [value for group in sums for value in group]


@torch.inference_mode()
def forward_pairs(
    model: Any, context: list[int], responses: list[list[int]], start: int | None
) -> list[float]:
    """One forward pass over responses, each with the whole context of its own."""
    targets, real = pad(responses, side="right", device="cpu")
    if start is None:
        ids, mask = pad([context + response for response in responses], side="right", device="cpu")
        logits = model(input_ids=ids, attention_mask=mask).logits[:, len(context) - 1 : -1]
    else:
        ids = torch.tensor([context] * len(responses))
        before = torch.cat([torch.full_like(targets[:, :1], start), targets[:, :-1]], dim=1)
        logits = model(input_ids=ids, decoder_input_ids=before).logits
    found = logits.float().log_softmax(-1).gather(2, targets[..., None]).squeeze(2)
    return (found * real).sum(1).tolist()


def pairs(model: Any, work: Work, start: int | None) -> list[float]:
    return [
        forward_pairs(model, context, [response], start)[0]
        for context, group in zip(work.contexts, work.responses, strict=True)
        for response in group
    ]


def batched(model: Any, work: Work, start: int | None) -> list[float]:
    return [
        value
        for context, group in zip(work.contexts, work.responses, strict=True)
        for value in forward_pairs(model, context, group, start)
    ]


def compare_speed(name: str, *, contexts: int, candidates: int, rounds: int) -> None:
    model, work = build(name), draw_work(contexts, candidates)
    rivals = {"shared": shared, "pairs": pairs, "batched": batched}
    for rival in rivals.values():  # warm up
        rival(model, draw_work(1, 2), START[name])
    seconds: dict[str, list[float]] = {rival: [] for rival in rivals}
    results: dict[str, list[float]] = {}
    for _ in range(rounds):
        for rival, run in rivals.items():
            begin = time.process_time()
            results[rival] = run(model, work, START[name])
            seconds[rival].append(time.process_time() - begin)
    scored = contexts * candidates
    for rival, times in seconds.items():
        ratios = [other / own for other, own in zip(times, seconds["shared"], strict=True)]
        apart = max(abs(a - b) for a, b in zip(results[rival], results["shared"], strict=True))
        print(
            f"{name:<22} {rival:<8} {scored / statistics.median(times):7.1f} candidates per processor second   "
            f"time / shared {statistics.median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f})   "
            f"largest difference {apart:.1e} nats"
        )


def peak_memory(model: Any, run: Callable[..., list[float]], work: Work, start: int | None) -> float:
    """Most MiB of tensors that stand at once while `run` scores, over what stood before."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        with torch.profiler.profile(profile_memory=True) as profiler:
            run(model, work, start)
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    allocated = [event["args"] for event in events if event["name"] == "[memory]"]
    before = allocated[0]["Total Allocated"] - allocated[0]["Bytes"]
    return (max(event["Total Allocated"] for event in allocated) - before) / 2**20


def compare_memory(name: str) -> None:
    model, numbers = build(name), (10, 40, 160)
    for rival, run in {"shared": shared, "batched": batched}.items():
        peaks = [peak_memory(model, run, draw_work(1, n), START[name]) for n in numbers]
        shown = "   ".join(f"{n}: {mib:5.0f} MiB" for n, mib in zip(numbers, peaks, strict=True))
        print(f"{name:<22} {rival:<8} peak of tensors by candidates a context   {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contexts", type=int, default=4)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in MODELS:
        compare_speed(name, contexts=options.contexts, candidates=options.candidates, rounds=options.rounds)
    for name in MODELS:
        compare_memory(name)


if __name__ == "__main__":
    main()
