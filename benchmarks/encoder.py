"""Milliseconds to encode one context: sentence-transformers, ONNX Runtime fp32 and int8, interleaved in one run.

    python benchmarks/encoder.py [--base minilm] [--threads 2] [--repeats 200] [--folder EXPORTED]

Every round asks each encoder once, for each length, so that other load falls on all of them alike. Then the
cold start: a new process from its start to its first vector.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from g2r.encoder import OnnxEncoder
from g2r.export import export
from g2r.student import BiEncoder

TURNS = [
    "i finally tried that bakery you told me about",
    "Oh nice, what did you get?",
    "two of the almond ones, and then i went back for a third because they were still warm",
    "Three in one go is a strong endorsement. Was the coffee any good?",
    "not bad, but honestly i was there for the pastry and the window seat",
]
COLD_START = """
from pathlib import Path
from g2r.encoder import OnnxEncoder
OnnxEncoder.load(Path({folder!r}), precision={precision!r}, threads={threads}).encode_contexts([["hi"]])
"""


def context_of(tokens: int, count: Callable[[list[str]], int]) -> list[str]:
    """The last turns of a conversation, cut to about so many tokens."""
    words = " ".join(TURNS).split()
    taken = 1
    while count([" ".join(words[-taken:])]) < tokens and taken < len(words):
        taken += 1
    return [" ".join(words[-taken:])]


def time_rounds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Milliseconds of each call in each round, after three rounds of warming up."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 3):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= 3:
                taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(times) for name, times in taken.items()}


def cold_start(folder: Path, precision: str, threads: int) -> float:
    """Seconds from the start of a process to its first vector; the median of five."""
    program = COLD_START.format(folder=str(folder), precision=precision, threads=threads)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def measure(student: BiEncoder, folder: Path, threads: int, repeats: int) -> None:
    fp32, int8 = (OnnxEncoder.load(folder, precision=p, threads=threads) for p in ("fp32", "int8"))
    tokenizer = student.model.tokenizer
    calls: dict[str, Callable[[], object]] = {}
    for tokens in (20, 56):
        context = context_of(tokens, lambda turns: len(tokenizer(student.form.text(turns))["input_ids"]))
        text = student.form.text(context)
        calls |= {
            f"{tokens} sentence-transformers": lambda text=text: student.model.encode(
                [text], show_progress_bar=False
            ),
            f"{tokens} onnx fp32": lambda context=context: fp32.encode_contexts([context]),
            f"{tokens} onnx int8": lambda context=context: int8.encode_contexts([context]),
        }
    times = time_rounds(calls, repeats)
    print(f"{'tokens, encoder':<28}{'p50':>8}{'p95':>8}{'p99':>8}   ms, and p50, p99 against the first")
    for name, taken in times.items():
        base = times[f"{name.split()[0]} sentence-transformers"]
        p50, p95, p99 = np.percentile(taken, (50, 95, 99))
        ratios = (p50 / np.percentile(base, 50), p99 / np.percentile(base, 99))
        print(f"{name:<28}{p50:>8.2f}{p95:>8.2f}{p99:>8.2f}   {ratios[0]:.2f} {ratios[1]:.2f}")
    for precision in ("fp32", "int8"):
        print(f"cold start, {precision}: {cold_start(folder, precision, threads):.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", default="minilm", help="a student's folder, or a base")
    parser.add_argument("--folder", type=Path, help="where it is exported; exported anew if not given")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    student = BiEncoder.load(options.base, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "onnx"
        if not options.folder:
            export(student, folder)
        measure(student, folder, options.threads, options.repeats)


if __name__ == "__main__":
    main()
