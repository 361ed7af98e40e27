"""Responses added after the build are found as if they had been built in."""

import random
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from g2r.bank import BankContext, BankResponse, ResponseBank
from g2r.config import IndexConfig
from g2r.dialogue import Context, content_id
from g2r.encoder import Vectors
from g2r.index import FaissIndex
from g2r.index.additions import Additions, LiveAdditions, RememberingEncoder
from g2r.index.base import encode_views
from g2r.index.keys import encode_keys, exact_scores
from word_encoder import WordEncoder

WORDS = [a + b for a in ("ba", "ko", "li", "mu", "ne", "sa") for b in ("r", "st", "nd", "ll", "g")]
ENCODER = WordEncoder()


def make_responses(count: int, *, seed: int = 0) -> list[BankResponse]:
    draw = random.Random(seed)

    def turn() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(2, 6)))

    texts = [f"{turn()} {seed} {number}" for number in range(count)]
    return [
        BankResponse(
            content_id(text),
            text,
            ("t",),
            tuple(BankContext(tuple(turn() for _ in range(draw.randint(1, 3)))) for _ in range(place % 4)),
        )
        for place, text in enumerate(texts)
    ]


def add(bank: ResponseBank, responses: list[BankResponse]) -> None:
    for response in responses:
        bank.add(response.text, contexts=[context.turns for context in response.contexts])


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 2.0)])
@pytest.mark.parametrize("banned", [0, 25])
def test_scores_and_order_are_those_of_a_bank_built_with_the_additions(
    weights: tuple[float, float], banned: int
) -> None:
    built, added = make_responses(60), make_responses(25, seed=1)
    extended = [r for r in built if r.contexts][:6]
    further = ("quite another thing", *extended[0].contexts[0].turns)[-2:]
    config = IndexConfig(response_key=weights[0], context_key=weights[1])
    bank = ResponseBank.from_responses(built)
    index = FaissIndex.build(bank, ENCODER, config)
    add(bank, added)
    for response in extended:
        bank.add(response.text, contexts=[further])
    whole = bank.continuing([])
    assert len(whole) == len(bank) == 60 + 25
    for response in [*added[:5], *extended[:2], *built[:banned]]:
        for each in (bank, whole):
            each.ban(response.response_id)
    additions = Additions(index, bank.fresh, RememberingEncoder(ENCODER))
    keys = encode_keys(whole, ENCODER, config)
    contexts: list[Context] = [further, *(r.contexts[-1].turns for r in added if r.contexts)]
    queries = encode_views(ENCODER, contexts, additions.views)
    exact = encode_views(ENCODER, contexts, [kind.view for kind in keys])
    for query, vectors in zip(queries, exact, strict=True):
        expected = np.where(whole.allowed(), exact_scores(keys, vectors, config), -np.inf)
        if not weights[0]:
            expected[[row for row, response in enumerate(whole) if not response.contexts]] = -np.inf
        hits = additions.search(query, 12, bank.allowed())
        assert len(set(hits.rows.tolist())) == len(hits) == min(12, np.isfinite(expected).sum())
        assert (np.diff(hits.scores) <= 0).all()
        found = [expected[whole.row(bank.response_id(row))] for row in hits.rows]
        np.testing.assert_allclose(hits.scores, found, atol=2e-3)
        np.testing.assert_allclose(hits.scores, np.sort(expected)[::-1][: len(hits)], atol=2e-3)
        parts = [
            weight * part
            for weight, part in zip(weights, (hits.response_scores, hits.context_scores), strict=True)
            if part is not None
        ]
        np.testing.assert_allclose(sum(parts), hits.scores, atol=1e-5)


def test_contexts_are_keys_even_where_the_built_bank_had_none() -> None:
    bank = ResponseBank.from_responses([BankResponse("1", "one", ("t",)), BankResponse("2", "two", ("t",))])
    index = FaissIndex.build(bank, ENCODER, IndexConfig(response_key=1, context_key=1))
    assert index.views == ("all",)
    bank.add("three", contexts=[["shall we count"]])
    additions = Additions(index, bank.fresh, ENCODER)
    query = encode_views(ENCODER, [("shall we count",)], additions.views)[0]
    hits = additions.search(query, 3, bank.allowed())
    assert bank.text(hits.rows[0]) == "three"
    assert hits.context_scores is not None
    assert hits.context_scores.tolist() == pytest.approx([1, 0, 0], abs=1e-6)


def test_an_addition_is_encoded_once_however_many_follow() -> None:
    encoder = WordEncoder()
    bank = ResponseBank.from_responses(make_responses(5))
    index = FaissIndex.build(bank, encoder, IndexConfig(context_key=1))
    remembering = RememberingEncoder(encoder)
    encoder.calls.clear()
    for number in range(4):
        bank.add(f"say {number}", contexts=[["the same context"], [f"context {number}"]])
        Additions(index, bank.fresh, remembering)
    assert encoder.calls == [2, 1, 1, 1]
    assert remembering.fingerprint == encoder.fingerprint


def test_without_a_context_nothing_is_found_by_contexts_alone() -> None:
    bank = ResponseBank.from_responses(make_responses(8))
    index = FaissIndex.build(bank, ENCODER, IndexConfig(response_key=0, context_key=1))
    bank.add("unreachable")
    additions = Additions(index, bank.fresh, ENCODER)
    query = encode_views(ENCODER, [("unreachable",)], additions.views)[0]
    assert len(bank) - 1 not in additions.search(query, 20, bank.allowed()).rows


class GatedEncoder(WordEncoder):
    """Encodes responses only while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def encode_responses(self, responses: Sequence[str]) -> Vectors:
        assert self.gate.wait(60)
        return super().encode_responses(responses)


def test_many_additions_are_encoded_beside_the_searches_that_go_on_without_them() -> None:
    encoder = GatedEncoder()
    bank = ResponseBank.from_responses(make_responses(10))
    live = LiveAdditions(bank, FaissIndex.build(bank, encoder, IndexConfig()), encoder)
    bank.add(*(f"first {number}" for number in range(30)))
    live.follow()
    assert live.current.fresh is bank.fresh, "the first are there at once, however many"
    before = live.current
    encoder.gate.clear()
    bank.add(*(f"second {number}" for number in range(30)))
    live.follow()
    live.follow()
    assert live.current is before
    query = encode_views(encoder, [("second 7",)], before.views)[0]
    assert len(live.current.search(query, 100, bank.allowed())) == 40
    encoder.gate.set()
    live.follow(wait=True)
    assert live.current.fresh is bank.fresh
    assert bank.text(live.current.search(query, 1, bank.allowed()).rows[0]) == "second 7"
    bank.add("third")
    live.follow()
    assert live.current.fresh is bank.fresh, "few are there at once"
