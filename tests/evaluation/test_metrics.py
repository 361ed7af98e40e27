"""Metrics against brute-force loops, nltk and scipy."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from g2r.errors import InputError
from g2r.evaluation import metrics
from g2r.evaluation.metrics import NotComputed

SCORE_MATRIX = st.integers(2, 6).flatmap(
    lambda width: st.lists(st.lists(st.integers(-3, 3), min_size=width, max_size=width), min_size=1)
)
SCORE_PAIRS = st.integers(2, 9).flatmap(
    lambda width: st.tuples(*(st.lists(st.integers(-4, 4), min_size=width, max_size=width) for _ in range(2)))
)
REPLIES = [
    "Oh no!! That's so-so :( I don't know...",
    "I love it <3 http://example.org/a?b=c @you #tag",
    "I love it, I love it, I love it.",
    "Café №5: ~£3.50, isn't it? 😀😀",
    "ok",
    "",
]


@settings(deadline=None)
@given(SCORE_MATRIX)
def test_ranks_equal_a_loop_with_the_gold_last_among_ties(matrix):
    expected = [1 + sum(score >= row[0] for score in row[1:]) for row in matrix]
    assert metrics.ranks(matrix).tolist() == expected


def test_hits_and_mrr_of_known_ranks():
    assert metrics.hits_at([1, 2, 4, 20], 1) == 0.25
    assert metrics.hits_at([1, 2, 4, 20], 4) == 0.75
    assert metrics.mrr([1, 2, 4]) == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_a_constant_scorer_never_hits():
    assert metrics.hits_at(metrics.ranks(np.zeros((5, 20))), 19) == 0.0


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0, 2.0], r"shape \(2,\)"),
        ([[1.0]], r"shape \(1, 1\)"),
        ([[1, 2], [1, math.nan]], "context 1 hold NaN"),
    ],
)
def test_ranks_refuse_what_has_no_rank(scores, message):
    with pytest.raises(InputError, match=message):
        metrics.ranks(scores)


@pytest.mark.parametrize("metric", [metrics.mrr, lambda ranks: metrics.hits_at(ranks, 1)])
def test_no_contexts_is_an_error_not_a_nan(metric):
    with pytest.raises(InputError, match="some contexts"):
        metric([])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_distinct_equals_a_plain_nltk_count(n):
    from nltk.tokenize import casual_tokenize
    from nltk.util import ngrams

    counts = Counter(gram for reply in REPLIES for gram in ngrams(casual_tokenize(reply), n))
    value = metrics.distinct_n(metrics.casual_tokens(REPLIES), n)
    assert value == len(counts) / counts.total()


def test_distinct_of_nothing_is_not_computed():
    assert isinstance(metrics.distinct_n([], 2), NotComputed)
    assert isinstance(metrics.distinct_n([["one"], []], 2), NotComputed)


def test_distinct_at_the_whole_budget_is_distinct_and_at_less_is_higher():
    tokens = [[f"w{i % 7}", f"w{i % 5}", f"w{i % 3}"] for i in range(200)]
    everything = metrics.distinct_n(tokens, 2)
    assert metrics.distinct_at_budget(tokens, 2, budget=600) == pytest.approx(everything)
    assert metrics.distinct_at_budget(tokens, 2, budget=60) > everything
    assert metrics.distinct_at_budget(tokens, 2, budget=60, seed=1) == metrics.distinct_at_budget(
        tokens, 2, budget=60, seed=1
    )
    assert isinstance(metrics.distinct_at_budget(tokens, 2, budget=601), NotComputed)
    assert isinstance(metrics.distinct_at_budget([["a"], ["b"]], 2, budget=2), NotComputed)


def test_budget_cuts_the_last_reply():
    assert metrics.distinct_at_budget([["a", "a", "a", "a"]], 1, budget=2) == 0.5


def test_reply_health():
    replies = ["yes", "no", "yes", "yes"]
    assert metrics.unique_share(replies) == 0.5
    assert metrics.top_share(replies) == 0.75
    contexts = [["Yes!", "hm"], ["no way"], ["so?"], ["well", "YES..."]]
    assert metrics.echo_rate(replies, contexts) == 0.5
    found = metrics.lengths([["a"], ["a", "b", "c"], [], ["a"]])
    assert (found.mean, found.median, found.histogram) == (1.25, 1.0, (1, 2, 0, 1))


def test_zero_replies_are_not_computed():
    for value in (
        metrics.unique_share([]),
        metrics.top_share([]),
        metrics.echo_rate([], []),
        metrics.lengths([]),
    ):
        assert isinstance(value, NotComputed)
    with pytest.raises(InputError, match="1 replies to 2 contexts"):
        metrics.echo_rate(["a"], [["b"], ["c"]])


@pytest.mark.filterwarnings("ignore:An input array is constant")
@settings(deadline=None)
@given(SCORE_PAIRS)
def test_rank_correlations_equal_scipy(pair):
    student, teacher = pair
    for ours, theirs in ((metrics.spearman, stats.spearmanr), (metrics.kendall, stats.kendalltau)):
        expected = theirs(student, teacher).statistic
        np.testing.assert_allclose(ours([student], [teacher]), [expected], atol=1e-12)


def test_kl_equals_scipy_entropy():
    student, teacher = [0.1, -0.4, 0.9], [3.0, 1.0, 2.5]
    q, p = np.exp(np.array(teacher) / 2), np.exp(np.array(student) / 0.05)
    value = metrics.kl_divergence([student], [teacher], teacher_temperature=2, student_temperature=0.05)
    assert value[0] == pytest.approx(stats.entropy(q, p))
    assert metrics.kl_divergence([teacher], [teacher])[0] == pytest.approx(0)


def test_oracle_gap_and_first_choice():
    student = [[0.9, 0.1, 0.5], [0.2, 0.2, 0.1]]
    teacher = [[3.0, 8.0, 5.0], [7.0, 1.0, 9.0]]
    assert metrics.oracle_gap(student, teacher).tolist() == [5.0, 5.0]
    assert metrics.first_choice_good(student, teacher).tolist() == [0.0, 0.5]
    assert metrics.any_good(teacher, good=9).tolist() == [0.0, 1.0]


def test_a_constant_scorer_chooses_as_well_as_chance():
    teacher = np.random.default_rng(0).integers(0, 11, (50, 10))
    chosen = metrics.first_choice_good(np.zeros((50, 10)), teacher)
    np.testing.assert_allclose(chosen, (teacher >= 6).mean(axis=1))


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ([[1, 2]], [[1, 2], [3, 4]], "1 contexts, teacher scores for 2"),
        ([[1, 2]], [[1, 2, 3]], "context 0 has student scores"),
        ([[1, 2], [1, math.nan]], [[1, 2], [1, 2]], "context 1 are not all finite"),
    ],
)
def test_unequal_or_undefined_scores_are_refused(student, teacher, message):
    with pytest.raises(InputError, match=message):
        metrics.spearman(student, teacher)
