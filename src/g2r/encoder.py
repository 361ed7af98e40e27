"""What search and bot need of an encoder, and the serving encoder: ONNX Runtime, no torch."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors
from tokenizers import Tokenizer

from g2r.errors import ArtifactError, InputError

Vectors = NDArray[np.float32]
Precision = Literal["fp32", "int8"]


@dataclass(frozen=True, slots=True)
class ContextForm:
    """How a context becomes the one text that the encoder f reads.

    Attributes:
        turn_order: newest_first keeps the last turn whole when a long text is cut at its end.
        speaker_marks: say before each turn who speaks; the last turn is the partner's.
        separator: stands between two turns.
        max_context_tokens: texts are cut there at the end of the oldest turn.
        max_response_tokens: responses are cut there.
        history: turns that are read, the last ones, as many as in training.
    """

    turn_order: Literal["newest_first", "oldest_first"] = "newest_first"
    speaker_marks: bool = False
    separator: str = " [SEP] "
    max_context_tokens: int = 128
    max_response_tokens: int = 64
    history: int = 4

    def text(self, turns: Sequence[str]) -> str:
        """Return the text of a context, `turns` oldest first.

        Raises:
            InputError: there is no turn.
        """
        if not turns:
            raise InputError("a context without turns; expected at least the partner's last turn")
        marked = [
            f"{'user' if back % 2 == 0 else 'bot'}: {turn}" if self.speaker_marks else turn
            for back, turn in enumerate(reversed(turns[-self.history :]))
        ]
        return self.separator.join(marked if self.turn_order == "newest_first" else reversed(marked))


@runtime_checkable
class Encoder(Protocol):
    """The two encoders f and g of the student; `BiEncoder` (torch) and `OnnxEncoder` are such."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors would: an index remembers it and refuses another encoder."""
        ...

    def encode_contexts(self, contexts: Sequence[Sequence[str]]) -> Vectors:
        """f(c) for each context: float32 (contexts, dimensions), unit length."""
        ...

    def encode_responses(self, responses: Sequence[str]) -> Vectors:
        """g(r) for each response: float32 (responses, dimensions), unit length."""
        ...


@runtime_checkable
class KeyEncoder(Encoder, Protocol):
    """An encoder that tells contexts of the bank, its keys, from contexts to be answered.

    A compressed student encodes the latter by a small tower, into the space of the full one.
    """

    @property
    def key_fingerprint(self) -> str:
        """Changes whenever the keys would: what an index of them remembers."""
        ...

    def encode_context_keys(self, contexts: Sequence[Sequence[str]]) -> Vectors:
        """The keys of contexts of the bank: float32 (contexts, dimensions), unit length."""
        ...


def encode_context_keys(encoder: Encoder, contexts: Sequence[Sequence[str]]) -> Vectors:
    """The keys of contexts of the bank: float32 (contexts, dimensions), unit length."""
    if isinstance(encoder, KeyEncoder):
        return encoder.encode_context_keys(contexts)
    return encoder.encode_contexts(contexts)


def key_fingerprint(encoder: Encoder) -> str:
    """What an index of keys by this encoder remembers of it."""
    return encoder.key_fingerprint if isinstance(encoder, KeyEncoder) else encoder.fingerprint


