"""Differences in Dist-n against a plain NLTK count."""

import pytest
from nltk import ngrams
from nltk.tokenize.casual import TweetTokenizer

from g2r.errors import InputError
from g2r.evaluation.diversity import distinct_differences
from g2r.evaluation.metrics import NotComputed

VARIED = [f"reply number {i} is about subject {i * 7}" for i in range(40)]
SAME = ["I do not know what to say to you", "that is nice"] * 20
OTHER = [f"note number {i} is about subject {i * 3}" for i in range(40)]


def dist(replies, n):
    grams = [gram for reply in replies for gram in ngrams(TweetTokenizer().tokenize(reply), n)]
    return len(set(grams)) / len(grams)


@pytest.mark.parametrize("n", [2, 3])
def test_differences_are_those_of_a_plain_count(n):
    replies = {"varied": VARIED, "same": SAME, "other": OTHER}
    found = {d.name: d for d in distinct_differences(replies, reference="varied", n=n, draws=200)}
    assert set(found) == {"same", "other"}
    for name in found:
        assert found[name].value == pytest.approx(dist(replies[name], n) - dist(VARIED, n))
    assert found["same"].p == pytest.approx(1 / 201)
    assert found["same"].p_adjusted == pytest.approx(2 / 201)
    assert found["other"].p > 0.05


def test_only_contexts_that_both_answered_count():
    replies = {"a": [None, *VARIED[1:]], "b": [*OTHER[:-1], None], "mute": [None] * 40}
    (found,) = distinct_differences(replies, reference="a", draws=20)
    assert (found.name, found.n) == ("b", 38)
    assert found.value == pytest.approx(dist(OTHER[1:-1], 2) - dist(VARIED[1:-1], 2))


def test_nothing_to_compare_is_not_computed():
    assert isinstance(distinct_differences({"a": VARIED}, reference="a"), NotComputed)
    assert isinstance(distinct_differences({"a": ["hi"], "b": ["ho"]}, reference="a"), NotComputed)


def test_other_contexts_are_refused():
    with pytest.raises(InputError, match="expected replies of 'a' and of the others to the same contexts"):
        distinct_differences({"a": VARIED, "b": OTHER[:3]}, reference="a")
    with pytest.raises(InputError, match="expected replies of 'z'"):
        distinct_differences({"a": VARIED}, reference="z")
