"""A stage: one step from files to a file or folder, whole or not at all, skipped while it is up to date."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g2r.artifacts import (
    PARQUET_BEGINS,
    Manifest,
    file_hash,
    library_versions,
    read_manifest,
    refuse_other,
    write_manifest,
)
from g2r.errors import ArtifactError
from g2r.progress import Progress, silent

StageProgress = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress display for the stage of that name."""


def unwatched(stage: str) -> AbstractContextManager[Progress]:
    """The progress of a library call: none."""
    return nullcontext(silent)


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What one stage of a run did: `seconds` and `counts` are those of the run that made the artifact."""

    name: str
    output: Path
    seconds: float
    counts: Mapping[str, Any] = field(default_factory=dict)
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """One step from files to a file or folder.

    Attributes:
        name: shown to people and kept in the manifest.
        output: the artifact.
        config: everything but the inputs that the artifact depends on.
        inputs: files and folders it is made from, by name.
        work: makes the artifact and returns its counts.
        mark: a file that every folder of this kind holds; empty if the artifact is a single file.
        begins: the first bytes of every file of this kind, if the artifact is a single file.
        journal: finished work of a killed run, of no use once the artifact has its manifest.
        repeatable: False if an input cannot be looked at again, so that the stage is never up to date.
        finish: makes what shows the artifact with its manifest, once both stand there.
    """

    name: str
    output: Path
    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    work: Callable[[Progress], Mapping[str, Any]]
    mark: str = ""
    begins: bytes = PARQUET_BEGINS
    repeatable: bool = True
    journal: Path | None = None
    finish: Callable[[], object] | None = None

    def run(self, *, force: bool = False, progress: StageProgress = unwatched) -> StageSummary:
        """Make the artifact, unless it stands there already, made from the same configuration and inputs.

        Raises:
            ArtifactError: something that is no such artifact stands in its place.
        """
        refuse_other(self.output, mark=self.mark, begins=self.begins)
        if any(self.output.resolve() == path.resolve() for path in self.inputs.values()):
            raise ArtifactError(f"{self.output} is what the stage reads; choose another place with -o")
        origin = Manifest(
            stage=self.name.partition(" ")[0],
            config=self.config,
            inputs={name: file_hash(path) for name, path in self.inputs.items()},
        )
        made = read_manifest(self.output) if self.output.exists() else None
        if made and not force and self._is_up_to_date(made, origin):
            return StageSummary(self.name, self.output, made.seconds, made.counts, skipped=True)
        start = time.perf_counter()
        with progress(self.name) as report:
            counts = self.work(report)
        seconds = round(time.perf_counter() - start, 2)
        if os.environ.get("RANK", "0") != "0":  # under torchrun the first process writes for all
            return StageSummary(self.name, self.output, seconds, counts)
        manifest = Manifest(
            stage=origin.stage,
            config=origin.config,
            inputs=origin.inputs,
            output=file_hash(self.output),
            counts=dict(counts),
            seconds=seconds,
            versions=library_versions("numpy", "pyarrow"),
        )
        write_manifest(self.output, manifest)
        if self.finish:
            self.finish()
        if self.journal:
            self.journal.unlink(missing_ok=True)
        return StageSummary(self.name, self.output, seconds, counts)

    def _is_up_to_date(self, made: Manifest, origin: Manifest) -> bool:
        """The output counts too: a kill between a file and its manifest leaves the manifest of an older one."""
        return self.repeatable and made.same_origin(origin) and made.output == file_hash(self.output)
