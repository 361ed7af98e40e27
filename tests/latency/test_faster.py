"""How many times faster: against a hand-made timing, and told where samples lack."""

from dataclasses import dataclass

import numpy as np
import pytest

from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.significance import Estimate
from g2r.latency.faster import faster_section, times_faster

OWN = np.random.default_rng(0).lognormal(2, 0.3, size=(40, 30))


@dataclass
class System:
    name: str
    slow: bool = False
    device: str = "cpu"
    note: str = ""

    def reply(self, context):
        return {}

    def reply_batch(self, contexts):
        return None


SYSTEMS = [System("bot"), System("plain"), System("writer", slow=True), System("seldom", slow=True)]
TAKEN = {
    "bot": {"total": OWN},
    "plain": {"total": 3 * OWN},
    "writer": {"total": 50 * OWN[:20, :20]},
    "seldom": {"total": 10 * OWN[:8, :1]},
}


def found():
    return times_faster(SYSTEMS, TAKEN, replying=["bot", "absent"], seed=0)


def test_a_reply_is_compared_with_every_generative_rival_and_no_other():
    assert [(f.system, f.rival) for f in found()] == [("bot", "writer"), ("bot", "seldom")]


def test_ratios_are_of_the_same_percentiles_on_the_same_contexts():
    writer = found()[0]
    for at in (50, 99):
        expected = np.percentile(50 * OWN[:20, :20], at) / np.percentile(OWN[:20], at)
        ratio = writer.times[at]
        assert isinstance(ratio, Estimate)
        assert ratio.value == pytest.approx(expected)
        assert ratio.low <= ratio.value <= ratio.high


def test_few_replies_of_a_rival_give_a_bound_in_the_place_of_p99():
    seldom = found()[1]
    assert isinstance(seldom.times[50], Estimate)
    assert isinstance(seldom.times[99], NotComputed)
    assert seldom.times[99].reason == "p99 needs 300 samples, got 8"
    assert isinstance(seldom.at_least, NotComputed)
    writer = found()[0].at_least
    assert isinstance(writer, Estimate)
    assert writer.value == pytest.approx(np.percentile(50 * OWN[:20, :20], 50) / np.percentile(OWN[:20], 99))
    assert writer.value < found()[0].times[99].value


def test_the_table_says_what_was_not_computed():
    section = faster_section(found())
    told = section.table.markdown()
    assert "| bot | writer | cpu | " in told
    assert "not computed: p99 needs 300 samples, got 8" in told
