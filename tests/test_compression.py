"""Small context towers in the space of the full student: made, trained, saved, exported, served."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from g2r.artifacts import write_examples
from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.compression import compress, gather, save
from g2r.compression.agreement import Agreement, measure_agreement
from g2r.compression.material import Material
from g2r.compression.objective import bank_loss, cosine_loss
from g2r.compression.towers import kept_layers, with_small_tower
from g2r.config import BotConfig, CompressConfig, IndexConfig
from g2r.encoder import OnnxEncoder, key_fingerprint
from g2r.errors import ArtifactError, ConfigError, InputError
from g2r.export import export
from g2r.index import build_bank
from g2r.index.base import encode_views
from g2r.index.keys import encode_keys, exact_scores
from g2r.index.stored import StoredKeys
from g2r.student import BiEncoder
from tiny_students import make_base, topic_examples

SMALL = CompressConfig(layers=1, epochs=4, batch_size=16, learning_rate=5e-3, precision="fp32", evals=2)
STATIC = SMALL.model_copy(update={"layers": 0, "learning_rate": 2e-2})
INDEX = IndexConfig(response_key=0.3, context_key=1.0, min_contexts=1)
AWKWARD = [("",), ("unseen words alone",), ("hi", "ok", "i like topic3"), ("topic1 " * 80,), ("hi",)]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> BiEncoder:
    base = BiEncoder.load(make_base(tmp_path_factory.mktemp("base")))
    with torch.no_grad():
        for name, weight in base.model.named_parameters():
            if ".layer." in name and weight.ndim == 2:
                weight.mul_(12)  # so that what a layer does is seen
    return base.with_form(max_context_tokens=32, max_response_tokens=16)


@pytest.fixture(scope="module")
def folder(full: BiEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bot of the full student: student and bank."""
    folder = tmp_path_factory.mktemp("bot")
    full.save(folder / "student")
    build_bank(ResponseBank.from_examples(topic_examples(), config=INDEX), full, INDEX, folder / "bank")
    return folder


@pytest.fixture(scope="module")
def material(full: BiEncoder, folder: Path) -> Material:
    return gather(topic_examples(), folder / "bank", full)


@pytest.fixture(scope="module", params=[SMALL, STATIC], ids=["one layer", "static"])
def small(request: pytest.FixtureRequest, full: BiEncoder, material: Material) -> BiEncoder:
    return compress(full, material, request.param).student


def test_material_holds_every_view_once_with_the_full_towers_vectors(
    full: BiEncoder, material: Material
) -> None:
    train = [e.context for e in topic_examples() if e.split == "train"]
    seen = {view for c in train for view in (c, c[-1:], c[-2:])}
    assert len(material.contexts) == len(set(material.contexts)) == len(seen)
    assert set(material.contexts) == seen
    np.testing.assert_allclose(material.vectors, full.encode_contexts(material.contexts), atol=1e-5)
    assert set(material.held_out) == {e.context for e in topic_examples() if e.split == "valid"}
    assert material.views == ("all", "last1", "last2")
    assert material.queries.shape == (len(material.held_out), 3, 32)


def test_stored_keys_are_those_that_were_encoded(full: BiEncoder, folder: Path) -> None:
    stored = StoredKeys.read(folder / "bank")
    for kept, made in zip(stored.keys, encode_keys(stored.bank, full, INDEX), strict=True):
        assert kept.name == made.name
        assert np.sum(kept.vectors * made.vectors, axis=1).min() > 0.9999
        np.testing.assert_array_equal(kept.links.pairs, made.links.pairs)


def test_a_bank_of_another_student_is_refused(full: BiEncoder, folder: Path) -> None:
    with pytest.raises(ArtifactError, match="was made by student"):
        gather(topic_examples(), folder / "bank", full.with_form(history=1))


def test_without_held_out_contexts_there_is_nothing_to_choose_by(full: BiEncoder, folder: Path) -> None:
    examples = [replace(example, split="train") for example in topic_examples()]
    with pytest.raises(InputError, match="0 held out"):
        gather(examples, folder / "bank", full)


def test_training_brings_a_tower_nearer_to_the_full_one(
    full: BiEncoder, material: Material, small: BiEncoder
) -> None:
    config = STATIC if isinstance(small.model[0].sub_modules["query"][0], StaticEmbedding) else SMALL
    torch.manual_seed(0)
    texts = [full.context_text(turns) for turns in material.contexts]
    start = with_small_tower(full, config, texts)
    before, after = (
        measure_agreement(
            material.keys,
            material.config,
            material.queries,
            encode_views(s, material.held_out, material.views),
        )
        for s in (start, small)
    )
    assert after.recall_at_10 > before.recall_at_10
    assert after.cosine > before.cosine
    assert small.training["recall@10"] == pytest.approx(after.recall_at_10, abs=1e-6)


