"""The folder of a training that is under way: what belongs to it, and from where it goes on."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from g2r.artifacts import replacing
from g2r.errors import ArtifactError

_SEAL = "whole.json"
_IDENTITY = "training.json"


def workplace(output: Path) -> Path:
    """The folder beside `output` that holds its checkpoints until the student is saved."""
    return output.parent / f".{output.name}.checkpoints"


def claim(folder: Path, identity: str) -> None:
    """Make `folder` the workplace of the training that `identity` names; another's work in it is removed.

    Raises:
        ArtifactError: the place is not writable.
    """
    mark = folder / _IDENTITY
    if mark.is_file() and mark.read_text(encoding="utf-8") == identity:
        return
    shutil.rmtree(folder, ignore_errors=True)
    with replacing(mark) as new:
        new.write_text(identity, encoding="utf-8")


def seal(checkpoint: Path) -> None:
    """Mark a checkpoint as written to its last byte, so that a kill in its middle is seen."""
    sizes = {
        str(file.relative_to(checkpoint)): file.stat().st_size
        for file in sorted(checkpoint.rglob("*"))
        if file.is_file() and file.name != _SEAL
    }
    for name in sizes:
        with (checkpoint / name).open("rb") as handle:
            os.fsync(handle.fileno())
    with replacing(checkpoint / _SEAL) as new:
        new.write_text(json.dumps(sizes), encoding="utf-8")


def last_whole(folder: Path) -> Path | None:
    """The latest checkpoint of which no byte is missing; the broken ones after it are removed."""
    checkpoints = sorted(
        (c for c in folder.glob("checkpoint-*") if c.is_dir()), key=lambda c: int(c.name.split("-")[1])
    )
    while checkpoints:
        checkpoint = checkpoints.pop()
        if _is_whole(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def _is_whole(checkpoint: Path) -> bool:
    seal_file = checkpoint / _SEAL
    if not seal_file.is_file():
        return False
    sizes = json.loads(seal_file.read_text(encoding="utf-8"))
    files = {name: checkpoint / name for name in sizes}
    return all(file.is_file() and file.stat().st_size == sizes[name] for name, file in files.items())


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turn what fails inside for want of disk into one line.

    Raises:
        ArtifactError: a file could not be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(
            f"cannot write the training of {output}: {reason}; what was there before is untouched and the "
            "last checkpoint is kept: make room and run the same command again"
        ) from error
