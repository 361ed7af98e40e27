"""The judge as a model: transformers' own output on the 0-10 scale, saved and loaded."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from g2r.errors import ConfigError, InputError
from g2r.judge.model import Judge
from tiny_judges import make_base

CONTEXT = ("so so", "we like thing2", "what of thing1 ?")
RESPONSES = ["good", "poor and awful thing1 and so and so", "fine thing2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("judge"))


def test_scores_are_ten_times_the_sigmoid_of_the_model(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base).eval()
    text = "user: what of thing1 ? [SEP] bot: we like thing2 [SEP] user: so so"
    expected = []
    for response in RESPONSES:
        with torch.no_grad():
            logit = model(**tokenizer(text, response, return_tensors="pt")).logits
        expected.append(10 * torch.sigmoid(logit).item())
    scores = Judge.load(base).score(CONTEXT, RESPONSES)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_scores_do_not_depend_on_the_batch_nor_the_order(base):
    judge = Judge.load(base)
    apart = [judge.score(CONTEXT, [response])[0] for response in RESPONSES]
    np.testing.assert_allclose(judge.score(CONTEXT, RESPONSES), apart, rtol=1e-5)
    lists = judge.score_lists([CONTEXT, ("what",)], [RESPONSES, ["good"]], at_once=1)
    np.testing.assert_allclose(lists[0], apart, rtol=1e-5)
    assert [len(scores) for scores in lists] == [3, 1]
    assert judge.score(CONTEXT, []).shape == (0,)


def test_a_saved_judge_scores_the_same_and_is_a_transformers_folder(base, tmp_path):
    judge = Judge.load(base).with_form(history=2, speaker_marks=False)
    judge.training = {"step": 3}
    judge.save(tmp_path / "judge")
    again = Judge.load(tmp_path / "judge")
    assert (again.form, again.training, again.fingerprint) == (judge.form, {"step": 3}, judge.fingerprint)
    np.testing.assert_array_equal(again.score(CONTEXT, RESPONSES), judge.score(CONTEXT, RESPONSES))
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "judge")


def test_the_first_layers_are_kept(base):
    whole, cut = Judge.load(base).model, Judge.load(base, layers=1).model
    assert len(cut.bert.encoder.layer) == 1
    name = "attention.self.query.weight"
    assert torch.equal(
        cut.bert.encoder.layer[0].get_parameter(name), whole.bert.encoder.layer[0].get_parameter(name)
    )
    with pytest.raises(ConfigError, match=r"layers is 5, but .* has 2"):
        Judge.load(base, layers=5)


def test_freezing_takes_embeddings_and_first_layers_out(base):
    judge = Judge.load(base)
    judge.freeze(1)
    trained = {name for name, p in judge.model.named_parameters() if p.requires_grad}
    assert not any("embeddings" in name or "layer.0." in name for name in trained)
    assert any("layer.1." in name for name in trained)
    assert "classifier.weight" in trained
    judge.freeze(-1)
    assert all(p.requires_grad for p in judge.model.parameters())


def test_what_is_no_judge_is_refused(tmp_path, base):
    with pytest.raises(InputError, match="no judge"):
        Judge.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="reads at most 64"):
        Judge.load(base).with_form(max_tokens=65)
