"""The student as ONNX graphs, for the reply path without torch."""

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import replacing
from g2r.config import ExportConfig
from g2r.dialogue import Example
from g2r.encoder import (
    GRAPH_FILES,
    KEY_GRAPH_FILE,
    RESPONSE_GRAPH_FILE,
    TOKENIZER_FILE,
    Encoder,
    ExportRecord,
    OnnxEncoder,
    pad_tokens,
)
from g2r.errors import ArtifactError, DependencyError
from g2r.student import CONTEXT_TASK, KEY_TASK, RESPONSE_TASK, BiEncoder

try:
    import onnx
    import torch
    from sentence_transformers.sentence_transformer.modules import Router, StaticEmbedding
    from torch import Tensor, nn
except ImportError as error:
    raise DependencyError(f"the export needs {error.name}: pip install 'g2r[train]'") from error

Floats = NDArray[np.float32]

MIN_FP32_COSINE = 0.9999
CHECKED_CONTEXTS, CHECKED_RESPONSES = 400, 10_000
"""The most held-out contexts and responses on which the int8 graph is measured."""

WEIGHT_BLOCK = 32
"""Weights that share a scale in the int8 graph.

One scale a column, with activations scaled by tensor, kept the best of 19,640 responses for 84-89% of
contexts; blocks of 32, on both sides, for 97-98%, in about 0.8 of the time of fp32."""


def export(
    student: BiEncoder,
    folder: Path,
    *,
    examples: Sequence[Example] = (),
    config: ExportConfig | None = None,
) -> Mapping[str, Any]:
    """Write the student as ONNX graphs into `folder`, pooling and normalisation inside; return what was measured.

    The folder gets the graphs, the tokenizer and `g2r.json` (an `ExportRecord`), and is replaced whole or not
    at all. Where `examples` hold contexts kept from training, the int8 graph is measured on them among
    the responses trained on, and served if it finds the same best response often enough.

    Raises:
        ArtifactError: the fp32 graph does not give the student's vectors, or the place is not writable.
    """
    config = config or ExportConfig()
    contexts = [e.context for e in examples if e.split != "train"][:CHECKED_CONTEXTS]
    texts = dict.fromkeys(c.text for e in examples if e.split == "train" for c in e.candidates)
    responses = list(texts)[:CHECKED_RESPONSES]
    with replacing(Path(folder)) as new:
        new.mkdir()
        record = _write_graphs(student, new)
        fp32 = OnnxEncoder.load(new, precision="fp32")
        record = replace(record, fp32_cosine=_compare(student, fp32, contexts[:32], responses[:32]))
        if config.int8:
            write_int8(new)
            if contexts and responses:
                int8 = OnnxEncoder.load(new, precision="int8")
                recall = check_int8(fp32, int8, contexts, responses)
                record = replace(
                    record,
                    precision="int8" if recall >= config.min_int8_recall else "fp32",
                    int8_recall_at_1=recall,
                    contexts=len(contexts),
                    responses=len(responses),
                )
        record.write(new)
    return {
        "precision": record.precision,
        "fp32_cosine": record.fp32_cosine,
        "int8_recall_at_1": record.int8_recall_at_1,
        "contexts": record.contexts,
        "responses": record.responses,
    }


def check_int8(
    fp32: Encoder, int8: Encoder, contexts: Sequence[Sequence[str]], responses: Sequence[str]
) -> float:
    """Share of contexts whose best response is the same for `int8` as for `fp32` (recall@1).

    The keys are those of `fp32` for both, as in an index.
    """
    keys = fp32.encode_responses(responses)
    best = [np.argmax(encoder.encode_contexts(contexts) @ keys.T, axis=1) for encoder in (fp32, int8)]
    return float(np.mean(best[0] == best[1]))


class _Tower(nn.Module):
    """One encoder from token ids to unit vectors."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(_Static(m) if isinstance(m, StaticEmbedding) else m for m in modules)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask (texts, tokens) to vectors (texts, dimensions)."""
        features: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        for step in self.steps:
            features = step(features)
        return nn.functional.normalize(features["sentence_embedding"], dim=-1)


