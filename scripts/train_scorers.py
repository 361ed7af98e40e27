"""Train the scorers of the evaluation on the dialogues of a run: python scripts/train_scorers.py RUN -o FOLDER.

RUN is a folder of `g2r run`, or a file of examples. Some minutes on two cores.
"""

import argparse
import sys
from pathlib import Path

from g2r.artifacts import read_examples
from g2r.evaluation.learned.training import train_scorers
from g2r.judge.data import read_held_out, read_on_policy, without_held_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run, or examples (parquet)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the scorers")
    parser.add_argument("--base", default="minilm", help="the frozen encoder")
    parser.add_argument("--contexts", type=int, default=3000, help="examples used, at most")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=Path, nargs="*", default=(), help="ids of dialogues and lists")
    parser.add_argument("--lists", type=Path, nargs="*", default=(), help="the judged lists that they name")
    options = parser.parse_args()
    source = options.run / "dialogues.parquet" if options.run.is_dir() else options.run
    judged = [item for path in options.lists for item in read_on_policy(path)]
    examples, _ = without_held_out(read_examples(source), judged, read_held_out(options.held_out))
    record = train_scorers(
        examples,
        base=options.base,
        output=options.output,
        contexts=options.contexts,
        epochs=options.epochs,
        seed=options.seed,
        progress=lambda done, total, note="": print(f"{done}/{total} {note}", file=sys.stderr),
    )
    shares = ", ".join(f"{name} {value:.3f}" for name, value in record.accuracy.items())
    print(f"{options.output}: accuracy on held-out dialogues (chance .5): {shares}")


if __name__ == "__main__":
    main()
