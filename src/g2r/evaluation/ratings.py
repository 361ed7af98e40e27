"""What a learned scorer is worth: how it agrees with people, beside trivial baselines and the raters' own noise.

EVALUATION, tier E: published correlations of learned metrics with people are low, so none is shown here
without its own, and one that does not beat the length of the reply and its word overlap is labelled so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2r.dialogue import Context, clean_text
from g2r.errors import InputError
from g2r.evaluation.learned.base import BASELINES, LearnedScorer, pair_scores
from g2r.evaluation.metrics import Floats, NotComputed, mean_ranks, pearson
from g2r.evaluation.significance import Estimate, bootstrap
from g2r.reading.entries import Row
from g2r.reading.formats import json_rows
from g2r.reading.lines import numbered_lines

QUALITIES = ("Overall", "overall impression", "coherence_1to5", "appropriateness_mean")
"""The overall rating, as the public sets call it; of several the first that a file has."""

DRAWS = 2_000
_HALVES = 50
_DEFINED = 39 / 40
"""Share of the resamples that must have a value, as in `significance.bootstrap`."""


@dataclass(frozen=True, slots=True)
class RatedReply:
    """A reply with what people thought of it, one rating a rater (or their mean)."""

    context: Context
    response: str
    ratings: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a scorer agrees with the mean rating of the replies of one file."""

    file: str
    spearman: Estimate | NotComputed
    pearson: Estimate | NotComputed


@dataclass(frozen=True, slots=True)
class Validation:
    """What a scorer is worth on all files of ratings.

    Attributes:
        scorer: its name.
        agreements: one a file.
        margin: Spearman's rho less that of the better baseline (its size, whatever its sign), mean over the
            files; None for the baselines themselves.
        length_bias: Spearman's rho of the scores with the length of the reply, mean over the files.
    """

    scorer: str
    agreements: tuple[Agreement, ...]
    margin: Estimate | NotComputed | None
    length_bias: float | NotComputed

    @property
    def beats_baselines(self) -> bool:
        """True if the whole interval of the margin is over 0."""
        return isinstance(self.margin, Estimate) and self.margin.low > 0

    @property
    def label(self) -> str:
        """The scorer's name as it stands beside its values."""
        if self.margin is None or self.beats_baselines:
            return self.scorer
        if isinstance(self.margin, NotComputed):
            return f"{self.scorer} (not validated)"
        return f"{self.scorer} (no better than length and overlap)"


def read_ratings(path: Path, *, quality: str = "") -> list[RatedReply]:
    """Read JSON Lines of {"turns", "response", "human_rating"}, gzipped or not.

    `human_rating` is a number, a list of them (one a rater), or an object of such by quality. Replies
    without a word and contexts without a turn are left out.

    Args:
        quality: which one of an object; by default the first of `QUALITIES` that it has.

    Raises:
        InputError: the file cannot be read, a field is missing or malformed, or no rated reply is left.
    """
    replies = []
    for row in json_rows(numbered_lines(path), str(path)):
        context = tuple(turn for turn in map(clean_text, row.texts("turns")) if turn)
        response = clean_text(row.text("response"))
        ratings = _ratings(row, quality)
        if context and response:
            replies.append(RatedReply(context, response, ratings))
    if len(replies) < 2:
        raise InputError(f"{path} holds {len(replies)} rated replies, expected two or more")
    return replies


def _ratings(row: Row, quality: str) -> tuple[float, ...]:
    field = "human_rating"
    if isinstance(row.fields.get(field), Mapping):
        row = row.inner(field)
        field = quality or next((name for name in QUALITIES if name in row), "")
        if field not in row:
            raise InputError(
                f"{row.where}: no quality {quality or 'known'}, expected one of "
                f"{sorted(row.fields) if quality else list(QUALITIES)}"
            )
    ratings = row.numbers(field) if isinstance(row.fields.get(field), list) else (row.number(field),)
    if not ratings:
        raise row.wrong(field, "one rating at least")
    return ratings


