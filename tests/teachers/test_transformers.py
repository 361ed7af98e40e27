import math
import os
import re
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from g2r.config import GenerateConfig
from g2r.errors import ConfigError, TeacherError
from g2r.teachers.base import Teacher
from g2r.teachers.transformers import TransformersTeacher
from tiny_models import CAUSAL, CHAT_TEMPLATE, SEQ2SEQ, make_teacher

CONTEXTS = [
    ("i like dogs", "why ?"),
    (),
    ("what is it that you like today ? i really love music . do you ?",),
    ("yes", "no", "i love tea and rain"),
    ("it was fun",),
]
SAMPLING = GenerateConfig(
    responses_per_context=16, max_tokens=16, top_k=40, top_p=0.98, temperature=0.8, no_repeat_ngram=3
)
BEAM = GenerateConfig(responses_per_context=2, method="beam", beams=3, max_tokens=12, no_repeat_ngram=2)
FEW = GenerateConfig(responses_per_context=2, max_tokens=5)


@pytest.fixture(scope="module", params=[*SEQ2SEQ, *CAUSAL])
def folder(request, tmp_path_factory):
    template = CHAT_TEMPLATE if request.param == "llama" else ""
    return make_teacher(
        tmp_path_factory.mktemp("teachers") / request.param, request.param, chat_template=template
    )


@pytest.fixture(scope="module")
def teacher(folder):
    return TransformersTeacher(folder, batch_size=2)


@pytest.mark.parametrize("settings", [SAMPLING, BEAM], ids=["sample", "beam"])
def test_scores_kept_while_writing_are_those_of_scoring_the_text(teacher, settings):
    samples = teacher.generate(CONTEXTS, settings, seed=3)
    scores = teacher.score(CONTEXTS, [[sample.text for sample in group] for group in samples])
    kept = 0
    for group, scored in zip(samples, scores, strict=True):
        assert len(group) == settings.responses_per_context
        for sample, expected in zip(group, scored, strict=True):
            if sample.scores.ll_sum is not None:
                assert sample.finished
                assert sample.scores.tokens == expected.tokens
                assert sample.scores.ll_sum == pytest.approx(expected.ll_sum, abs=1e-4)
                kept += 1
    assert kept >= (3 if settings is SAMPLING else 0)


def test_what_is_sampled_depends_on_seed_and_contexts_alone(teacher):
    first = teacher.generate(CONTEXTS, FEW, seed=3)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    assert teacher.generate(CONTEXTS, FEW, seed=3) == first
    assert torch.equal(torch.get_rng_state(), before)
    assert teacher.generate(CONTEXTS, FEW, seed=4) != first


def test_responses_come_back_in_the_order_of_contexts_whatever_the_batches(folder):
    texts = [["i love", "no"], ["yes"], ["dogs and cats play today", "why", "is it ?"], [], ["never"]]
    one, many = (TransformersTeacher(folder, batch_size=n).score(CONTEXTS, texts) for n in (1, 16))
    alone = [
        TransformersTeacher(folder).score([context], [group])[0]
        for context, group in zip(CONTEXTS[:2], texts[:2], strict=True)
    ]
    for got, expected in [*zip(one, many, strict=True), *zip(one[:2], alone, strict=True)]:
        assert [s.tokens for s in got] == [s.tokens for s in expected]
        assert [s.ll_sum for s in got] == pytest.approx([s.ll_sum for s in expected], abs=1e-4)


def test_cut_responses_are_not_finished_and_carry_no_scores(teacher):
    cut = GenerateConfig(responses_per_context=2, max_tokens=2, min_tokens=2)
    for group in teacher.generate(CONTEXTS, cut, seed=0):
        for sample in group:
            assert not sample.finished
            assert sample.scores.ll_sum is None


def test_it_is_a_teacher_named_after_its_folder(teacher, folder):
    assert isinstance(teacher, Teacher)
    assert teacher.name == folder.name
    assert teacher.score_kinds == {"ll"}


