"""Pairs as tokens: what transformers itself would make of them, cut where they should be."""

import pytest
from transformers import AutoTokenizer

from g2r.errors import ArtifactError, InputError
from g2r.judge.pairs import PairForm, PairTokenizer, by_length
from tiny_judges import make_base


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(make_base(tmp_path_factory.mktemp("judge")))


def words(tokenizer, pair):
    return " ".join(tokenizer.convert_ids_to_tokens(pair.ids))


def test_a_pair_says_who_spoke_newest_turn_first(tokenizer):
    pairs = PairTokenizer(tokenizer.backend_tokenizer, PairForm())
    (pair,) = pairs.tokens(("so", "good", "fine ?", "what of thing1 ?"), ["poor thing1"])
    assert words(tokenizer, pair) == (
        "[CLS] user: what of thing1 ? [SEP] bot: [UNK] [SEP] user: good [SEP] bot: so [SEP] poor thing1 [SEP]"
    ).replace("[UNK]", "fine ?")
    assert pair.types == [0] * (len(pair.ids) - 3) + [1, 1, 1]


def test_tokens_are_those_of_transformers(tokenizer):
    pairs = PairTokenizer(tokenizer.backend_tokenizer, PairForm(speaker_marks=False, history=2))
    found = pairs.tokens(("what", "so so", "i like thing3"), ["good", "fine and awful"])
    wanted = tokenizer(["i like thing3 [SEP] so so"] * 2, ["good", "fine and awful"])
    assert [pair.ids for pair in found] == wanted["input_ids"]
    assert [pair.types for pair in found] == wanted["token_type_ids"]


def test_long_contexts_lose_their_oldest_turn_first(tokenizer):
    form = PairForm(speaker_marks=False, max_tokens=12)
    (pair,) = PairTokenizer(tokenizer.backend_tokenizer, form).tokens(
        ("awful " * 9, "what of thing1 ?"), ["good good"]
    )
    assert words(tokenizer, pair) == "[CLS] what of thing1 ? [SEP] awful awful [SEP] good good [SEP]"
    (pair,) = PairTokenizer(tokenizer.backend_tokenizer, form).tokens(("what of",), ["good " * 40])
    assert words(tokenizer, pair).startswith("[CLS] what of [SEP] good")
    assert len(pair.ids) == 12


def test_batches_are_padded_to_their_longest(tokenizer):
    pairs = PairTokenizer(tokenizer.backend_tokenizer, PairForm(pad_id=0))
    tokens = pairs.tokens(("what",), ["good", "good and fine and poor"])
    inputs = pairs.padded(tokens)
    assert {name: array.shape for name, array in inputs.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), (2, len(tokens[1].ids))
    )
    assert inputs["attention_mask"].sum(axis=1).tolist() == [len(pair.ids) for pair in tokens]
    assert "token_type_ids" not in PairTokenizer(
        tokenizer.backend_tokenizer, PairForm(token_types=False)
    ).padded(tokens)


def test_chunks_hold_each_pair_once_by_length(tokenizer):
    pairs = PairTokenizer(tokenizer.backend_tokenizer, PairForm()).tokens(
        ("what",), ["good " * n for n in (5, 1, 9, 3, 7)]
    )
    assert by_length(pairs, 2) == [[1, 3], [0, 4], [2]]


def test_no_context_is_an_error(tokenizer):
    with pytest.raises(InputError, match="without turns"):
        PairTokenizer(tokenizer.backend_tokenizer, PairForm()).tokens((), ["good"])


def test_the_form_comes_back_and_others_are_refused(tmp_path):
    form = PairForm(history=2, pad_id=3)
    form.write(tmp_path)
    assert PairForm.read(tmp_path) == form
    (tmp_path / "g2r.json").write_text('{"kind": "student"}')
    with pytest.raises(ArtifactError, match="describes no judge"):
        PairForm.read(tmp_path)
    with pytest.raises(ArtifactError, match="no judge in"):
        PairForm.read(tmp_path / "nowhere")
