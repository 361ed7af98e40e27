"""Train the poly-encoder, a rival of a run's student: python scripts/train_poly_encoder.py RUN -o FOLDER.

From the same start, on the same data, by the same configuration as the student that the run serves.
"""

import argparse
import sys
from pathlib import Path

from g2r.artifacts import read_examples
from g2r.config import read_run_config
from g2r.evaluation.polyencoder import CODES, train_poly_encoder
from g2r.judge.data import read_held_out, read_on_policy, without_held_out
from g2r.pipeline import stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the poly-encoder")
    parser.add_argument("--codes", type=int, default=CODES)
    parser.add_argument("--max-steps", type=int, help="in the place of the run's steps")
    parser.add_argument("--held-out", type=Path, nargs="*", default=(), help="ids of dialogues and lists")
    parser.add_argument("--lists", type=Path, nargs="*", default=(), help="the judged lists that they name")
    options = parser.parse_args()
    config = read_run_config(options.run / "config.yaml")
    made = stages(config, options.run)[-1].inputs
    train = config.train.model_copy(update={"seed": config.seeds[0]})
    if options.max_steps:
        train = train.model_copy(update={"max_steps": options.max_steps})
    judged = [item for path in options.lists for item in read_on_policy(path)]
    examples, _ = without_held_out(read_examples(made["examples"]), judged, read_held_out(options.held_out))
    poly = train_poly_encoder(
        examples,
        base=made[f"student {train.init}"] if train.init else None,
        output=options.output,
        config=train,
        codes=options.codes,
        progress=lambda done, total, note="": print(f"{done}/{total} {note}", file=sys.stderr),
    )
    print(f"{options.output}: {dict(poly.student.training)}")


if __name__ == "__main__":
    main()