def rater_ceiling(replies: Sequence[RatedReply], *, seed: int = 0) -> float | NotComputed:
    """The highest Spearman's rho with the mean rating that the raters' noise allows.

    The root of the reliability of the mean rating: the raters of each reply are split at random into two
    halves, and the halves' correlation, averaged over splits, is stepped up to all raters
    (Spearman-Brown).
    """
    several = [reply.ratings for reply in replies if len(reply.ratings) > 1]
    if len(several) < 2:
        return NotComputed("one rating a reply: the raters' noise cannot be told")
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(_HALVES):
        halves = [np.array_split(generator.permutation(own), 2) for own in several]
        first, second = (np.array([half[i].mean() for half in halves]) for i in (0, 1))
        values.append(pearson(mean_ranks(first), mean_ranks(second)))
    half = float(np.mean(values))
    if not np.isfinite(half) or half <= 0:
        return NotComputed("the raters do not agree at all")
    return float(np.sqrt(2 * half / (1 + half)))


def validate_scorers(
    scorers: Sequence[LearnedScorer], files: Mapping[str, Sequence[RatedReply]], *, seed: int = 0
) -> list[Validation]:
    """Compare scorers, and the baselines first, with people on every file.

    Raises:
        InputError: a scorer gives something else than one finite score a pair.
    """
    every = [*BASELINES, *scorers]
    samples = {name: _Sample.of(every, replies) for name, replies in files.items()}
    drawn = [sample.resampled(seed) for sample in samples.values()]
    whole = [sample.rho(np.arange(len(sample.people))) for sample in samples.values()]
    validations = []
    for i, scorer in enumerate(every):
        agreements = tuple(
            Agreement(name, _interval(rho[i], own[:, i], len(sample.people)), sample.pearson(i, seed))
            for (name, sample), rho, own in zip(samples.items(), whole, drawn, strict=True)
        )
        n = sum(len(sample.people) for sample in samples.values())
        margin = None
        if i >= len(BASELINES):
            margin = (
                _interval(_margin(whole, i)[0], _margin(drawn, i), n)
                if files
                else NotComputed("no human ratings were given")
            )
        bias = [sample.length_bias(i) for sample in samples.values()]
        biased = (
            float(np.mean(bias)) if bias and np.isfinite(bias).all() else NotComputed("scores do not vary")
        )
        validations.append(Validation(scorer.name, agreements, margin, biased))
    return validations


def _margin(rhos: Sequence[Floats], scorer: int) -> Floats:
    """Mean over the files of rho less the better baseline's: (draws,), of one (scorers,) or (draws, scorers) each.

    A baseline that does not vary on a file knows nothing of it: it counts as 0.
    """
    rows = [np.atleast_2d(rho) for rho in rhos]
    margins = [own[:, scorer] - np.abs(np.nan_to_num(own[:, : len(BASELINES)])).max(axis=1) for own in rows]
    return np.asarray(np.mean(margins, axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Sample:
    """One file: mean ratings (replies,) and scores (scorers, replies)."""

    people: Floats
    scores: Floats

    @classmethod
    def of(cls, scorers: Sequence[LearnedScorer], replies: Sequence[RatedReply]) -> "_Sample":
        contexts, responses = [r.context for r in replies], [r.response for r in replies]
        scores = np.stack([pair_scores(scorer, contexts, responses) for scorer in scorers])
        return cls(np.array([np.mean(r.ratings) for r in replies]), scores)

    def rho(self, rows: NDArray[np.intp]) -> Floats:
        """Spearman's rho of every scorer on some of the replies: (scorers,)."""
        people = mean_ranks(self.people[rows])
        return np.array([pearson(mean_ranks(own[rows]), people) for own in self.scores])

    def length_bias(self, scorer: int) -> float:
        """Spearman's rho of a scorer with the first baseline, the length."""
        return pearson(mean_ranks(self.scores[scorer]), mean_ranks(self.scores[0]))

    def resampled(self, seed: int) -> Floats:
        """Spearman's rho in bootstrap resamples, the same for all scorers: (draws, scorers)."""
        generator = np.random.default_rng(seed)
        n = len(self.people)
        return np.array([self.rho(generator.integers(n, size=n)) for _ in range(DRAWS)])

    def pearson(self, scorer: int, seed: int) -> Estimate | NotComputed:
        own = self.scores[scorer]

        def correlation(rows: NDArray[np.intp]) -> float:
            return pearson(own[rows], self.people[rows])

        return bootstrap(correlation, len(own), draws=DRAWS, seed=seed)


def _interval(value: float, drawn: Floats, n: int) -> Estimate | NotComputed:
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(defined) < len(drawn) * _DEFINED:
        return NotComputed("the scores or the ratings do not vary")
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high), n)
