"""What learned scorers are worth: against scipy, and on raters whose noise is known."""

import gzip
import json
import zlib

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from g2r.errors import InputError
from g2r.evaluation import ratings as module
from g2r.evaluation.learned.base import LengthBaseline, OverlapBaseline
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.ratings import RatedReply, rater_ceiling, read_ratings, validate_scorers


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 200)


class Told:
    """Scores by what it was told of each response."""

    def __init__(self, name, scores):
        self.name, self.scores = name, scores

    def score(self, contexts, responses):
        return np.array([self.scores[response] for response in responses])


def rated(count, raters, noise, seed=0):
    """Replies whose true worth is standard normal, rated with normal noise; and that worth by reply."""
    generator = np.random.default_rng(seed)
    worth = generator.standard_normal(count)
    texts = [f"reply {'word ' * int(generator.integers(1, 9))}{i}" for i in range(count)]
    replies = [
        RatedReply((f"context {i}",), text, tuple(w + noise * generator.standard_normal(raters)))
        for i, (text, w) in enumerate(zip(texts, worth, strict=True))
    ]
    return replies, dict(zip(texts, worth, strict=True))


def write(path, rows):
    with gzip.open(path, "wt") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_the_forms_of_ratings(tmp_path):
    turns = {"turns": ["hi", " "], "response": " so "}
    path = write(
        tmp_path / "ratings.jsonl.gz",
        [
            {**turns, "human_rating": {"Natural": [1, 1], "Overall": [3, 4]}},
            {**turns, "human_rating": {"appropriateness_mean": 2.4}},
            {**turns, "human_rating": [1, 2, 5]},
            {**turns, "human_rating": 4},
            {**turns, "response": " ", "human_rating": 4},
        ],
    )
    found = read_ratings(path)
    assert [r.ratings for r in found] == [(3, 4), (2.4,), (1, 2, 5), (4,)]
    assert (found[0].context, found[0].response) == (("hi",), "so")


@pytest.mark.parametrize(
    ("row", "quality", "message"),
    [
        ({"Natural": [1]}, "", "no quality known, expected one of"),
        ({"Natural": [1]}, "Overall", r"no quality Overall, expected one of \['Natural'\]"),
        ({"Overall": [1, None]}, "", r"Overall\[1\]: got nothing, expected a finite number"),
        ([], "", "expected one rating at least"),
        ("good", "", "human_rating: got str"),
    ],
)
def test_wrong_ratings_are_named(tmp_path, row, quality, message):
    path = write(tmp_path / "r.jsonl", [{"turns": ["a"], "response": "b", "human_rating": row}])
    with pytest.raises(InputError, match=message):
        read_ratings(path, quality=quality)


def test_one_rated_reply_is_refused(tmp_path):
    path = write(tmp_path / "r.jsonl", [{"turns": ["a"], "response": "b", "human_rating": 1}])
    with pytest.raises(InputError, match="holds 1 rated replies, expected two or more"):
        read_ratings(path)


def test_the_ceiling_is_the_root_of_the_reliability():
    replies, _ = rated(1000, raters=4, noise=1.0)
    assert rater_ceiling(replies) == pytest.approx(np.sqrt(1 / (1 + 1 / 4)), abs=0.03)
    certain, _ = rated(200, raters=3, noise=0.0)
    assert rater_ceiling(certain) == pytest.approx(1.0)


def test_one_rater_has_no_ceiling():
    assert isinstance(rater_ceiling(rated(50, raters=1, noise=1.0)[0]), NotComputed)


def test_correlations_are_scipys_and_a_knowing_scorer_beats_the_baselines():
    replies, worth = rated(150, raters=3, noise=0.5)
    knowing, blind = Told("knowing", worth), Told("blind", {t: zlib.crc32(t.encode()) % 97 for t in worth})
    length, overlap, first, second = validate_scorers([knowing, blind], {"file": replies})
    people = [np.mean(r.ratings) for r in replies]
    values = [worth[r.response] for r in replies]
    assert first.agreements[0].spearman.value == pytest.approx(spearmanr(values, people)[0])
    assert first.agreements[0].pearson.value == pytest.approx(pearsonr(values, people)[0])
    assert first.agreements[0].spearman.low < first.agreements[0].spearman.value
    assert (length.scorer, overlap.scorer) == ("length", "word overlap")
    assert (first.beats_baselines, first.label) == (True, "knowing")
    assert second.label == "blind (no better than length and overlap)"
    assert length.margin is None
    assert length.length_bias == pytest.approx(1.0)
    lengths = [len(r.response.split()) for r in replies]
    assert first.length_bias == pytest.approx(spearmanr(values, lengths)[0])
    assert length.label == "length"


def test_the_margin_is_to_the_better_baseline_whatever_its_sign():
    replies, _ = rated(120, raters=1, noise=0.0)
    short = [RatedReply(r.context, r.response, (-len(r.response.split()),)) for r in replies]
    told = {r.response: r.ratings[0] for r in short}
    validation = validate_scorers([Told("short is good", told)], {"file": short})[2]
    assert validation.agreements[0].spearman.value == pytest.approx(1.0)
    assert validation.margin.value == pytest.approx(0.0)
    assert not validation.beats_baselines


def test_files_count_the_same_whatever_their_size():
    (large, worth), (small, more) = rated(200, 1, 0.1), rated(40, 1, 0.1, seed=5)
    scorer = Told("half", {**worth, **{t: -w for t, w in more.items()}})
    found = validate_scorers([scorer], {"large": large, "small": small})[2]
    baselines = validate_scorers([], {"large": large, "small": small})
    assert isinstance(baselines[1].agreements[0].spearman, NotComputed)  # here overlap does not vary: 0
    best = [abs(baselines[0].agreements[i].spearman.value) for i in (0, 1)]
    expected = np.mean([a.spearman.value - b for a, b in zip(found.agreements, best, strict=True)])
    assert found.margin.value == pytest.approx(expected)


def test_no_ratings_means_not_validated():
    found = validate_scorers([Told("x", {})], {})[2]
    assert isinstance(found.margin, NotComputed)
    assert found.label == "x (not validated)"


def test_a_scorer_that_does_not_vary_is_not_computed():
    replies, worth = rated(30, 1, 0.1)
    found = validate_scorers([Told("flat", dict.fromkeys(worth, 1.0))], {"file": replies})[2]
    assert isinstance(found.agreements[0].spearman, NotComputed)
    assert isinstance(found.agreements[0].pearson, NotComputed)
    assert isinstance(found.margin, NotComputed)


def test_nan_scores_are_refused():
    replies, worth = rated(30, 1, 0.1)
    with pytest.raises(InputError, match=r"broken scores 'reply .* with nan"):
        validate_scorers([Told("broken", dict.fromkeys(worth, np.nan))], {"file": replies})


def test_baselines_by_hand():
    contexts, responses = [("I like tea", "Do you?")], ["Tea? I like coffee!"]
    assert LengthBaseline().score(contexts, responses).tolist() == [4]
    assert OverlapBaseline().score(contexts, responses).tolist() == [0.75]
