import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from g2r.bank import BankContext, BankResponse, ResponseBank
from g2r.config import IndexConfig
from g2r.dialogue import Context, content_id
from g2r.encoder import Encoder
from g2r.errors import ArtifactError, ConfigError, InputError
from g2r.index import FaissIndex, ResponseIndex, build_bank
from g2r.index.base import encode_views, view_of
from g2r.index.keys import encode_keys, exact_scores
from word_encoder import WordEncoder

WORDS = [a + b for a in ("ba", "ko", "li", "mu", "ne", "sa", "tu") for b in ("r", "st", "nd", "ll", "g")]
WEIGHTS = [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 2.0)]


def make_bank(count: int, *, seed: int = 0) -> ResponseBank:
    """Responses of random words with none to four contexts of one to three turns."""
    draw = random.Random(seed)

    def turn() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(2, 7)))

    responses = []
    for number in range(count):
        text = f"{turn()} {number}"
        contexts = tuple(
            BankContext(tuple(turn() for _ in range(draw.randint(1, 3)))) for _ in range(draw.randint(0, 4))
        )
        responses.append(BankResponse(content_id(text), text, ("t",), contexts))
    return ResponseBank.from_responses(responses)


BANK = make_bank(300)
ENCODER = WordEncoder()
QUERIES: list[Context] = [r.contexts[0].turns for r in make_bank(60, seed=1) if r.contexts]
ALL_VIEWS = ("last1", "last2", "all")


def config(weights: tuple[float, float], **options: object) -> IndexConfig:
    return IndexConfig(response_key=weights[0], context_key=weights[1], **options)  # type: ignore[arg-type]


def scores_by_loop(
    bank: ResponseBank, encoder: Encoder, context: Context, config: IndexConfig
) -> NDArray[np.float64]:
    """METHOD's formula, one response and one key at a time."""

    def f(turns: Context) -> NDArray[np.float32]:
        return encoder.encode_contexts([turns])[0]

    scores = []
    for response in bank:
        keys = [
            float(f(view_of(context, view)) @ f(view_of(key.turns, view)))
            for key in response.contexts
            for view in config.context_views
        ]
        own = float(f(context) @ encoder.encode_responses([response.text])[0])
        scores.append(config.response_key * own + config.context_key * max(keys, default=0.0))
    return np.array(scores)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("views", [("last1", "last2"), ("all",), ALL_VIEWS])
