"""The serving encoder against the student it was exported from."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byte_students import FORM, TEXTS, make_student
from g2r.encoder import ContextForm, Encoder, OnnxEncoder, pad_tokens
from g2r.errors import ArtifactError, InputError
from g2r.export import export
from g2r.student import BiEncoder

CONTEXTS = [*[(text,) for text in TEXTS], tuple(TEXTS), ("hi", *TEXTS[:3]), ("one", "two", TEXTS[-2], "four")]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> BiEncoder:
    return make_student(str(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def folder(student: BiEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("student") / "onnx"
    export(student, made)
    return made


def with_record(folder: Path, target: Path, **changes: object) -> Path:
    """A copy of an exported student whose record has these changes."""
    shutil.copytree(folder, target)
    record = json.loads((target / "g2r.json").read_text())
    (target / "g2r.json").write_text(json.dumps({**record, **changes}))
    return target


def test_is_an_encoder_with_the_students_fingerprint(student: BiEncoder, folder: Path) -> None:
    encoder = OnnxEncoder.load(folder)
    assert isinstance(encoder, Encoder)
    assert (encoder.fingerprint, encoder.form) == (student.fingerprint, student.form)


def test_fp32_gives_the_students_vectors(student: BiEncoder, folder: Path) -> None:
    encoder = OnnxEncoder.load(folder, precision="fp32", threads=1)
    for ours, theirs in (
        (encoder.encode_contexts(CONTEXTS), student.encode_contexts(CONTEXTS)),
        (encoder.encode_responses(TEXTS), student.encode_responses(TEXTS)),
    ):
        assert (ours.dtype, ours.shape) == (np.float32, theirs.shape)
        np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
        assert np.sum(ours * theirs, axis=1).min() > 0.9999
    assert np.ptp(encoder.encode_responses(TEXTS) @ encoder.encode_responses(["hi"])[0]) > 0.2


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_long_contexts_lose_their_oldest_tokens(
    student: BiEncoder, folder: Path, tmp_path: Path, order: str
) -> None:
    changed = {"turn_order": order, "max_context_tokens": 24}
    form = {**json.loads((folder / "g2r.json").read_text())["form"], **changed}
    encoder = OnnxEncoder.load(with_record(folder, tmp_path / "onnx", form=form))
    recent = ("what about the music of the rain?", "lovely")
    contexts = [(old * 90, *recent) for old in ("rain ", "tea! ")]
    kept = encoder.encode_contexts(contexts)
    np.testing.assert_allclose(kept, student.with_form(**changed).encode_contexts(contexts), atol=1e-5)
    far = encoder.encode_contexts([("x " * 90, *recent[:1], newest) for newest in ("lovely", "why")])
    assert kept[0] @ kept[1] > far[0] @ far[1] - 1e-6
    assert far[0] @ far[1] < 0.9999
    longer = encoder.encode_contexts([("tea " * 40, contexts[0][0], *recent)])
    np.testing.assert_allclose(longer[0], kept[0], atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_vector_does_not_depend_on_the_texts_beside_it(folder: Path, precision: str) -> None:
    encoder = OnnxEncoder.load(folder, precision=precision)
    alone = np.concatenate([encoder.encode_contexts([context]) for context in CONTEXTS])
    for batch_size in (2, 5, 100):
        np.testing.assert_allclose(encoder.encode_contexts(CONTEXTS, batch_size=batch_size), alone, atol=2e-5)
    np.testing.assert_allclose(encoder.encode_contexts(CONTEXTS[::-1]), alone[::-1], atol=2e-5)


def test_int8_differs_a_little_and_for_contexts_alone(folder: Path) -> None:
    fp32, int8 = (OnnxEncoder.load(folder, precision=p) for p in ("fp32", "int8"))
    cosines = np.sum(fp32.encode_contexts(CONTEXTS) * int8.encode_contexts(CONTEXTS), axis=1)
    assert 0.99 < cosines.min() < 0.999999
    np.testing.assert_array_equal(fp32.encode_responses(TEXTS), int8.encode_responses(TEXTS))


@pytest.mark.parametrize("served", ["fp32", "int8"])
def test_auto_takes_what_the_export_decided(folder: Path, tmp_path: Path, served: str) -> None:
    assert OnnxEncoder.load(with_record(folder, tmp_path / "onnx", precision=served)).precision == served


def test_no_text_gives_no_vector_and_no_turn_is_an_error(folder: Path) -> None:
    encoder = OnnxEncoder.load(folder)
    assert encoder.encode_contexts([]).shape == encoder.encode_responses([]).shape == (0, 32)
    with pytest.raises(InputError, match="a context without turns"):
        encoder.encode_contexts([("hi",), ()])


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=5))
def test_padding_is_masked(ids: list[list[int]]) -> None:
    inputs = pad_tokens(ids, pad_id=0)
    for row, tokens in enumerate(ids):
        assert inputs["input_ids"][row][inputs["attention_mask"][row] == 1].tolist() == tokens
    assert not inputs["input_ids"][inputs["attention_mask"] == 0].any()


@pytest.mark.parametrize("name", ["g2r.json", "model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("broken", [None, b"", b"{", b'{"model": '])
def test_a_missing_or_broken_file_is_named(
    folder: Path, tmp_path: Path, name: str, broken: bytes | None
) -> None:
    copy = with_record(folder, tmp_path / "onnx")
    if broken is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(broken)
    with pytest.raises(ArtifactError, match=name) as caught:
        OnnxEncoder.load(copy)
    assert "\n" not in str(caught.value)


def test_encodes_without_torch(folder: Path) -> None:
    heavy = ("torch", "transformers", "sentence_transformers", "onnx", "datasets", "openai")
    program = (
        "import sys\n"
        f"for name in {heavy}: sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from g2r.encoder import OnnxEncoder\n"
        f"encoder = OnnxEncoder.load(Path({str(folder)!r}))\n"
        "print(encoder.encode_contexts([['hi']]).shape, encoder.encode_responses(['hi']).shape)\n"
        f"print([name for name in sys.modules if name.split('.')[0] in {heavy} and sys.modules[name]])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[:2] == ["(1, 32) (1, 32)", "[]"]


def test_context_form_orders_and_marks_turns() -> None:
    form = ContextForm(separator=" | ")
    assert form.text(["a", "b", "c"]) == "c | b | a"
    assert replace(form, turn_order="oldest_first", speaker_marks=True).text(["a", "b"]) == "bot: a | user: b"
    assert FORM.text(["a"]) == "a"


def test_a_context_text_holds_the_last_turns_alone():
    form = ContextForm(separator=" | ", history=2)
    assert form.text(["a", "b", "c"]) == "c | b"
    assert form.text(["c"]) == "c"
