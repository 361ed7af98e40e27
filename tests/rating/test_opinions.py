import math
import zlib

import pytest
from scipy.stats import binomtest

from g2r.config import RatingsConfig
from g2r.errors import InputError
from g2r.evaluation.agreement import krippendorff_alpha
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.report import as_json, summary
from g2r.evaluation.significance import Estimate
from g2r.rating.items import HUMAN, RANDOM
from g2r.rating.judgements import Judgement
from g2r.rating.opinions import summarise
from g2r.rating.tables import sections

FAST = RatingsConfig(draws=200)


def pair(
    context: int | str, winner: str, *, rater: str = "ann", systems=("x", "y"), purpose="main"
) -> Judgement:
    """The judgement by which `winner` was preferred, or which was the verdict; sides by the context's number."""
    shown = tuple(systems) if zlib.crc32(str(context).encode()) % 2 else tuple(systems)[::-1]
    verdict = "ab"[shown.index(winner)] if winner in shown else winner
    item_id = f"{purpose} {context} {sorted(systems)}"
    return Judgement(item_id, "pairwise", purpose, str(context), shown, verdict, rater, 2.0)


def single(context: int, verdict: str, *, rater: str = "ann", system: str = "x") -> Judgement:
    return Judgement(f"{context} {system}", "absolute", "main", str(context), (system,), verdict, rater, 4.0)


def test_win_rates_count_contexts_whatever_the_sides() -> None:
    said = [pair(i, "x" if i < 12 else "y" if i < 15 else "tie" if i < 18 else "both bad") for i in range(20)]
    (preference,) = summarise(said, FAST).preferences
    assert (preference.a, preference.b, preference.both_bad) == ("x", "y", 2)
    rate = preference.rate
    assert (rate.wins, rate.losses, rate.ties, rate.value) == (12, 3, 5, 0.8)
    expected = binomtest(12, 15)
    assert rate.p == pytest.approx(expected.pvalue)
    interval = expected.proportion_ci(method="wilson")
    assert (rate.low, rate.high) == pytest.approx((interval.low, interval.high))


def test_of_several_raters_the_strict_majority_speaks() -> None:
    votes = {1: ("x", "x", "y"), 2: ("x", "y", "tie"), 3: ("y", "y", "both bad"), 4: ("x", "x", "tie")}
    said = [
        pair(i, winner, rater=name)
        for i, winners in votes.items()
        for name, winner in zip(("ann", "ben", "cas"), winners, strict=True)
    ]
    (preference,) = summarise(said, FAST).preferences
    assert (preference.rate.wins, preference.rate.losses, preference.rate.ties) == (2, 1, 1)


def test_three_systems_are_ranked_and_their_p_values_adjusted() -> None:
    wins = {("x", "y"): 15, ("x", "z"): 18, ("y", "z"): 14}
    said = [
        pair(f"{a}{b}{i}", a if i < count else b, systems=(a, b))
        for (a, b), count in wins.items()
        for i in range(20)
    ]
    opinions = summarise(said, FAST)
    assert [(p.a, p.b, p.rate.wins) for p in opinions.preferences] == [(*k, v) for k, v in wins.items()]
    smallest = min(opinions.preferences, key=lambda p: p.rate.p)
    assert smallest.adjusted_p == pytest.approx(3 * smallest.rate.p)
    strengths = opinions.strengths
    assert strengths["x"].value > strengths["y"].value > strengths["z"].value
    assert sum(s.value for s in strengths.values()) == pytest.approx(0)
    assert strengths["x"].low < strengths["x"].value < strengths["x"].high


def test_two_systems_are_apart_by_the_log_odds_of_the_win_rate() -> None:
    strengths = summarise([pair(i, "x" if i < 15 else "y") for i in range(20)], FAST).strengths
    assert strengths["x"].value - strengths["y"].value == pytest.approx(math.log(15 / 5), abs=1e-6)