class _Static(nn.Module):
    """A static tower on padded tokens: the sum of their vectors, its length being of no account."""

    def __init__(self, tower: StaticEmbedding) -> None:
        super().__init__()
        self.weight = tower.embedding.weight

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Adds the vectors of the texts (texts, dimensions)."""
        mask = features["attention_mask"].unsqueeze(-1).to(self.weight.dtype)
        vectors = nn.functional.embedding(features["input_ids"], self.weight)
        return {**features, "sentence_embedding": (vectors * mask).sum(dim=1)}


def _write_graphs(student: BiEncoder, folder: Path) -> ExportRecord:
    """Write the fp32 graphs and the tokenizer."""
    model = copy.deepcopy(student.model).cpu().float().eval()
    first, rest = model[0], list(model)[1:]
    routes = first.sub_modules if isinstance(first, Router) else {CONTEXT_TASK: [first]}
    towers = {task: [*route, *rest] for task, route in routes.items()}
    responses = towers.get(RESPONSE_TASK, towers[CONTEXT_TASK])
    keys = _key_graph(towers)
    _write_graph(towers[CONTEXT_TASK], folder / GRAPH_FILES["fp32"])
    if RESPONSE_TASK in towers:
        _write_graph(responses, folder / RESPONSE_GRAPH_FILE)
    if keys == "own":
        _write_graph(towers[KEY_TASK], folder / KEY_GRAPH_FILE)
    tokenizer = responses[0].tokenizer
    (folder / TOKENIZER_FILE).write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
    record = ExportRecord(
        form=student.form,
        fingerprint=student.fingerprint,
        dimensions=model.get_embedding_dimension(),
        pad_id=tokenizer.pad_token_id or 0,
        towers=student.towers,
        keys=keys,
        key_fingerprint=student.key_fingerprint,
        special_tokens=not isinstance(towers[CONTEXT_TASK][0], StaticEmbedding),
    )
    record.write(folder)
    return record


def _key_graph(towers: Mapping[str, Sequence[nn.Module]]) -> Literal["context", "response", "own"]:
    """Which graph encodes contexts of the bank."""
    if KEY_TASK not in towers:
        return "context"
    same = all(a is b for a, b in zip(towers[KEY_TASK], towers[RESPONSE_TASK], strict=True))
    return "response" if same else "own"


def _write_graph(steps: Sequence[nn.Module], path: Path) -> None:
    write_graph(_Tower(steps), pad_tokens([[1, 2, 3], [1, 2]], pad_id=0), "vectors", path)


def write_graph(model: nn.Module, inputs: Mapping[str, NDArray[np.int64]], output: str, path: Path) -> None:
    """Write a model of padded tokens as an ONNX graph.

    Args:
        model: takes the arrays of `inputs`, by position, and gives one tensor, named `output`.
        inputs: an example of them by name, each (texts, tokens); any sizes will do at run time.
    """
    sizes = {0: torch.export.Dim("texts", min=1, max=65536), 1: torch.export.Dim("tokens", min=2, max=512)}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            model,
            tuple(torch.from_numpy(array) for array in inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=dict.fromkeys(inputs, sizes),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(str(path))


def write_int8(folder: Path) -> None:
    """Write the graph of `folder` with its weight matrices in 8 bits; activations are quantised as they come."""
    model = onnx.load(folder / GRAPH_FILES["fp32"])
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "MatMul" or len(getattr(weights.get(node.input[1]), "dims", ())) != 2:
            continue
        name = node.input[1]
        matrix = onnx.numpy_helper.to_array(weights[name])
        codes, scales = quantize_blocks(matrix, block=WEIGHT_BLOCK)
        parts = {f"{name}_codes": codes, f"{name}_scales": scales}
        if f"{name}_codes" not in weights:
            tensors = [onnx.numpy_helper.from_array(array, part) for part, array in parts.items()]
            graph.initializer.extend(tensors)
            weights.update({tensor.name: tensor for tensor in tensors})
        node.CopyFrom(
            onnx.helper.make_node(
                "MatMulNBits",
                [node.input[0], *parts],
                list(node.output),
                name=node.name,
                domain="com.microsoft",
                K=matrix.shape[0],
                N=matrix.shape[1],
                bits=8,
                block_size=WEIGHT_BLOCK,
                accuracy_level=4,  # activations in 8 bits too, scaled by row and block
            )
        )
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    if all(entry.domain != "com.microsoft" for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, folder / GRAPH_FILES["int8"])


def quantize_blocks(matrix: Floats, *, block: int) -> tuple[NDArray[np.uint8], Floats]:
    """Quantise a matrix (inputs, outputs) to 8 bits, one scale for `block` inputs of one output.

    Returns:
        codes (outputs, blocks, block), weight = (code - 128) * scale, and scales (outputs, blocks); the last
        block is filled up with zero weights.
    """
    inputs, outputs = matrix.shape
    blocks = -(-inputs // block)
    rows = np.zeros((outputs, blocks * block), np.float32)
    rows[:, :inputs] = matrix.T
    grouped = rows.reshape(outputs, blocks, block)
    scales = np.abs(grouped).max(axis=2) / 127
    steps = np.rint(grouped / np.where(scales > 0, scales, 1)[:, :, None])
    return (steps + 128).astype(np.uint8), scales.astype(np.float32)


def _compare(
    student: BiEncoder,
    exported: OnnxEncoder,
    contexts: Sequence[Sequence[str]],
    responses: Sequence[str],
) -> float:
    """Least cosine between the student and its fp32 graph, on these texts and some awkward ones.

    Raises:
        ArtifactError: it is under `MIN_FP32_COSINE`.
    """
    contexts = [*contexts, ("",), ("hi", "so " * 600), ("naïve café 🙂", "שלום", "ok")]
    responses = [*responses, "", "so " * 600, "naïve café 🙂"]
    cosines = np.concatenate(
        [
            _cosines(student.encode_contexts(contexts), exported.encode_contexts(contexts)),
            _cosines(student.encode_responses(responses), exported.encode_responses(responses)),
            _cosines(student.encode_context_keys(contexts), exported.encode_context_keys(contexts)),
        ]
    )
    least = float(cosines.min())
    if not least >= MIN_FP32_COSINE:
        raise ArtifactError(
            f"the exported graph gives other vectors than the student: cosine {least:.5f}, expected at least "
            f"{MIN_FP32_COSINE}; serve it with torch, and report its base model"
        )
    return least


def _cosines(first: Floats, second: Floats) -> Floats:
    """Row by row; 1 for two vectors of nothing, what a static tower gives for a text without tokens."""
    nothing = ~(first.any(axis=1) | second.any(axis=1))
    return np.where(nothing, np.float32(1), np.sum(first * second, axis=1))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on what it has not got off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
