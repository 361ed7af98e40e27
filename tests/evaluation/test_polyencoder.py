"""The poly-encoder: its scores by hand, that it learns, that it comes back as it was."""

import math

import numpy as np
import pytest
import torch

from g2r.config import TrainConfig
from g2r.dialogue import Candidate, Example
from g2r.errors import ArtifactError, ConfigError
from g2r.evaluation.learned.base import LearnedScorer, list_scorer
from g2r.evaluation.polyencoder import PolyEncoder, poly_scores, train_poly_encoder
from g2r.student import BiEncoder
from tiny_students import SETTINGS, make_base, topic_examples

SHORT = TrainConfig(**{**SETTINGS, "max_steps": 40, "evals": 2})


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


def test_scores_are_those_of_the_paper_for_one_pair():
    generator = torch.Generator().manual_seed(0)
    contexts = torch.randn(3, 4, 5, generator=generator)
    responses = torch.nn.functional.normalize(torch.randn(2, 5, generator=generator), dim=-1)
    found = poly_scores(contexts, responses)
    for i in range(3):
        for j in range(2):
            weights = [math.exp(float(c @ responses[j])) for c in contexts[i]]
            attended = sum(w * c for w, c in zip(weights, contexts[i], strict=True)) / sum(weights)
            assert float(found[i, j]) == pytest.approx(
                float(attended @ responses[j] / attended.norm()), abs=1e-6
            )


def test_context_vectors_do_not_depend_on_padding(base):
    poly = PolyEncoder(BiEncoder.load(base), codes=3).eval()
    short, long = ("i like topic1",), ("hi", "ok", "tell me of topic2 please", "so topic3 it is")
    with torch.no_grad():
        alone, together = poly.context_vectors([short]), poly.context_vectors([short, long])
    assert alone.shape == (1, 3, 32)
    torch.testing.assert_close(together[:1], alone)


def test_it_learns_what_the_base_does_not_know(base, tmp_path):
    examples = topic_examples(judged=False)
    poly = train_poly_encoder(examples, base=base, output=tmp_path / "poly", config=SHORT, codes=4)
    valid = [e for e in examples if e.split == "valid"]
    contexts = [e.context for e in valid]
    answers = [e.originals[0].text for e in valid]

    def right(scorer):
        scores = np.stack(list_scorer(scorer)(contexts, [answers] * len(contexts)))
        return float((scores.argmax(axis=1) == np.arange(len(contexts))).mean())

    assert isinstance(poly, LearnedScorer)
    before, after = right(PolyEncoder(BiEncoder.load(base), codes=4)), right(poly)
    assert after > before + 0.3
    assert poly.student.training["hits@1"] > 0
    again = PolyEncoder.load(tmp_path / "poly")
    assert again.score(contexts[:3], answers[:3]).tolist() == poly.score(contexts[:3], answers[:3]).tolist()


def test_a_text_scores_the_same_whatever_was_asked_before(base):
    poly = PolyEncoder(BiEncoder.load(base), codes=2)
    first = poly.score([("i like topic1",)], ["always answer1 !"])
    poly.score([("hi", "what of topic2 please")] * 2, ["well answer2 for sure", "always answer1 !"])
    assert poly.score([("i like topic1",)], ["always answer1 !"]).tolist() == first.tolist()


def test_what_is_no_poly_encoder_is_refused(base, tmp_path):
    with pytest.raises(ArtifactError, match="no poly-encoder in"):
        PolyEncoder.load(base)
    with pytest.raises(ConfigError, match="no training examples"):
        train_poly_encoder(
            [Example(("a",), (Candidate("b", "human", original=True),), split="test")],
            base=base,
            output=tmp_path / "poly",
        )