def test_responses_and_keys_stay_those_of_the_full_student(full: BiEncoder, small: BiEncoder) -> None:
    contexts, texts = [e.context for e in topic_examples()][:20], ["that is answer1", "always answer3 !", ""]
    np.testing.assert_allclose(small.encode_context_keys(contexts), full.encode_contexts(contexts), atol=1e-6)
    np.testing.assert_allclose(small.encode_responses(texts), full.encode_responses(texts), atol=1e-6)
    assert small.key_fingerprint == key_fingerprint(full) == full.fingerprint
    assert small.fingerprint != full.fingerprint
    assert np.abs(small.encode_contexts(contexts) - full.encode_contexts(contexts)).max() > 0.01


def test_compressing_leaves_the_full_student_as_it_was(full: BiEncoder, material: Material) -> None:
    context = [e.context for e in topic_examples()][:4]
    before = full.encode_contexts(context)
    compress(full, material, SMALL.model_copy(update={"epochs": 0.2}))
    np.testing.assert_array_equal(full.encode_contexts(context), before)


def test_the_same_seed_gives_the_same_tower(full: BiEncoder, material: Material) -> None:
    short = SMALL.model_copy(update={"epochs": 0.3, "evals": 1})
    first, second = (compress(full, material, short).student.fingerprint for _ in range(2))
    other = compress(full, material, short.model_copy(update={"seed": 1})).student.fingerprint
    assert first == second != other


def test_a_saved_student_loads_as_it_was(small: BiEncoder, material: Material, tmp_path: Path) -> None:
    save_to = tmp_path / "student"
    small.save(save_to)
    loaded = BiEncoder.load(save_to)
    np.testing.assert_allclose(loaded.encode_contexts(AWKWARD), small.encode_contexts(AWKWARD), atol=1e-6)
    assert (loaded.fingerprint, loaded.key_fingerprint) == (small.fingerprint, small.key_fingerprint)
    assert loaded.training["compressed_from"] == small.key_fingerprint
    plain = SentenceTransformer(str(save_to), device="cpu")
    text = small.context_text(("hi", "i like topic3"))
    np.testing.assert_allclose(
        plain.encode_query([text])[0], small.encode_contexts([("hi", "i like topic3")])[0], atol=1e-6
    )


def test_the_exported_student_gives_the_same_vectors_and_no_weights_twice(
    small: BiEncoder, tmp_path: Path
) -> None:
    export(small, tmp_path / "onnx", examples=topic_examples())
    served = OnnxEncoder.load(tmp_path / "onnx", precision="fp32", threads=1)
    assert (served.fingerprint, served.key_fingerprint) == (small.fingerprint, small.key_fingerprint)
    contexts = [e.context for e in topic_examples()] + AWKWARD[1:]
    for own, exported in [
        (small.encode_contexts(contexts), served.encode_contexts(contexts)),
        (small.encode_context_keys(contexts), served.encode_context_keys(contexts)),
        (small.encode_responses(["that is answer1", ""]), served.encode_responses(["that is answer1", ""])),
    ]:
        assert np.sum(own * exported, axis=1).min() > 0.9999
    np.testing.assert_allclose(
        served.encode_contexts([("hi",)]), served.encode_contexts([("hi",), *AWKWARD])[:1], atol=1e-6
    )
    assert not (tmp_path / "onnx" / "key_model.onnx").exists()


def test_separate_towers_have_a_graph_for_keys_of_their_own(full: BiEncoder, tmp_path: Path) -> None:
    apart = full.with_towers("separate")
    with torch.no_grad():
        for weight in apart.model[0].sub_modules["document"].parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    apart = BiEncoder(apart.model, apart.form)
    small = with_small_tower(apart, SMALL, ["hi"])
    assert small.key_fingerprint == apart.fingerprint
    contexts = [e.context for e in topic_examples()][:8]
    np.testing.assert_allclose(
        small.encode_context_keys(contexts), apart.encode_contexts(contexts), atol=1e-6
    )
    export(small, tmp_path / "onnx")
    served = OnnxEncoder.load(tmp_path / "onnx", precision="fp32", threads=1)
    cosines = np.sum(served.encode_context_keys(contexts) * apart.encode_contexts(contexts), axis=1)
    assert cosines.min() > 0.9999


