"""Files of a run: written whole or not at all, each with a manifest that says what made it."""

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from g2r.dialogue import Candidate, Example, Scores
from g2r.errors import ArtifactError, InputError
from g2r.swapping import exchange

_SCORES = pa.struct(
    [
        ("ll", pa.float64()),
        ("ll_sum", pa.float64()),
        ("tokens", pa.int32()),
        ("mi", pa.float64()),
        ("judge", pa.float64()),
    ]
)
EXAMPLES_SCHEMA = pa.schema(
    [
        ("context_id", pa.string()),
        ("dialogue_id", pa.string()),
        ("split", pa.string()),
        ("turns", pa.list_(pa.string())),
        (
            "candidates",
            pa.list_(
                pa.struct(
                    [
                        ("response_id", pa.string()),
                        ("text", pa.string()),
                        ("source", pa.string()),
                        ("original", pa.bool_()),
                        ("scores", _SCORES),
                    ]
                )
            ),
        ),
    ]
)


_REPLACED = "replaced"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success move what was written there onto `path`.

    The body may write a file or make a folder. If it raises, or the process dies, `path` keeps what it
    held before; what a killed process left behind is cleared by the next write.

    Raises:
        ArtifactError: the disk is full or the place is not writable, a file would take a folder's place, or
            what stands there is neither (a device would be replaced, not written to).
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ArtifactError(f"{path} is neither a file nor a folder; choose another place with -o")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror}; choose another place with -o") from error
    try:
        new = scratch / path.name
        yield new
        if path.is_dir() and not new.is_dir():
            raise ArtifactError(f"{path} is a folder, expected the name of a file; choose another with -o")
        _sync(new)
        if path.is_dir() and exchange(new, path):
            return
        if path.is_dir():
            path.rename(scratch / _REPLACED)
        new.replace(path)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}; what was there before is untouched"
        ) from error
    finally:
        _clear(scratch, path)


def _clear_leftovers(path: Path) -> None:
    """Clear away the scratch folders of killed writers."""
    for scratch in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        _clear(scratch, path)


def _clear(scratch: Path, path: Path) -> None:
    """Remove a scratch folder; put back a folder caught between the two renames of a swap."""
    if (scratch / _REPLACED).exists() and not path.exists():
        (scratch / _REPLACED).rename(path)
    shutil.rmtree(scratch, ignore_errors=True)


PARQUET_BEGINS = b"PAR1"


def refuse_other(output: Path, *, mark: str = "", begins: bytes | tuple[bytes, ...] = PARQUET_BEGINS) -> None:
    """Leave alone what g2r did not write there.

    Args:
        output: where an artifact is to be written.
        mark: a file that every folder of its kind holds; empty if the artifact is a single file.
        begins: the first bytes of every file of its kind, if the artifact is a single file; several if it
            has several forms. An empty file holds nothing that could be lost.

    Raises:
        ArtifactError: a folder stands where a file is to be written, a file where a folder is, a folder
            that holds something else, or a file that begins otherwise.
    """
    if output.is_dir() != bool(mark) and output.exists():
        kinds = ("file", "folder") if mark else ("folder", "file")
        raise ArtifactError(
            f"{output} is a {kinds[0]}, expected the name of a {kinds[1]}; choose another with -o"
        )
    if not mark and output.is_file() and not _begins_with(output, begins):
        raise ArtifactError(f"{output} holds something that g2r did not write; choose another name with -o")
    if mark and output.is_dir() and any(output.iterdir()) and not (output / mark).is_file():
        raise ArtifactError(
            f"{output} holds something else than what is to be written (no {mark} there); "
            "choose an empty or a new folder with -o"
        )


def _begins_with(file: Path, begins: bytes | tuple[bytes, ...]) -> bool:
    with file.open("rb") as handle:
        head = handle.read(64)
    return not head or head.startswith(begins)


def _sync(path: Path) -> None:
    """Flush files to disk, so that a rename never outlives the bytes it names."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def write_examples(examples: Sequence[Example], path: Path) -> None:
    """Write examples as one parquet file (fields: docs/files.md), whole or not at all."""
    rows = [
        {
            "context_id": e.context_id,
            "dialogue_id": e.dialogue_id,
            "split": e.split,
            "turns": list(e.context),
            "candidates": [
                {
                    "response_id": c.response_id,
                    "text": c.text,
                    "source": c.source,
                    "original": c.original,
                    "scores": {"ll": c.scores.ll, **asdict(c.scores)},
                }
                for c in e.candidates
            ],
        }
        for e in examples
    ]
    with replacing(path) as new:
        pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES_SCHEMA), new, compression="zstd")


def read_examples(path: Path) -> list[Example]:
    """Read what `write_examples` wrote.

    Raises:
        InputError: the file is missing, is no parquet file, or has other columns.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}; expected examples written by g2r (run the stage before this one)")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a readable parquet file ({error}); make it again") from error
    missing = set(EXAMPLES_SCHEMA.names) - set(table.column_names)
    if missing:
        raise InputError(f"{path} lacks the columns {sorted(missing)}; expected examples written by g2r")
    return [
        Example(
            context=tuple(row["turns"]),
            candidates=tuple(
                Candidate(
                    c["text"],
                    c["source"],
                    c["original"],
                    Scores(**{name: c["scores"][name] for name in ("ll_sum", "tokens", "mi", "judge")}),
                )
                for c in row["candidates"]
            ),
            dialogue_id=row["dialogue_id"],
            split=row["split"],
        )
        for row in table.to_pylist()
    ]


_NOT_CONTENT = {"manifest.json", "log.jsonl", "flags.jsonl", "onnx", "report.html", "latency.json"}
"""In a folder: what describes it, what changes beside it, what is made from it or put beside it."""


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files with their names.

    Raises:
        InputError: there is no such file or folder, or it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for file in _content(path) if path.is_dir() else [path]:
            if path.is_dir():
                digest.update(str(file.relative_to(path)).encode())
            with file.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; run the stage that writes it, or give its path"
        ) from error
    return digest.hexdigest()


def _content(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and _NOT_CONTENT.isdisjoint(file.relative_to(folder).parts)
    )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What made an artifact: enough to tell whether it is still the right one.

    Attributes:
        stage: name of the stage.
        config: the stage's whole configuration, as JSON values.
        inputs: SHA-256 of each input, by name.
        output: SHA-256 of the artifact itself.
        counts: what was read, kept, dropped, made.
        seconds: wall-clock time the stage took.
        versions: versions of g2r and the libraries that shape the result.
    """

    stage: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    output: str = ""
    counts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    def same_origin(self, other: "Manifest") -> bool:
        """True if both were made by the same stage from the same configuration and inputs."""
        return (self.stage, dict(self.config), dict(self.inputs)) == (
            other.stage,
            dict(other.config),
            dict(other.inputs),
        )


def manifest_path(artifact: Path) -> Path:
    """Where the manifest of an artifact stands: inside a folder, beside a file."""
    return (
        artifact / "manifest.json"
        if artifact.is_dir()
        else artifact.with_name(artifact.name + ".manifest.json")
    )


def write_manifest(artifact: Path, manifest: Manifest) -> None:
    with replacing(manifest_path(artifact)) as new:
        new.write_text(json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(artifact: Path) -> Manifest | None:
    """Return the artifact's manifest, or None if there is none that can be read."""
    try:
        return Manifest(**json.loads(manifest_path(artifact).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def library_versions(*names: str) -> dict[str, str]:
    """Versions of g2r and of the named distributions, for the manifest."""
    return {name: version(name) for name in ("g2r", *names)}
