"""Writing the student as ONNX graphs."""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from byte_students import TEXTS, make_student
from g2r.config import ExportConfig
from g2r.dialogue import Candidate, Example
from g2r.encoder import ExportRecord, OnnxEncoder, Vectors
from g2r.errors import ArtifactError
from g2r.export import check_int8, export, quantize_blocks
from g2r.student import BiEncoder

EXAMPLES = [
    Example(
        context=(f"so what about number {i}?", "tell me")[: 1 + i % 2],
        candidates=tuple(Candidate(f"reply {j} to number {i}", "human") for j in range(3)),
        split="valid" if i % 3 == 0 else "train",
    )
    for i in range(30)
]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> BiEncoder:
    return make_student(str(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def exported(student: BiEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student") / "onnx"
    export(student, folder, examples=EXAMPLES, config=ExportConfig(min_int8_recall=0.0))
    return folder


def test_int8_is_served_if_its_recall_reaches_the_bar(
    student: BiEncoder, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, counts = exported, asdict(ExportRecord.read(exported))
    fp32, int8 = (OnnxEncoder.load(folder, precision=p) for p in ("fp32", "int8"))
    contexts = [e.context for e in EXAMPLES if e.split == "valid"]
    replies = [c.text for e in EXAMPLES if e.split == "train" for c in e.candidates]
    keys = student.encode_responses(replies)
    agree = [
        int(np.argmax(keys @ fp32.encode_contexts([c])[0]) == np.argmax(keys @ int8.encode_contexts([c])[0]))
        for c in contexts
    ]
    assert counts["int8_recall_at_1"] == pytest.approx(np.mean(agree))
    assert (counts["contexts"], counts["responses"]) == (10, 60)
    assert counts["fp32_cosine"] > 0.9999
    assert OnnxEncoder.load(folder).precision == counts["precision"] == "int8"
    assert {f.name for f in folder.iterdir()} == {
        "g2r.json",
        "model.onnx",
        "model_int8.onnx",
        "tokenizer.json",
    }
    monkeypatch.setattr(
        "g2r.export._write_graph", lambda steps, path: shutil.copy(folder / "model.onnx", path)
    )
    monkeypatch.setattr("g2r.export.check_int8", lambda *_: 0.96)
    assert export(student, tmp_path / "onnx", examples=EXAMPLES)["precision"] == "fp32"
    assert OnnxEncoder.load(tmp_path / "onnx").precision == "fp32"


def test_int8_weights_are_bytes_in_every_layer(exported: Path) -> None:
    graph = onnx.load(exported / "model_int8.onnx").graph
    products = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert len(products) == 2 * 6
    rounded = {tuple(t.dims): t for t in graph.initializer if t.name.endswith("_codes")}
    assert all(t.data_type == onnx.TensorProto.UINT8 for t in rounded.values())


def test_two_towers_give_two_graphs_and_without_examples_fp32_is_served(
    student: BiEncoder, tmp_path: Path
) -> None:
    separate = student.with_towers("separate")
    with torch.no_grad():
        for parameter in separate.model[0].sub_modules["document"].parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    separate = BiEncoder(separate.model, separate.form)
    counts = export(separate, tmp_path / "onnx")
    assert (counts["precision"], counts["int8_recall_at_1"]) == ("fp32", None)
    for precision in ("fp32", "int8"):
        encoder = OnnxEncoder.load(tmp_path / "onnx", precision=precision)
        responses = encoder.encode_responses(TEXTS)
        np.testing.assert_allclose(responses, separate.encode_responses(TEXTS), atol=1e-4)
        contexts = encoder.encode_contexts([(text,) for text in TEXTS])
        assert np.sum(contexts * separate.encode_contexts([(t,) for t in TEXTS]), axis=1).min() > 0.99
    assert np.sum(contexts * responses, axis=1).max() < 0.99


def test_a_graph_that_differs_is_refused_and_what_was_there_stays(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "before").write_text("kept")
    another = make_student(str(tmp_path / "base"), seed=1)
    monkeypatch.setattr(
        "g2r.export._write_graph", lambda steps, path: shutil.copy(exported / "model.onnx", path)
    )
    with pytest.raises(ArtifactError, match="other vectors than the student"):
        export(another, folder)
    assert [f.name for f in folder.iterdir()] == ["before"]
    assert {f.name for f in tmp_path.iterdir()} == {"base", "onnx"}


class Fixed:
    """An encoder whose vectors are given."""

    fingerprint = "fixed"

    def __init__(self, contexts: list[list[float]]) -> None:
        self.contexts = np.array(contexts, np.float32)

    def encode_contexts(self, contexts: object) -> Vectors:
        return self.contexts

    def encode_responses(self, responses: object) -> Vectors:
        return np.array([[1, 0], [0, 1]], np.float32)


def test_recall_counts_contexts_with_the_same_best_response() -> None:
    exact = Fixed([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]])
    rough = Fixed([[0.9, 0.1], [0.6, 0.8], [0.1, 1], [0.5, 0.9]])
    assert check_int8(exact, rough, [("a",)] * 4, ["x", "y"]) == 0.75
    assert check_int8(exact, exact, [("a",)] * 4, ["x", "y"]) == 1.0


@given(arrays(np.float32, (37, 3), elements=st.floats(-4, 4, width=32)))
def test_blocks_are_rounded_to_their_own_scale(matrix: np.ndarray) -> None:
    codes, scales = quantize_blocks(matrix, block=16)
    assert (codes.shape, scales.shape) == ((3, 3, 16), (3, 3))
    for output in range(3):
        for row in range(37):
            block, place = divmod(row, 16)
            scale = scales[output, block]
            value = (int(codes[output, block, place]) - 128) * scale
            assert abs(value - matrix[row, output]) <= scale / 2 * 1.0001 + 1e-6
    assert (codes[:, 2, 5:] == 128).all()


def test_a_record_reads_back(student: BiEncoder, tmp_path: Path) -> None:
    record = ExportRecord(student.form, "abc", 32, 0, "shared", "int8", 1.0, 0.98, 10, 60)
    record.write(tmp_path)
    assert ExportRecord.read(tmp_path) == record