def test_a_bot_of_the_small_student_is_served_from_the_full_ones_index(
    small: BiEncoder, folder: Path, tmp_path: Path
) -> None:
    small.save(tmp_path / "student")
    export(small, tmp_path / "student" / "onnx", examples=topic_examples())
    (tmp_path / "bank").symlink_to(folder / "bank")
    bot = Bot.load(tmp_path, config=BotConfig(top_k=8))
    keys = encode_keys(bot.bank, small.full, INDEX)
    for example in topic_examples()[:12]:
        query = encode_views(small, [example.context], bot.index.views)[0]
        best = exact_scores(keys, query, INDEX).max()
        assert bot.reply(example.context).candidates[0].score == pytest.approx(best, abs=2e-3)


def test_small_keys_are_encoded_by_the_small_tower(full: BiEncoder) -> None:
    small = with_small_tower(full, SMALL.model_copy(update={"context_keys": "small"}), ["hi"])
    contexts = [e.context for e in topic_examples()][:8]
    np.testing.assert_array_equal(small.encode_context_keys(contexts), small.encode_contexts(contexts))
    assert small.key_fingerprint == small.fingerprint != full.fingerprint


@pytest.mark.parametrize(
    ("layers", "kept", "spread", "expected"),
    [
        (6, 3, True, [0, 2, 5]),
        (6, 2, True, [0, 5]),
        (6, 1, True, [0]),
        (6, 6, True, [0, 1, 2, 3, 4, 5]),
        (6, 2, False, [0, 1]),
    ],
)
def test_kept_layers(layers: int, kept: int, spread: bool, expected: list[int]) -> None:
    assert kept_layers(layers, kept, spread=spread) == expected


def test_more_layers_than_there_are_and_a_second_compression_are_refused(full: BiEncoder) -> None:
    with pytest.raises(ConfigError, match="has 2 layers"):
        with_small_tower(full, SMALL.model_copy(update={"layers": 3}), ["hi"])
    with pytest.raises(ConfigError, match="compressed already"):
        with_small_tower(with_small_tower(full, STATIC, ["hi"]), SMALL, ["hi"])


def test_losses_against_scipy() -> None:
    generator = np.random.default_rng(0)
    small, full, *kinds = (
        v / np.linalg.norm(v, axis=1, keepdims=True)
        for v in (generator.standard_normal((n, 8)) for n in (5, 5, 7, 9))
    )
    kinds[1][2] = full[3]  # the context itself is no key to be ordered
    given = bank_loss(
        *map(torch.from_numpy, (small, full)), list(map(torch.from_numpy, kinds)), temperature=0.1
    )
    expected = []
    for keys in kinds:
        for i in range(5):
            others = full[i] @ keys.T <= 0.999
            p, q = (np.exp(log_softmax(v @ keys[others].T / 0.1)) for v in (full[i], small[i]))
            expected.append(rel_entr(p, q).sum())
    assert float(given) == pytest.approx(np.mean(expected))
    assert float(cosine_loss(*map(torch.from_numpy, (small, full)))) == pytest.approx(
        1 - np.mean(np.sum(small * full, axis=1))
    )
    assert float(
        bank_loss(*map(torch.from_numpy, (full, full)), [torch.from_numpy(kinds[0])], temperature=0.1)
    ) == pytest.approx(0)


def test_agreement_by_hand(material: Material) -> None:
    same = measure_agreement(material.keys, material.config, material.queries, material.queries)
    assert same == Agreement(1.0, 1.0, pytest.approx(1.0, abs=1e-5))
    swapped = material.queries.copy()
    swapped[0] = material.queries[1]
    agreement = measure_agreement(material.keys, material.config, material.queries, swapped)
    tops = [
        set(np.argsort(-exact_scores(material.keys, q, material.config), kind="stable")[:10].tolist())
        for q in material.queries[:2]
    ]
    n = len(material.queries)
    assert agreement.recall_at_10 == pytest.approx((n - 1 + len(tops[0] & tops[1]) / 10) / n)


def test_save_writes_the_log(full: BiEncoder, material: Material, tmp_path: Path) -> None:
    made = compress(full, material, STATIC.model_copy(update={"epochs": 0.3, "evals": 2}))
    save(made, tmp_path / "student")
    lines = (tmp_path / "student" / "training_log.jsonl").read_text().splitlines()
    assert len(lines) == len(made.log) == 2
    write_examples(topic_examples(), tmp_path / "examples.parquet")