GRAPH_FILES: dict[Precision, str] = {"fp32": "model.onnx", "int8": "model_int8.onnx"}
RESPONSE_GRAPH_FILE = "response_model.onnx"
KEY_GRAPH_FILE = "key_model.onnx"
TOKENIZER_FILE = "tokenizer.json"
EXPORT_FILE = "g2r.json"
_LEAST_TOKENS = 2
"""Graphs are exported for texts of two tokens or more; without special tokens a text may have fewer."""
_UNREADABLE = (
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NoSuchFile,
    onnx_errors.NotImplemented,
)


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """What an exported student is (`g2r.json` beside its graphs).

    Attributes:
        form: how contexts become texts.
        fingerprint: that of the student.
        dimensions: length of a vector.
        pad_id: token that fills short texts of a batch.
        towers: "separate" if responses have a graph of their own.
        precision: the graph that is served for contexts.
        fp32_cosine: least cosine between the fp32 graph and the student on the texts compared at export.
        int8_recall_at_1: share of held-out contexts whose best response is the same by the int8 graph as by
            the fp32 one; None if it was not measured.
        contexts: held-out contexts it was measured on.
        responses: responses among which the best was sought.
        keys: the graph that encodes contexts of the bank: that of contexts, that of responses, or its own.
        key_fingerprint: that of the student whose keys these are; empty for this one.
        special_tokens: whether contexts to be answered are read with the tokenizer's special tokens around them.
    """

    form: ContextForm
    fingerprint: str
    dimensions: int
    pad_id: int
    towers: Literal["shared", "separate"]
    precision: Precision = "fp32"
    fp32_cosine: float | None = None
    int8_recall_at_1: float | None = None
    contexts: int = 0
    responses: int = 0
    keys: Literal["context", "response", "own"] = "context"
    key_fingerprint: str = ""
    special_tokens: bool = True

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / EXPORT_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "ExportRecord":
        """Read what `write` wrote.

        Raises:
            ArtifactError: there is none, or it is not such a record.
        """
        path = folder / EXPORT_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**values, "form": ContextForm(**values["form"])})
        except OSError as error:
            raise ArtifactError(
                f"cannot read {path}: {error.strerror}; expected a student written by g2r export"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"{path} describes no exported student ({error}); export it again") from error


class OnnxEncoder:
    """The student on ONNX Runtime: an `Encoder` that needs neither torch nor transformers.

    The int8 graph encodes contexts alone. Responses are always encoded in fp32, so that the keys of an index
    are the same whichever precision is served. A text's vector does not depend on the texts beside it.

    Attributes:
        record: what was exported.
        precision: that of the context graph in use.
    """

    def __init__(self, folder: Path, record: ExportRecord, *, precision: Precision, threads: int) -> None:
        self.record = record
        self.precision = precision
        self._folder = folder
        self._threads = threads
        form = record.form
        self._context_graph = open_graph(folder / GRAPH_FILES[precision], threads)
        self._context_tokenizer = _open_tokenizer(
            folder, form.max_context_tokens, cut="right" if form.turn_order == "newest_first" else "left"
        )

    @classmethod
    def load(
        cls, folder: Path, *, precision: Literal["auto", "fp32", "int8"] = "auto", threads: int = 0
    ) -> "OnnxEncoder":
        """Load an exported student.

        Args:
            folder: what `g2r.export.export` wrote; `onnx` inside the student's folder.
            precision: auto takes int8 if its recall held when it was exported.
            threads: threads of one call; 0 for one a core.

        Raises:
            ArtifactError: the folder holds no exported student, or a file of it is broken.
        """
        folder = Path(folder)
        record = ExportRecord.read(folder)
        chosen = record.precision if precision == "auto" else precision
        return cls(folder, record, precision=chosen, threads=threads)

    @property
    def form(self) -> ContextForm:
        return self.record.form

    @property
    def fingerprint(self) -> str:
        """That of the student: its index fits, int8 being used only where it finds the same responses."""
        return self.record.fingerprint

    @property
    def key_fingerprint(self) -> str:
        """That of the student that encodes the keys, the full one of a compressed student."""
        return self.record.key_fingerprint or self.record.fingerprint

    def encode_contexts(self, contexts: Sequence[Sequence[str]], *, batch_size: int = 16) -> Vectors:
        """f(c) for each context, turns oldest first: float32 (contexts, dimensions), unit length.

        Raises:
            InputError: a context has no turn.
        """
        return self.encode_tokens(self.tokenize_contexts(contexts), batch_size=batch_size)

    def tokenize_contexts(self, contexts: Sequence[Sequence[str]]) -> list[list[int]]:
        """The token ids of each context, turns oldest first: what `encode_tokens` reads.

        Raises:
            InputError: a context has no turn.
        """
        texts = [self.form.text(turns) for turns in contexts]
        return _token_ids(self._context_tokenizer, texts, special_tokens=self.record.special_tokens)

    def encode_tokens(self, tokens: Sequence[Sequence[int]], *, batch_size: int = 16) -> Vectors:
        """f(c) for the token ids of each context: float32 (contexts, dimensions), unit length."""
        return self._encode(self._context_graph, tokens, batch_size)

    def encode_responses(self, responses: Sequence[str], *, batch_size: int = 16) -> Vectors:
        """g(r) for each response, in fp32: float32 (responses, dimensions), unit length."""
        return self._encode(self._response_graph, _token_ids(self._response_tokenizer, responses), batch_size)

    def encode_context_keys(self, contexts: Sequence[Sequence[str]], *, batch_size: int = 16) -> Vectors:
        """The keys of contexts of the bank: float32 (contexts, dimensions), unit length.

        Raises:
            InputError: a context has no turn.
        """
        if self.record.keys == "context":
            return self.encode_contexts(contexts, batch_size=batch_size)
        tokens = _token_ids(self._context_tokenizer, [self.form.text(turns) for turns in contexts])
        return self._encode(self._key_graph, tokens, batch_size)

    @cached_property
    def _key_graph(self) -> Any:
        """Opened at first use, as that of the responses."""
        if self.record.keys == "response":
            return self._response_graph
        return open_graph(self._folder / KEY_GRAPH_FILE, self._threads)

    @cached_property
    def _response_graph(self) -> Any:
        """Opened at first use: a bot that only replies never encodes a response."""
        if self.record.towers == "separate":
            return open_graph(self._folder / RESPONSE_GRAPH_FILE, self._threads)
        if self.precision == "fp32":
            return self._context_graph
        return open_graph(self._folder / GRAPH_FILES["fp32"], self._threads)

    @cached_property
    def _response_tokenizer(self) -> Tokenizer:
        return _open_tokenizer(self._folder, self.form.max_response_tokens, cut="right")

    def _encode(self, graph: Any, ids: Sequence[Sequence[int]], batch_size: int) -> Vectors:
        """Encode in batches of like length, so that little is padded."""
        by_length = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        vectors = np.empty((len(ids), self.record.dimensions), dtype=np.float32)
        for start in range(0, len(ids), batch_size):
            rows = by_length[start : start + batch_size]
            inputs = pad_tokens([ids[i] for i in rows], pad_id=self.record.pad_id)
            vectors[rows] = graph.run(None, inputs)[0]
        return vectors