def test_exact_scores_are_those_of_a_plain_loop(weights: tuple[float, float], views: tuple[str, ...]) -> None:
    settings = config(weights, context_views=views)
    bank = make_bank(40)
    keys = encode_keys(bank, ENCODER, settings)
    names = [kind.view for kind in keys]
    for context, query in zip(QUERIES[:5], encode_views(ENCODER, QUERIES[:5], names), strict=True):
        expected = scores_by_loop(bank, ENCODER, context, settings)
        np.testing.assert_allclose(exact_scores(keys, query, settings), expected, atol=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_search_returns_the_best_with_their_parts(weights: tuple[float, float]) -> None:
    settings = config(weights, context_views=ALL_VIEWS)
    index = FaissIndex.build(BANK, ENCODER, settings, queries=QUERIES)
    assert isinstance(index, ResponseIndex)
    for context, query in zip(QUERIES[:6], encode_views(ENCODER, QUERIES[:6], index.views), strict=True):
        expected = scores_by_loop(BANK, ENCODER, context, settings)
        hits = index.search(query, 8)
        assert len(hits) == len(set(hits.rows.tolist())) == 8
        assert (np.diff(hits.scores) <= 0).all()
        np.testing.assert_allclose(hits.scores, expected[hits.rows], atol=2e-3)
        np.testing.assert_allclose(hits.scores[0], expected[expected > -9].max(), atol=2e-3)
        parts = [
            weight * part
            for weight, part in zip(weights, (hits.response_scores, hits.context_scores), strict=True)
            if part is not None
        ]
        np.testing.assert_allclose(sum(parts), hits.scores, atol=1e-5)
        assert (hits.response_scores is None, hits.context_scores is None) == (
            weights[0] == 0,
            weights[1] == 0,
        )
    assert index.manifest.counts["recall@1"] >= 0.98


@pytest.mark.parametrize("weights", [(0.1, 1.0), (0.5, 0.5)])
def test_responses_without_contexts_are_found_where_contexts_are_unlike(weights: tuple[float, float]) -> None:
    """Their part is 0, more than that of any context that is unlike: no bound may forget them."""
    encoder, draw = WordEncoder(6), random.Random(3)
    responses = [
        BankResponse(
            content_id(f"{number}"),
            f"{draw.choice(WORDS)} {number}",
            ("t",),
            tuple(BankContext((f"{draw.choice(WORDS)} {number} {k}",)) for k in range(3))
            if number % 3
            else (),
        )
        for number in range(400)
    ]
    bank = ResponseBank.from_responses(responses)
    built = config(weights, kind="flat", min_recall_at_1=0, min_recall_at_10=0)
    index, keys = FaissIndex.build(bank, encoder, built), encode_keys(bank, encoder, built)
    noise = np.random.default_rng(0).standard_normal((40, 3, 6)).astype(np.float32)
    away = np.stack([-kind.vectors.mean(axis=0) for kind in keys])
    away[0] = 0
    for query in 3 * away + 0.5 * noise:
        exact = np.sort(exact_scores(keys, query, built))[::-1][:5]
        np.testing.assert_allclose(index.search(query, 5).scores, exact, atol=2e-2)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
@pytest.mark.parametrize("share", [0.9, 0.1, 0.01, 0.0])
def test_only_allowed_rows_are_found_and_all_of_them_are(kind: str, share: float) -> None:
    index = FaissIndex.build(BANK, ENCODER, config((1, 1), kind=kind, min_recall_at_1=0, min_recall_at_10=0))
    allowed = np.random.default_rng(0).random(len(BANK)) < share
    query = encode_views(ENCODER, QUERIES[:1], index.views)[0]
    everything = index.search(query, len(BANK), allowed=allowed)
    assert sorted(everything.rows.tolist()) == np.flatnonzero(allowed).tolist()
    few = index.search(query, 3, allowed=allowed)
    assert len(few) == min(3, allowed.sum())
    if kind == "flat":
        assert few.rows.tolist() == everything.rows[:3].tolist()


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "refined"])
def test_few_allowed_rows_are_found_wherever_a_search_looks_first(kind: str) -> None:
    bank = make_bank(3000)
    rough = config((1, 0), kind=kind, search_effort=1, min_recall_at_1=0, min_recall_at_10=0)
    index = FaissIndex.build(bank, ENCODER, rough)
    query = encode_views(ENCODER, QUERIES[:1], index.views)[0]
    for rows in ([0], [700], [1500], [2999], [10, 900, 1800, 2700]):
        allowed = np.isin(np.arange(len(bank)), rows)
        assert sorted(index.search(query, 8, allowed=allowed).rows.tolist()) == rows


def test_responses_that_share_a_context_tie_in_the_order_of_rows() -> None:
    contexts = (BankContext(("one two three",)),)
    bank = ResponseBank.from_responses(
        BankResponse(f"{i:03}", f"text {i}", ("t",), contexts) for i in range(30)
    )
    index = FaissIndex.build(bank, ENCODER, config((0, 1)))
    query = encode_views(ENCODER, [("zero two three",)], index.views)[0]
    assert index.search(query, 30).rows.tolist() == list(range(30))
    assert len(set(index.search(query, 30).scores.tolist())) == 1
    assert index.manifest.counts["keys"] == {"last1": 1, "last2": 1}