def test_sampling_follows_the_distribution_it_is_asked_for(tmp_path):
    """Single tokens drawn at temperature 0.5 among the top 5: their share against the closed form."""
    folder = make_teacher(tmp_path / "gpt2", "gpt2")
    teacher = TransformersTeacher(folder)
    context = ("i like dogs",)
    ids = teacher._prompts.context_ids(context)
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0, -1]
    top = logits.topk(5)
    expected = (top.values / 0.5).softmax(0)
    settings = GenerateConfig(responses_per_context=2000, max_tokens=1, top_k=5, temperature=0.5)
    samples = teacher.generate([context], settings, seed=0)[0]
    drawn = [teacher._tokenizer.convert_tokens_to_ids(s.text) if s.text else None for s in samples]
    for token, share in zip(top.indices.tolist(), expected.tolist(), strict=True):
        if token >= 8:  # special tokens have no text
            assert drawn.count(token) / 2000 == pytest.approx(share, abs=4 * math.sqrt(0.25 / 2000))


def test_a_long_context_is_cut_not_refused(teacher):
    long = tuple(["i like dogs and cats and tea"] * 60)
    assert math.isfinite(teacher.score([long], [["yes"]])[0][0].ll_sum)


def test_a_response_over_the_model_s_positions_is_refused(teacher):
    if teacher._room == math.inf:
        pytest.skip("relative positions have no end")
    with pytest.raises(TeacherError, match="takes at most"):
        teacher.score([("why ?",)], [["yes " * 200]])


def test_weights_that_are_not_numbers_are_found_out(tmp_path):
    for kind in ("bart", "gpt2"):
        teacher = TransformersTeacher(make_teacher(tmp_path / kind, kind))
        with torch.no_grad():
            next(iter(teacher._model.parameters())).fill_(math.nan)
        with pytest.raises(TeacherError, match=r"log-likelihood of 'yes' after \['why \?'\] is nan"):
            teacher.score([("why ?",)], [["yes"]])
        with pytest.raises(TeacherError, match="not finite"):
            teacher.generate([("why ?",)], SAMPLING, seed=0)


def test_a_decoder_without_a_start_token_begins_as_a_text_does(tmp_path):
    folder = make_teacher(tmp_path / "bart", "bart")
    described, generation = folder / "config.json", folder / "generation_config.json"
    texts = [["yes i do", "no"]]
    scores = []
    for start in ('"decoder_start_token_id": 0', '"decoder_start_token_id": null'):
        for file in (described, generation):
            file.write_text(re.sub(r'"decoder_start_token_id": \w+', start, file.read_text()))
        scores.append(TransformersTeacher(folder).score([("why ?",)], texts))
    assert scores[0] == scores[1]
    for file in (described, generation):
        file.write_text(re.sub(r'"bos_token_id": \w+', '"bos_token_id": null', file.read_text()))
    with pytest.raises(TeacherError, match="set decoder_start_token_id"):
        TransformersTeacher(folder)


def test_wrong_arguments_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    with pytest.raises(TeacherError, match="no teacher nobody/no-such-model; expected a folder"):
        TransformersTeacher("nobody/no-such-model")
    with pytest.raises(TeacherError, match="no teacher no/such/folder"):
        TransformersTeacher("no/such/folder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TeacherError, match="holds no teacher that loads"):
        TransformersTeacher(tmp_path / "empty")
    with pytest.raises(ConfigError, match="did you mean 'batch_size'"):
        TransformersTeacher("x", batchsize=3)
    folder = make_teacher(tmp_path / "t5", "t5")
    with pytest.raises(TeacherError, match="no device 'nonsense'"):
        TransformersTeacher(folder, device="nonsense")
    with pytest.raises(TeacherError, match="1 contexts came with 0 lists"):
        TransformersTeacher(folder).score([()], [])
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(TeacherError, match="holds no teacher that loads"):
        TransformersTeacher(folder)


def test_without_torch_the_error_says_what_to_install():
    script = "import sys; sys.modules['torch'] = None; import g2r.teachers.transformers"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert "DependencyError: a transformers teacher needs torch" in done.stderr
    assert "pip install 'g2r[train]'" in done.stderr