def _token_ids(tokenizer: Tokenizer, texts: Sequence[str], *, special_tokens: bool = True) -> list[list[int]]:
    """The ids alone: where in the text each token stands would take longer, and is not needed."""
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=special_tokens)
    return [encoding.ids for encoding in encodings]


def pad_tokens(ids: Sequence[Sequence[int]], *, pad_id: int) -> dict[str, NDArray[np.int64]]:
    """Token ids as (texts, tokens) padded to the longest, at least two, and the mask that is 1 on real tokens."""
    shape = (len(ids), max(_LEAST_TOKENS, *map(len, ids)))
    inputs = {"input_ids": np.full(shape, pad_id, np.int64), "attention_mask": np.zeros(shape, np.int64)}
    for row, tokens in enumerate(ids):
        inputs["input_ids"][row, : len(tokens)] = tokens
        inputs["attention_mask"][row, : len(tokens)] = 1
    return inputs


def open_graph(path: Path, threads: int) -> Any:
    """The ONNX Runtime session of a graph, `threads` a call, 0 for one a core.

    Raises:
        ArtifactError: the file is missing, or no graph that can be run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that go on spinning when a call is over take the cores from search, rules and other requests.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _UNREADABLE as error:
        raise ArtifactError(f"{path} is missing or no graph that can be run; export it again") from error


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of an exported model.

    Raises:
        ArtifactError: the file is missing or broken.
    """
    path = folder / TOKENIZER_FILE
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)["model"]  # tokenizers has no error class of its own for a broken file
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is missing or no tokenizer; export it again") from error
    return Tokenizer.from_str(text)


def _open_tokenizer(folder: Path, max_tokens: int, *, cut: Literal["left", "right"]) -> Tokenizer:
    tokenizer = read_tokenizer(folder)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=cut)
    return tokenizer