def test_a_text_is_encoded_once_whatever_the_number_of_its_keys() -> None:
    encoder = WordEncoder()
    vectors = encode_views(encoder, [("hi",), ("a", "hi")], ALL_VIEWS)
    assert encoder.calls == [2]
    np.testing.assert_array_equal(vectors[0, 0], vectors[1, 0])
    assert not np.allclose(vectors[1, 0], vectors[1, 1])


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_saved_index_answers_the_same_and_is_the_same_bytes(kind: str, tmp_path: Path) -> None:
    settings = config((1, 1), kind=kind, min_recall_at_1=0, min_recall_at_10=0)
    index = FaissIndex.build(BANK, ENCODER, settings)
    index.save(tmp_path / "a")
    FaissIndex.build(make_bank(300), WordEncoder(), settings).save(tmp_path / "b")
    for file in sorted(p.name for p in (tmp_path / "a").iterdir() if p.name != "manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    loaded = FaissIndex.load(tmp_path / "a", bank=BANK, encoder=ENCODER)
    assert (loaded.config, loaded.views) == (settings, index.views)
    for query in encode_views(ENCODER, QUERIES[:10], index.views):
        for here, there in zip(
            *[(h.rows, h.scores) for h in (index.search(query, 9), loaded.search(query, 9))], strict=True
        ):
            np.testing.assert_array_equal(here, there)


def test_stale_missing_and_damaged_indexes_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(ArtifactError, match="no index in"):
        FaissIndex.load(folder, bank=BANK, encoder=ENCODER)
    FaissIndex.build(BANK, ENCODER).save(folder)
    with pytest.raises(ArtifactError, match=r"stale index.*bank.*run g2r index again"):
        FaissIndex.load(folder, bank=make_bank(299), encoder=ENCODER)
    with pytest.raises(ArtifactError, match=r"stale index.*encoder"):
        FaissIndex.load(folder, bank=BANK, encoder=WordEncoder(name="other"))
    content = (folder / "response.faiss").read_bytes()
    (folder / "response.faiss").write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match="damaged index"):
        FaissIndex.load(folder, bank=BANK, encoder=ENCODER)


def test_recall_is_measured_and_a_low_one_refused() -> None:
    rough = config((1, 0), kind="ivf", min_recall_at_1=0, min_recall_at_10=0)
    bank = make_bank(3000)
    recall = FaissIndex.build(bank, ENCODER, rough, queries=QUERIES).manifest.counts
    assert recall["queries"] == len(QUERIES)
    assert 0.3 < recall["recall@10"] < 1
    with pytest.raises(ArtifactError, match=r"recall@10 is .* expected at least 1.0.*min_recall_at_10"):
        FaissIndex.build(bank, ENCODER, rough.model_copy(update={"min_recall_at_10": 1.0}), queries=QUERIES)


def test_weights_and_contexts_that_leave_no_key() -> None:
    with pytest.raises(ConfigError, match="at least one weight"):
        FaissIndex.build(BANK, ENCODER, config((0, 0)))
    bare = ResponseBank.from_responses([BankResponse("1", "a", ("t",), (BankContext(()),))])
    with pytest.raises(InputError, match="no response of the bank has a context"):
        FaissIndex.build(bare, ENCODER, config((0, 1)))
    index = FaissIndex.build(bare, ENCODER, config((1, 1)))
    assert len(index.search(encode_views(ENCODER, [("hi",)], index.views)[0], 5)) == 1


def test_progress_reaches_its_total() -> None:
    seen: list[tuple[int, int]] = []
    encode_keys(
        BANK, ENCODER, config((1, 1)), progress=lambda done, total, note="": seen.append((done, total))
    )
    assert seen[-1][0] == seen[-1][1] > len(BANK)
    assert seen == sorted(seen)


def test_bank_folder_is_written_whole_and_keeps_its_log(tmp_path: Path) -> None:
    output = tmp_path / "bank"
    counts = build_bank(BANK, ENCODER, IndexConfig(), output)
    assert counts["responses"] == 300
    bank = ResponseBank.load(output)
    FaissIndex.load(output / "index", bank=bank, encoder=ENCODER)
    bank.ban(bank[5].response_id)
    build_bank(make_bank(300), ENCODER, IndexConfig(), output)
    assert np.flatnonzero(ResponseBank.load(output).banned).tolist() == [5]
    with pytest.raises(ArtifactError, match="recall"):
        build_bank(make_bank(2000), ENCODER, config((1, 0), kind="ivf", min_recall_at_10=1), output)
    assert len(ResponseBank.load(output)) == 300
