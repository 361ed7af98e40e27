"""Lists of candidates that somebody rated, and the ids by which such lists and dialogues are named."""

from pathlib import Path

from g2r.errors import InputError
from g2r.reading.entries import Row
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines


def rated_candidates(row: Row) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the `candidates` of a row and their `scores`.

    Raises:
        InputError: one is missing or malformed, or there is not one score each for two candidates or more.
    """
    candidates, scores = row.texts("candidates"), row.numbers("scores")
    if len(candidates) != len(scores) or len(candidates) < 2:
        raise InputError(
            f"{row.where}, field scores: got {len(scores)} scores for {len(candidates)} candidates, "
            "expected one each for two candidates or more"
        )
    return candidates, scores


def read_ids(path: Path) -> list[str]:
    """The ids of a file: one a line, or JSON Lines with the field `id` (*.jsonl, *.jsonl.gz).

    Blank lines and those that begin with # are passed over.

    Raises:
        InputError: the file cannot be read, a row has no id, or there is none.
    """
    if ".jsonl" in Path(path).suffixes:
        ids = [row.text("id") for row in json_rows(numbered_lines(path), str(path))]
    else:
        lines = [line.strip() for _, line in numbered_lines(path)]
        ids = [line for line in lines if line and not line.startswith("#")]
    if not ids:
        raise InputError(f"{path} holds no id, expected one a line, or JSON Lines with the field id")
    return ids
