"""The generative rivals: as large as published, as long as asked for, never more than fits."""

import pytest
import torch

from g2r.encoder import ContextForm
from g2r.errors import ConfigError
from g2r.evaluation.metrics import NotComputed
from g2r.latency.generative import (
    ARCHITECTURES,
    Architecture,
    GenerativeRival,
    architecture_named,
    fitting_dtype,
    parameters,
    random_model,
)

TINY = {
    True: Architecture(True, 60, 16, (1, 2), 2, 40),
    False: Architecture(False, 60, 16, (1, 2), 2, 40),
}


class Words:
    """Stands for a student: as many tokens as words."""

    def context_text(self, turns: tuple[str, ...]) -> str:
        return ContextForm(separator=" ").text(turns)

    def features(self, texts: list[str], task: str) -> dict[str, torch.Tensor]:
        lengths = torch.tensor([len(text.split()) for text in texts])
        return {"attention_mask": (torch.arange(int(lengths.max())) < lengths[:, None]).long()}


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("90M", 87_508_992),
        ("400M-distill", 364_802_560),
        ("2.7B", 2_696_268_800),
        ("9.4B", 9_431_810_048),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, published: int) -> None:
    assert parameters(ARCHITECTURES[name]) == published


def test_an_unknown_rival_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'3B' is none of 90M, 400M-distill, 2\.7B, 9\.4B"):
        architecture_named("3B")


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("beams", [1, 4])
def test_replies_have_the_length_asked_for(small: bool, beams: int) -> None:
    model = random_model(TINY[small], dtype="fp32", device="cpu")
    rival = GenerativeRival("tiny", model, Words(), beams=beams, tokens=7)  # type: ignore[arg-type]
    inputs = rival._inputs([("one two three",), ("one " * 100,)])
    assert inputs["attention_mask"].sum(dim=1).tolist() == [3, 40]
    written = rival.generate(inputs)
    assert written.shape == (2, 8)
    assert not (written[:, 1:-1] == 2).any()
    spent = rival.reply(("hello there",))
    assert list(spent) == ["tokenise", "generate", "total"]
    assert spent["total"] >= spent["generate"] >= 0


def test_weights_are_random_finite_and_shared_where_they_were() -> None:
    model = random_model(TINY[False], dtype="bf16", device="cpu", seed=1)
    again = random_model(TINY[False], dtype="bf16", device="cpu", seed=1)
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.shared.weight
    for weight, other in zip(model.parameters(), again.parameters(), strict=True):
        assert weight.device.type == "cpu"
        assert torch.isfinite(weight).all()
        assert weight.float().abs().max() > 0
        assert torch.equal(weight, other)


def test_what_does_not_fit_is_not_measured() -> None:
    weights, gb = 2_696_268_800, 10**9
    assert fitting_dtype(weights, 20 * gb, "auto") == "fp32"
    assert fitting_dtype(weights, 10 * gb, "auto") == "bf16"
    assert fitting_dtype(weights, 20 * gb, "bf16") == "bf16"
    refused = fitting_dtype(weights, 10 * gb, "fp32")
    assert isinstance(refused, NotComputed)
    assert refused.reason == "memory: needs 12.9 GB in fp32, 10.0 GB are free"
    assert isinstance(fitting_dtype(weights, 5 * gb, "auto"), NotComputed)
