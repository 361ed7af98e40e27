"""Distils tiny students as a program of its own: `train_tiny.py BASE OUTPUT OPTIONS [DIE_AT_STEP]`.

OUTPUT is a folder; OPTIONS a JSON object of one object of options for each student in it. Run by
test_training.py under torchrun, and to be killed.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from g2r.training import distill
from tiny_students import topic_examples


def main(base: str, output: str, options: str, die_at: str = "-1") -> None:
    torch.set_num_threads(1)

    def progress(done: int, total: int, *, note: str = "") -> None:
        if done == int(die_at):
            os.kill(os.getpid(), signal.SIGKILL)

    for name, settings in json.loads(options).items():
        distill(topic_examples(), base=base, output=Path(output) / name, progress=progress, **settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
