"""The opinions of raters as tables to read."""

from collections.abc import Iterator

from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.preferences import WinRate
from g2r.evaluation.report import Section
from g2r.evaluation.significance import Estimate
from g2r.evaluation.tables import Value, table
from g2r.rating.opinions import Opinions, Preference


def sections(opinions: Opinions) -> list[Section]:
    """One section a question that was asked, and who answered."""
    return [
        _raters(opinions),
        *_preferences(opinions),
        *_averages(opinions),
        _agreement(opinions),
    ]


def _raters(opinions: Opinions) -> Section:
    text = (
        f"{len(opinions.raters)} raters judged {opinions.contexts} contexts. Attention: the human reply chosen over a "
        "random one. Repeats: the same verdict again. First side: .5 without a bias. Seconds: the median."
    )
    rows = [
        (
            rater.name + (", left out" if rater.left_out else ""),
            rater.judgements,
            rater.attention,
            rater.repeats,
            rater.first_side,
            rater.seconds,
        )
        for rater in opinions.raters
    ]
    headers = ("rater", "judgements", "attention", "repeats", "first side", "seconds")
    return Section("Raters", text, table(headers, rows))


def _preferences(opinions: Opinions) -> Iterator[Section]:
    if not opinions.preferences:
        return
    text = (
        "How often the first system is preferred, of the contexts that are no tie: one outcome a context, that of "
        "more than half of its raters. Wilson intervals at 0.95, exact sign test, Holm over the pairs. Contexts to "
        "which both say the same were not shown: they would be ties."
    )
    headers = ("a", "b", "wins", "losses", "ties", "a is preferred", "p", "p (Holm)", "both bad (judgements)")
    yield Section("Preferences", text, table(headers, list(map(_preference, opinions.preferences))))
    text = (
        "Bradley-Terry log-strengths, mean zero, a tie being half a win for each: a beats b with probability "
        "1 / (1 + exp(strength b - strength a)). Bootstrap intervals at 0.95 over contexts."
    )
    strengths = opinions.strengths
    rows: list[tuple[Value, ...]] = (
        [("all", strengths)]
        if isinstance(strengths, NotComputed)
        else [(name, value) for name, value in sorted(strengths.items(), key=lambda pair: -pair[1].value)]
    )
    yield Section("Strengths", text, table(("system", "log-strength"), rows))


def _preference(preference: Preference) -> tuple[Value, ...]:
    rate = preference.rate
    sides = preference.a, preference.b
    if not isinstance(rate, WinRate):
        return (*sides, 0, 0, None, rate, None, None, preference.both_bad)
    share = Estimate(rate.value, rate.low, rate.high, rate.wins + rate.losses)
    p, adjusted = (f"{value:.2g}" for value in (rate.p, preference.adjusted_p or 0.0))
    return (*sides, rate.wins, rate.losses, rate.ties, share, p, adjusted, preference.both_bad)


def _averages(opinions: Opinions) -> Iterator[Section]:
    if not opinions.averages:
        return
    text = (
        "Shares of the replies that make sense, and that are specific too; SSA is the mean of the two. Averages "
        "over contexts of the averages over raters, bootstrap intervals at 0.95 over contexts."
    )
    rows = [(each.system, each.sensible, each.specific, each.ssa) for each in opinions.averages]
    headers = ("system", "sensible", "specific", "SSA")
    yield Section("Sensible and specific", text, table(headers, rows))


def _agreement(opinions: Opinions) -> Section:
    text = (
        "Krippendorff's alpha (nominal): 1 is full agreement of the raters, 0 what chance gives. Bootstrap intervals "
        "at 0.95 over items."
    )
    rows = [(question, alpha) for question, alpha in opinions.agreement.items()]
    return Section("Agreement", text, table(("question", "alpha"), rows))