def test_averages_are_over_contexts_and_specific_is_sensible() -> None:
    said = [
        single(1, "specific"),
        single(1, "not sensible", rater="ben"),
        single(2, "sensible"),
        single(3, "specific"),
        single(3, "specific", rater="ben"),
        single(1, "not sensible", system="w"),
        single(2, "not sensible", system="w"),
    ]
    w, x = summarise(said, FAST).averages
    assert (w.system, w.sensible.value, w.ssa.value) == ("w", 0, 0)
    assert x.sensible.value == pytest.approx((0.5 + 1 + 1) / 3)
    assert x.specific.value == pytest.approx((0.5 + 0 + 1) / 3)
    assert x.ssa.value == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert x.sensible.n == 3


def test_agreement_is_that_of_the_items_judged_twice() -> None:
    ann = ["x", "y", "x", "tie", "both bad", "y", "x", "x"]
    ben = ["x", "y", "y", "tie", "both bad", "x", "x", "x"]
    said = [pair(i, w) for i, w in enumerate(ann)] + [pair(i, w, rater="ben") for i, w in enumerate(ben)]
    said += [pair(99, "x"), single(1, "specific"), single(1, "specific", rater="ben")]
    agreement = summarise(said, FAST).agreement
    codes = ["x", "y", "tie", "both bad"]
    expected = krippendorff_alpha([[codes.index(w) for w in names] for names in (ann, ben)], level="nominal")
    assert agreement["better reply"].value == pytest.approx(expected)
    assert isinstance(agreement["sensible"], NotComputed)


def test_how_raters_work_is_told_and_counts_for_nothing_else() -> None:
    def of(rater: str, right: int) -> list[Judgement]:
        checks = [
            pair(
                f"check{i}",
                HUMAN if i < right else RANDOM,
                rater=rater,
                systems=(HUMAN, RANDOM),
                purpose="attention",
            )
            for i in range(4)
        ]
        again = [pair(i, "x" if i else "y", rater=rater, purpose="repeat") for i in range(4)]
        return [pair(i, "x", rater=rater) for i in range(10)] + checks + again

    said = of("ann", 4) + of("ben", 1)
    opinions = summarise(said, FAST)
    ann, ben = opinions.raters
    assert (ann.name, ann.judgements, ann.attention, ann.repeats, ann.seconds) == ("ann", 18, 1, 0.75, 2)
    assert (ben.attention, ben.left_out) == (0.25, False)
    assert opinions.contexts == 10
    assert {(p.a, p.b) for p in opinions.preferences} == {("x", "y")}
    strict = summarise(said, RatingsConfig(draws=200, min_attention=0.5))
    assert [rater.left_out for rater in strict.raters] == [False, True]
    assert isinstance(strict.agreement["better reply"], NotComputed)
    with pytest.raises(InputError, match="no judgement left of 36 by 2 raters"):
        summarise(of("ben", 1) + of("cas", 0), RatingsConfig(min_attention=0.5))


def test_what_cannot_be_computed_says_so_in_the_tables_and_to_programs() -> None:
    opinions = summarise([pair(1, "x"), single(1, "specific")], FAST)
    text = summary(sections(opinions), title="What people say")
    for reason in ("two raters", "never beats", "needs two contexts", "no attention item", "no repeat"):
        assert f"not computed: {reason}" in text or reason in text
    plain = as_json(opinions)
    assert "not_computed" in plain["agreement"]["better reply"]
    assert plain["preferences"][0]["rate"]["wins"] == 1
    ties = summarise([pair(i, "tie") for i in range(3)], FAST)
    assert isinstance(ties.preferences[0].rate, NotComputed)
    assert "no choice but 3 ties" in summary(sections(ties), title="x")
    with pytest.raises(InputError, match="no judgement"):
        summarise([], FAST)


def test_the_tables_hold_the_numbers() -> None:
    said = [pair(i, "x" if i < 15 else "y", rater=name) for i in range(20) for name in ("ann", "ben")]
    text = summary(sections(summarise(said, FAST)), title="What people say")
    assert "| x | y | 15 | 5 | 0 | 0.750 [0.531, 0.888] | 0.041 | 0.041 | 0 |" in text
    assert "| ann | 20 |" in text
    assert "| better reply | 1.00 [1.00, 1.00] |" in text
    assert isinstance(summarise(said, FAST).agreement["better reply"], Estimate)
