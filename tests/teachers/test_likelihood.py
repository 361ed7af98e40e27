import random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from g2r.errors import TeacherError
from g2r.teachers import likelihood
from g2r.teachers.likelihood import log_likelihoods, pad
from tiny_models import BOS, CAUSAL, EOS, PAD, SEQ2SEQ, make_teacher

STARTS = {"blenderbot": BOS, "blenderbot-small": BOS, "bart": EOS, "t5": PAD}


@pytest.fixture(scope="module", params=[*SEQ2SEQ, *CAUSAL])
def model_and_start(request, tmp_path_factory):
    folder = make_teacher(tmp_path_factory.mktemp("models") / request.param, request.param)
    kind = AutoModelForSeq2SeqLM if request.param in SEQ2SEQ else AutoModelForCausalLM
    return kind.from_pretrained(folder).eval(), STARTS.get(request.param)


def token_by_token(model, context, response, start):
    """The plain loop: one response at a time, one forward pass over everything so far for each token."""
    total = 0.0
    for t, token in enumerate(response):
        before = torch.tensor([response[:t]], dtype=torch.long)
        if start is None:
            logits = model(torch.cat([torch.tensor([context]), before], dim=1)).logits
        else:
            decoded = torch.cat([torch.tensor([[start]]), before], dim=1)
            logits = model(torch.tensor([context]), decoder_input_ids=decoded).logits
        total += logits[0, -1].double().log_softmax(-1)[token].item()
    return total


def draw(rng, shortest, longest):
    return [rng.randrange(8, 45) for _ in range(rng.randint(shortest, longest))]


@pytest.mark.parametrize(("pairs_at_once", "tokens_at_once"), [(64, 10_000), (3, 12), (1, 1)])
def test_agrees_with_a_token_by_token_loop(model_and_start, pairs_at_once, tokens_at_once):
    model, start = model_and_start
    rng = random.Random(pairs_at_once + tokens_at_once)
    contexts = [draw(rng, 1, 14) for _ in range(4)] + [[EOS]]
    responses = [[[*draw(rng, 0, 9), EOS] for _ in range(n)] for n in (3, 1, 0, 5, 2)]
    responses[3][1] = [EOS]
    found = log_likelihoods(
        model,
        contexts,
        responses,
        start=start,
        pairs_at_once=pairs_at_once,
        chunk_bytes=4 * model.config.vocab_size * tokens_at_once,
    )
    with torch.no_grad():
        expected = [
            [token_by_token(model, context, response, start) for response in group]
            for context, group in zip(contexts, responses, strict=True)
        ]
    assert [len(group) for group in found] == [3, 1, 0, 5, 2]
    for got, loop in zip(found, expected, strict=True):
        assert got == pytest.approx(loop, abs=1e-4)


def test_vocabulary_wide_logits_stay_within_a_chunk(model_and_start, monkeypatch):
    model, start = model_and_start
    seen = []
    plain = likelihood._forward

    def watched(*arguments):
        logits, output = plain(*arguments)
        seen.append(output.logits.numel())
        return logits, output

    monkeypatch.setattr(likelihood, "_forward", watched)
    rng = random.Random(0)
    for candidates in (5, 40):
        seen.clear()
        responses = [[[*draw(rng, 3, 9), EOS] for _ in range(candidates)] for _ in range(3)]
        log_likelihoods(
            model,
            [draw(rng, 5, 10) for _ in range(3)],
            responses,
            start=start,
            pairs_at_once=32,
            chunk_bytes=4 * model.config.vocab_size * 30,
        )
        assert max(seen) <= model.config.vocab_size * 30


def test_a_context_is_read_once_for_all_its_responses(model_and_start):
    model, start = model_and_start
    tokens_read = []
    reader = model.get_input_embeddings() if start is None else model.get_encoder()

    def count(module, arguments, keywords):
        ids = arguments[0] if arguments else keywords["input_ids"]
        tokens_read.append(ids.numel())

    hook = reader.register_forward_pre_hook(count, with_kwargs=True)
    response = [9, 10, EOS]
    log_likelihoods(model, [list(range(8, 38))], [[response] * 10], start=start, pairs_at_once=64)
    hook.remove()
    fed_responses = 10 * (len(response) - 1)
    assert sum(tokens_read) == (30 + fed_responses if start is None else 30)


def test_refuses_a_model_whose_output_layer_it_cannot_reach(model_and_start):
    model, start = model_and_start
    head = model.get_output_embeddings()
    model.get_output_embeddings = lambda: torch.nn.Identity()
    try:
        with pytest.raises(TeacherError, match="output layer works in a way"):
            log_likelihoods(model, [[8, 9], [8]], [[[10, 11, EOS]], [[EOS]]], start=start, pairs_at_once=4)
    finally:
        del model.get_output_embeddings
    assert model.get_output_embeddings() is head


def test_nothing_to_score_is_no_work(model_and_start):
    model, start = model_and_start
    assert log_likelihoods(model, [[8], [9]], [[], []], start=start, pairs_at_once=4) == [[], []]


def test_pad_marks_padding_on_the_side_asked_for():
    ids, mask = pad([[5, 6], [7]], side="left", device="cpu")
    assert ids.tolist() == [[5, 6], [0, 7]]
    assert mask.tolist() == [[1, 1], [0, 1]]
