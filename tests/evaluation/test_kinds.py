"""Where a student fails: counted by hand."""

import numpy as np
import pytest

from g2r.evaluation.kinds import ALL, KINDS, kind_section
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.selection import Selection

ASKING = [("hi", f"do you really like to eat {i} apples every day?") for i in range(40)]
PLAIN = [(f"{i} it is",) for i in range(40)]
CONTEXTS = [*ASKING, *PLAIN]


def section(first, second, contexts=CONTEXTS):
    """Of a student whose seeds rank the original so."""
    ids = tuple(str(i) for i in range(len(contexts)))
    seeds = [Selection(ids, {20: np.array(ranks)}) for ranks in (first, second)]
    return kind_section("student", seeds, contexts, candidates=20, seed=0)


def test_kinds_are_counted_with_their_shares():
    found = {row["kind"]: row for row in section([1] * 40 + [1, 2] * 20, [1] * 40 + [3] * 40).values}
    assert found[ALL]["hits"].value == pytest.approx((40 + 10) / 80)
    assert found["the last turn asks"]["hits"].value == 1
    assert found["the last turn asks nothing"]["hits"].value == 0.25
    assert found["the first turn of a conversation"]["contexts"] == 40
    assert found["the last turn has 1 to 4 words"]["contexts"] == 40
    assert "the last turn has 13 words or more" not in found


def test_what_is_clearly_harder_is_named():
    told = section([1] * 40 + [2] * 40, [1] * 40 + [2] * 40).text
    assert "Clearly under the 0.500 of all: the last turn asks nothing (0.000)" in told
    assert "the last turn asks (" not in told
    even = section([1, 2] * 40, [2, 1] * 40).text
    assert "No kind is clearly harder than the rest." in even


def test_one_context_has_no_interval():
    found = section([1], [2], [("so",)]).values
    assert isinstance(found[0]["hits"], NotComputed)
    assert {row["contexts"] for row in found} == {1}


@pytest.mark.parametrize("context", [*CONTEXTS[::13], ("so " * 13,), ("?", "one two three four five")])
def test_each_context_is_of_one_kind_of_each_sort(context):
    names = [kind for kind, belongs in KINDS.items() if belongs(context)]
    assert len(names) == 4
