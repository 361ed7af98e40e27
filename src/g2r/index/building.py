"""A bank folder: the responses, the log of changes, and the index, built together."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from g2r.artifacts import replacing
from g2r.bank import ResponseBank, held_log, read_log
from g2r.config import IndexConfig
from g2r.encoder import Encoder
from g2r.index.faiss import FaissIndex
from g2r.progress import Progress, silent


def no_vetting(bank: ResponseBank) -> Mapping[str, int]:
    """Let every response pass."""
    return {}


def build_bank(
    bank: ResponseBank,
    encoder: Encoder,
    config: IndexConfig,
    output: Path | str,
    *,
    vet: Callable[[ResponseBank], Mapping[str, int]] = no_vetting,
    progress: Progress = silent,
) -> Mapping[str, Any]:
    """Index `bank` and write both to `output`, whole or not at all. Return the counts of bank and index.

    The log of a bank that stood there is carried over: what was added joins the rows and the index, what
    was banned stays banned, and so do its near duplicates.

    Args:
        vet: is shown the bank before it is written; may ban, and returns counts of it.

    Raises:
        ArtifactError: the index's recall is too low, or the place cannot be written.
    """
    bank = bank.continuing(read_log(Path(output)))
    vetted = vet(bank)
    index = FaissIndex.build(bank, encoder, config, progress=progress)
    write_bank(bank, index, Path(output))
    return {**bank.counts, **vetted, "banned": int(bank.banned.sum()), **index.manifest.counts}


def write_bank(bank: ResponseBank, index: FaissIndex, output: Path) -> None:
    """Write a bank with its index to `output`, whole or not at all, keeping the log that is there.

    Changes that others make meanwhile wait for the last moment, and then go to the new log.
    """
    with ExitStack() as swapped, replacing(output) as new:
        new.mkdir()
        index.save(new / "index")
        bank.write(new, earlier=swapped.enter_context(held_log(output)))
