"""Learned scorers: what they are trained on, that they learn, that they come back as they were."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from g2r.dialogue import Candidate, Example
from g2r.errors import ArtifactError, InputError
from g2r.evaluation.learned.base import JudgeScorer, list_scorer, pair_scores
from g2r.evaluation.learned.corruption import CORRUPTIONS, corrupted
from g2r.evaluation.learned.heads import PairHead, TurnsHead, fit, predict
from g2r.evaluation.learned.masked import MaskedScorer
from g2r.evaluation.learned.scorers import UslScorer, load_scorers, specificity
from g2r.evaluation.learned.training import train_scorers
from tiny_students import make_base

TEXT = "one two three four five six seven eight"


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruptions_change_what_they_say_and_no_more(kind):
    for seed in range(30):
        words, found = TEXT.split(), corrupted(TEXT, kind, np.random.default_rng(seed)).split()
        assert found != words
        if kind == "order":
            assert sorted(found) == sorted(words)
        if kind == "drop":
            rest = iter(words)
            assert all(word in rest for word in found)
            assert 0 < len(found) < len(words)
        if kind == "repeat":
            assert len(found) > len(words)
            assert set(found) == set(words)


def test_what_cannot_be_corrupted_is_left_out():
    assert corrupted("too short", "order", np.random.default_rng(0)) is None
    assert corrupted("ha ha ha ha", "order", np.random.default_rng(0)) is None


def test_a_pair_head_learns_what_only_the_pair_tells():
    generator = np.random.default_rng(0)
    left, right = generator.choice([-1.0, 1.0], size=(2, 600, 8)).astype(np.float32)
    right[:, 0] = np.where(generator.random(600) < 0.5, left[:, 0], -left[:, 0])
    good = left[:, 0] == right[:, 0]
    torch.manual_seed(0)
    head = PairHead(8)
    accuracy = fit(head, [left, right], good, np.arange(600) >= 500, epochs=40, seed=0)
    assert accuracy > 0.9
    guesses = predict(head, [left[500:], right[500:]]) > 0.5
    assert (guesses == good[500:]).mean() > 0.9


def test_fit_is_told_by_its_seed_and_weighs_both_labels_the_same():
    features = np.random.default_rng(0).standard_normal((100, 6)).astype(np.float32)
    good, aside = np.arange(100) % 10 == 0, np.arange(100) >= 60
    values = []
    for _ in range(2):
        torch.manual_seed(1)
        head = PairHead(6)
        accuracy = fit(head, [features, features], good, aside, epochs=2, seed=3)
        values.append((accuracy, predict(head, [features, features]).tolist()))
    assert values[0] == values[1]
    assert np.mean(values[0][1]) > 0.25


def test_a_turns_head_reads_the_order_of_the_turns():
    turns = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0))
    head = TurnsHead(6).eval()
    response = torch.ones(1, 6)
    assert head(turns, response) != head(turns.flip(1), response)


class Echoes:
    """A judge that likes what stands in the context; remembers its calls."""

    def __init__(self):
        self.calls = []

    def score_lists(self, contexts, candidates):
        self.calls.append((contexts, candidates))
        pairs = zip(contexts, candidates, strict=True)
        return [np.array([float(r in context) for r in responses]) for context, responses in pairs]


def test_a_judge_gets_the_responses_of_a_context_together():
    judge = Echoes()
    scores = list_scorer(JudgeScorer(judge))([("a",), ("b", "c")], [["a", "x"], ["c", "a", "b"]])
    assert [own.tolist() for own in scores] == [[1, 0], [1, 0, 1]]
    assert judge.calls == [([("a",), ("b", "c")], [["a", "x"], ["c", "a", "b"]])]
    assert JudgeScorer(judge).score([], []).tolist() == []


class Odd:
    name = "odd"

    def __init__(self, scores):
        self.scores = scores

    def score(self, contexts, responses):
        return np.array(self.scores)


def test_odd_scores_are_refused():
    with pytest.raises(InputError, match=r"odd gave scores \(1,\) for 2 contexts and 2 responses"):
        pair_scores(Odd([1.0]), [("a",), ("b",)], ["x", "y"])
    with pytest.raises(InputError, match="odd scores 'y' with inf"):
        pair_scores(Odd([1.0, np.inf]), [("a",), ("b",)], ["x", "y"])


def dialogue(i):
    topic = f"topic{i % 24}"
    return Example(
        ("hi", f"what about {topic} ?"),
        (Candidate(f"well answer{i % 24} for sure and more", "human", original=True),),
        f"dialogue {i}",
        "train",
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scorers")
    base = make_base(folder)
    record = train_scorers(
        [dialogue(i) for i in range(120)], base=str(base), output=folder / "scorers", epochs=20
    )
    return folder / "scorers", base, record


def test_training_makes_scorers_that_come_back(trained):
    folder, base, record = trained
    scorers, loaded = load_scorers(folder)
    assert [s.name for s in scorers] == ["VUP", "NUP", "MaUdE-style"]
    assert loaded == record
    assert record.base == str(base)
    assert set(record.accuracy) == {"vup", "nup", "maude"}
    assert record.counts["contexts"] == 120
    contexts, responses = [("hi", "what about topic1 ?")] * 2, ["well answer1 for sure", "sure for answer1"]
    again, _ = load_scorers(folder)
    for scorer, same in zip(scorers, again, strict=True):
        values = scorer.score(contexts, responses)
        assert ((values > 0) & (values < 1)).all()
        assert values.tolist() == same.score(contexts, responses).tolist()
        assert scorer.score([], []).tolist() == []


def test_real_replies_are_told_from_repeated_ones(trained):
    scorers, record = load_scorers(trained[0])
    assert record.accuracy["vup"] > 0.6
    real = [f"well answer{i} for sure and more" for i in range(24)]
    worse = [corrupted(text, "repeat", np.random.default_rng(i)) for i, text in enumerate(real)]
    vup = scorers[0]
    assert vup.score([("hi",)] * 24, real).mean() > vup.score([("hi",)] * 24, worse).mean()


def test_another_encoder_is_refused(trained, tmp_path):
    folder, _, _ = trained
    values = json.loads((folder / "scorers.json").read_text())
    other = tmp_path / "scorers"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "scorers.json").write_text(json.dumps({**values, "fingerprint": "0"}))
    with pytest.raises(ArtifactError, match="trained on another"):
        load_scorers(other)
    (other / "nup.safetensors").write_bytes(b"broken")
    with pytest.raises(ArtifactError, match="holds no trained scorers"):
        load_scorers(other)


def test_what_is_no_scorers_folder_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="holds no trained scorers"):
        load_scorers(tmp_path)


def test_too_few_dialogues_are_refused(tmp_path):
    with pytest.raises(InputError, match="3 training examples with an original response, expected 50"):
        train_scorers([dialogue(i) for i in range(3)], output=tmp_path / "s")


def test_usl_is_the_released_combination():
    class Fixed:
        def __init__(self, value):
            self.value = value

        def score(self, contexts, responses):
            return np.array([self.value])

    found = UslScorer(Fixed(0.8), Fixed(0.5), Fixed(0.6)).score([("c",)], ["r"])
    assert found.tolist() == pytest.approx([0.33 * 0.8 + 0.33 * 0.5 + 0.34 * 0.5 * 0.6])


def test_specificity_puts_the_quartiles_of_real_replies_at_a_quarter_and_three():
    assert specificity(np.array([2.0, 4.0, 3.0, 0.0, 99.0]), (2.0, 4.0)).tolist() == [0.25, 0.75, 0.5, 0, 1]


@pytest.fixture(scope="module")
def masked_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tea", "is", "good", "rain", "you", "like"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=1.0,
    )
    torch.manual_seed(0)
    for kind, name in ((BertForMaskedLM, "mlm"), (BertModel, "headless")):
        kind(config).save_pretrained(folder / name)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            cls_token="[CLS]",
            sep_token="[SEP]",
            pad_token="[PAD]",
            unk_token="[UNK]",
            mask_token="[MASK]",
        ).save_pretrained(folder / name)
    return folder


def test_likelihood_masks_each_token_in_turn(masked_folder):
    scorer = MaskedScorer.load(masked_folder / "mlm", ["tea is good", "you like rain", "rain is tea"])
    model = BertForMaskedLM.from_pretrained(masked_folder / "mlm").eval()
    ids, total = [2, 5, 6, 7, 3], 0.0
    for place in (1, 2, 3):
        masked = torch.tensor([ids])
        masked[0, place] = 4
        with torch.no_grad():
            total -= model(input_ids=masked).logits[0, place].log_softmax(-1)[ids[place]].item()
    assert scorer.nll("tea is good") == pytest.approx(total / 3, abs=1e-5)
    assert scorer.nll("") == 0.0
    values = scorer.score([("a",)] * 2, ["tea is good", "you like rain"])
    assert ((values >= 0) & (values <= 1)).all()


def test_a_model_without_a_head_is_refused(masked_folder, tmp_path):
    with pytest.raises(InputError, match="is no masked language model"):
        MaskedScorer.load(masked_folder / "headless", ["tea"])
    with pytest.raises(InputError, match="no masked language model"):
        MaskedScorer.load(tmp_path, ["tea"])
    with pytest.raises(InputError, match="no real replies"):
        MaskedScorer.load(masked_folder / "mlm", [])


def test_scorers_read_any_text(trained):
    scorers, _ = load_scorers(trained[0])
    long = tuple("what about topic1 ?" for _ in range(9))
    for scorer in scorers:
        assert np.isfinite(scorer.score([long, ("🙂",)], ["", "naïve " * 100])).all()


@pytest.mark.parametrize("missing", ["good", "bad"])
@pytest.mark.parametrize("part", ["to train on", "held out"])
def test_rows_of_one_label_are_refused_instead_of_fitted_to_nan(missing, part):
    vectors = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    held_out = np.arange(40) >= 30
    labels = np.arange(40) % 2 == 0
    labels[held_out if part == "held out" else ~held_out] = missing == "bad"
    head = PairHead(8)
    with pytest.raises(InputError, match=rf"\b0 {missing} .*{part}"):
        fit(head, [vectors, vectors], labels, held_out, epochs=1, seed=0)
