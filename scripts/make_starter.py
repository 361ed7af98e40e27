"""Make the embedded starter data (src/g2r/starter) from its source files.

    python scripts/make_starter.py --corpus STARTER --recorded RECORDED --chitchat CHITCHAT -o src/g2r/starter

STARTER holds dialogues.jsonl, situations.jsonl and plain.jsonl (coverage.jsonl and contexts.jsonl have no other
source); RECORDED train.jsonl.gz and test.jsonl.gz with
the recorded contexts; CHITCHAT valid.jsonl.gz and test.jsonl.gz. Of the recorded contexts only id, responses,
scores and batch are kept, of the chitchat conversations only the first 8 characters of their ids: the text of
both comes from the chitchat-dataset package.
"""

import argparse
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from g2r.artifacts import replacing

CORPUS = ("dialogues", "situations", "plain")
RECORDED_FIELDS = ("id", "responses", "scores", "batch")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON Lines file, gzipped if its name says so."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as file
    ):
        for line in file:
            yield json.loads(line)


def write(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines, whole or not at all."""
    with replacing(path) as new:
        new.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects), encoding="utf-8")


def make_starter(corpus: Path, recorded: Path, chitchat: Path, out: Path) -> None:
    """Write the files of the starter data that have a source elsewhere into `out`."""
    for name in CORPUS:
        write(out / f"{name}.jsonl", rows(corpus / f"{name}.jsonl"))
    write(
        out / "recorded.jsonl",
        (
            {field: row[field] for field in RECORDED_FIELDS}
            for split in ("train", "test")
            for row in rows(recorded / f"{split}.jsonl.gz")
        ),
    )
    write(
        out / "chitchat_splits.jsonl",
        (
            {
                "split": split,
                "conversations": sorted(row["id"][:8] for row in rows(chitchat / f"{split}.jsonl.gz")),
            }
            for split in ("valid", "test")
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("corpus", "recorded", "chitchat"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"folder of the {name} source files")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the embedded data")
    arguments = parser.parse_args()
    make_starter(arguments.corpus, arguments.recorded, arguments.chitchat, arguments.out)


if __name__ == "__main__":
    main()
