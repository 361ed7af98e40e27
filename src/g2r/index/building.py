"""A bank folder: the responses, the log of bans and tags, and the index, built together."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from g2r.artifacts import replacing
from g2r.bank import ResponseBank
from g2r.config import IndexConfig
from g2r.encoder import Encoder
from g2r.index.faiss import FaissIndex
from g2r.progress import Progress, silent


def build_bank(
    bank: ResponseBank,
    encoder: Encoder,
    config: IndexConfig,
    output: Path | str,
    *,
    progress: Progress = silent,
) -> Mapping[str, Any]:
    """Index `bank` and write both to `output`, whole or not at all. Return the counts of bank and index.

    The log of a bank that stood there is carried over: what was banned stays banned.

    Raises:
        ArtifactError: the index's recall is too low, or the place cannot be written.
    """
    index = FaissIndex.build(bank, encoder, config, progress=progress)
    write_bank(bank, index, Path(output))
    return {**bank.counts, **index.manifest.counts}


def write_bank(bank: ResponseBank, index: FaissIndex, output: Path) -> None:
    """Write a bank with its index to `output`, whole or not at all, keeping the log that is there."""
    with replacing(output) as new:
        new.mkdir()
        log = output / "log.jsonl"
        if log.is_file():
            shutil.copyfile(log, new / log.name)
        bank.write(new)
        index.save(new / "index")
