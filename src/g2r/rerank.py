"""The second stage at run time: an exported judge rates what was retrieved. ONNX Runtime, no torch."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from g2r.encoder import EXPORT_FILE, GRAPH_FILES, Precision, Vectors, open_graph, read_tokenizer
from g2r.judge.pairs import PairForm, PairTokenizer, by_length
from g2r.records import read_record
from g2r.second_stage import Asked

_KIND = "reranker"
_AT_ONCE = 16
"""Pairs of like length in one call of the graph."""


@dataclass(frozen=True, slots=True)
class RerankRecord:
    """What an exported judge is (`g2r.json` beside its graphs).

    Attributes:
        form: how a pair becomes tokens.
        fingerprint: that of the judge.
        precision: the graph that is served.
        fp32_difference: largest difference of ratings (0 to 10) between the judge and its fp32 graph, as measured.
        int8_same_first: share of lists of which the int8 graph puts the same response first as the fp32 one;
            None if it was not measured.
        lists: lists that it was measured on.
    """

    form: PairForm
    fingerprint: str
    precision: Precision = "fp32"
    fp32_difference: float | None = None
    int8_same_first: float | None = None
    lists: int = 0

    def write(self, folder: Path) -> None:
        text = json.dumps({"kind": _KIND, **asdict(self)}, indent=2, ensure_ascii=False)
        (folder / EXPORT_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "RerankRecord":
        """Read what `write` wrote.

        Raises:
            ArtifactError: there is none, or it is that of something else.
        """
        return read_record(
            folder / EXPORT_FILE,
            _KIND,
            lambda values: cls(**{**values, "form": PairForm(**values["form"])}),
            what="exported judge",
            made_by="g2r judge export",
        )


class Reranker:
    """Rates responses to a context, 0 to 10; the graph is opened at first use.

    Attributes:
        folder: where it stands.
        record: what was exported.
        precision: that of the graph in use.
    """

    def __init__(self, folder: Path, record: RerankRecord, *, precision: Precision, threads: int) -> None:
        self.folder = folder
        self.record = record
        self.precision = precision
        self._threads = threads

    @classmethod
    def load(
        cls, folder: Path, *, precision: Literal["auto", "fp32", "int8"] = "auto", threads: int = 0
    ) -> "Reranker":
        """Open an exported judge.

        Args:
            folder: what `g2r.judge.export.export_judge` wrote.
            precision: auto takes int8 if it put the same responses first when it was exported.
            threads: threads of one call; 0 for one a core.

        Raises:
            ArtifactError: the folder holds no exported judge.
        """
        folder = Path(folder)
        record = RerankRecord.read(folder)
        return cls(
            folder, record, precision=record.precision if precision == "auto" else precision, threads=threads
        )

    @property
    def fingerprint(self) -> str:
        return self.record.fingerprint

    @property
    def views(self) -> tuple[str, ...]:
        """It reads texts alone."""
        return ()

    def check(self, encoder: str, kinds: Collection[str]) -> None:
        """It fits every student and index."""

    def rate(self, asked: Asked) -> Vectors:
        """Rate each candidate: float32 (candidates,), 0 to 10."""
        return self.scores(asked.context, asked.responses)

    def scores(self, context: Sequence[str], responses: Sequence[str]) -> Vectors:
        """Rate each response to a context (turns oldest first): float32 (responses,), 0 to 10.

        Raises:
            InputError: the context has no turn.
            ArtifactError: the graph or the tokenizer is missing or broken.
        """
        pairs = self._tokenizer.tokens(context, responses)
        ratings = np.empty(len(pairs), dtype=np.float32)
        for chunk in by_length(pairs, _AT_ONCE):
            ratings[chunk] = self._graph.run(None, self._tokenizer.padded([pairs[i] for i in chunk]))[0]
        return ratings

    @cached_property
    def _graph(self) -> Any:
        return open_graph(self.folder / GRAPH_FILES[self.precision], self._threads)

    @cached_property
    def _tokenizer(self) -> PairTokenizer:
        return PairTokenizer(read_tokenizer(self.folder), self.record.form)
