"""What replies and scores are measured by: pure functions on arrays and strings, no model, no file.

Score lists of several contexts may differ in length: they are given as sequences of one array a context,
and what comes back is one value a context, so that intervals and paired tests can be taken over contexts
(EVALUATION: Metrics, Statistics).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2r.errors import DependencyError, InputError

Floats = NDArray[np.float64]
ScoreLists = Sequence[ArrayLike]
Tokens = Sequence[Sequence[str]]
GOOD = 6.0
"""Judge score (0 to 10) from which a response follows acceptably from its context."""


@dataclass(frozen=True, slots=True)
class NotComputed:
    """Stands where a number would mislead, and says why there is none."""

    reason: str

    def __str__(self) -> str:
        return f"not computed ({self.reason})"


def ranks(scores: ArrayLike) -> NDArray[np.int64]:
    """Rank of the gold, column 0 of `scores` (contexts, candidates), 1 for the best: int (contexts,).

    A tie counts against the gold: a scorer that gives every candidate the same gets the last rank.

    Raises:
        InputError: not two-dimensional, fewer than two candidates, or NaN.
    """
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise InputError(f"scores have shape {matrix.shape}, expected (contexts, at least 2 candidates)")
    if np.isnan(matrix).any():
        row = int(np.isnan(matrix).any(axis=1).argmax())
        raise InputError(f"the scores of context {row} hold NaN: no rank can be told; check the scorer")
    better_or_tied: NDArray[np.int64] = (matrix[:, 1:] >= matrix[:, :1]).sum(axis=1, dtype=np.int64)
    return 1 + better_or_tied


def hits_at(ranks: ArrayLike, k: int) -> float:
    """hits@k: share of contexts whose gold stands among the first k."""
    return float((_some(ranks, "ranks") <= k).mean())


def mrr(ranks: ArrayLike) -> float:
    """Mean reciprocal rank of the gold."""
    return float((1.0 / _some(ranks, "ranks")).mean())


def casual_tokens(replies: Sequence[str]) -> list[list[str]]:
    """NLTK's casual tokens of each reply, what the paper counts Dist-n over.

    Raises:
        DependencyError: nltk is not installed.
    """
    try:
        from nltk.tokenize.casual import TweetTokenizer
    except ImportError as error:
        raise DependencyError("Dist-n needs nltk: pip install 'g2r[eval]'") from error
    tokenizer = TweetTokenizer()
    return [tokenizer.tokenize(reply) for reply in replies]


def distinct_n(tokens: Tokens, n: int) -> float | NotComputed:
    """Dist-n of a corpus: different n-grams over all n-grams. It falls as replies grow in number."""
    grams = [tuple(reply[i : i + n]) for reply in tokens for i in range(len(reply) - n + 1)]
    if not grams:
        return NotComputed(f"no reply has {n} tokens")
    return len(set(grams)) / len(grams)


def distinct_at_budget(
    tokens: Tokens, n: int, *, budget: int, draws: int = 20, seed: int = 0
) -> float | NotComputed:
    """Dist-n of `budget` tokens: replies in random order until they are reached, averaged over draws.

    Systems that reply at different lengths become comparable; the last reply of a draw is cut.
    """
    total = sum(map(len, tokens))
    if total < budget or budget < n:
        return NotComputed(f"{total} tokens for a budget of {budget}")
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        left, drawn = budget, []
        for i in generator.permutation(len(tokens)):
            drawn.append(tokens[i][:left])
            left -= len(drawn[-1])
            if not left:
                break
        values.append(distinct_n(drawn, n))
    numbers = [value for value in values if not isinstance(value, NotComputed)]
    return float(np.mean(numbers)) if len(numbers) == draws else NotComputed(f"no reply has {n} tokens")


def unique_share(replies: Sequence[str]) -> float | NotComputed:
    """Different replies over all replies."""
    return len(set(replies)) / len(replies) if replies else NotComputed("no replies")


def top_share(replies: Sequence[str]) -> float | NotComputed:
    """Share of all replies that the most used one takes."""
    return Counter(replies).most_common(1)[0][1] / len(replies) if replies else NotComputed("no replies")


def echo_rate(replies: Sequence[str], contexts: Sequence[Sequence[str]]) -> float | NotComputed:
    """Share of replies made of the same words as a turn of their context, case and punctuation aside."""
    if len(replies) != len(contexts):
        raise InputError(f"{len(replies)} replies to {len(contexts)} contexts; expected one each")
    if not replies:
        return NotComputed("no replies")
    echoes = [_words(r) in {_words(turn) for turn in c} for r, c in zip(replies, contexts, strict=True)]
    return sum(echoes) / len(echoes)


def _words(text: str) -> tuple[str, ...]:
    return tuple("".join(c if c.isalnum() else " " for c in text.casefold()).split())


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of replies in tokens; `histogram[k]` replies have k tokens."""

    mean: float
    median: float
    p95: float
    histogram: tuple[int, ...]


def lengths(tokens: Tokens) -> Lengths | NotComputed:
    """How long the replies are."""
    if not tokens:
        return NotComputed("no replies")
    counts = np.array([len(reply) for reply in tokens])
    median, p95 = np.percentile(counts, [50, 95])
    return Lengths(
        float(counts.mean()), float(median), float(p95), tuple(int(c) for c in np.bincount(counts))
    )


def spearman(student: ScoreLists, teacher: ScoreLists) -> Floats:
    """Spearman's rho of student and teacher scores per context (contexts,), ties sharing their mean rank.

    NaN where one of the two gives every candidate the same score: there is no order to compare.
    """
    return np.array([pearson(mean_ranks(s), mean_ranks(t)) for s, t in _pairs(student, teacher)])


def kendall(student: ScoreLists, teacher: ScoreLists) -> Floats:
    """Kendall's tau-b of student and teacher scores per context (contexts,), NaN as in `spearman`."""
    values = []
    for s, t in _pairs(student, teacher):
        upper = np.triu_indices(len(s), k=1)
        s_order, t_order = (np.sign(x[:, None] - x[None, :])[upper] for x in (s, t))
        untied = np.sqrt(np.abs(s_order).sum() * np.abs(t_order).sum())
        values.append(float(s_order @ t_order / untied) if untied else np.nan)
    return np.array(values)


def kl_divergence(
    student: ScoreLists,
    teacher: ScoreLists,
    *,
    teacher_temperature: float = 1.0,
    student_temperature: float = 1.0,
) -> Floats:
    """KL(softmax(teacher / T_teacher) || softmax(student / T_student)) per context, nats (contexts,)."""
    values = []
    for s, t in _pairs(student, teacher):
        log_q, log_p = _log_softmax(t / teacher_temperature), _log_softmax(s / student_temperature)
        values.append(float(np.exp(log_q) @ (log_q - log_p)))
    return np.array(values)


def oracle_gap(student: ScoreLists, teacher: ScoreLists) -> Floats:
    """Best teacher score in reach less that of the student's choice, per context (contexts,)."""
    return np.array([t.max() - t[_first(s)].mean() for s, t in _pairs(student, teacher)])


def first_choice_good(student: ScoreLists, teacher: ScoreLists, *, good: float = GOOD) -> Floats:
    """Per context 1 if the student's first choice has a teacher score of `good` or more, else 0 (contexts,).

    Where several candidates tie for the first place, the share of them that is good: a scorer that gives
    every candidate the same does as well as chance.
    """
    return np.array([(t[_first(s)] >= good).mean() for s, t in _pairs(student, teacher)])


def any_good(teacher: ScoreLists, *, good: float = GOOD) -> Floats:
    """Per context 1 if some candidate is good: what no order of the candidates can exceed (contexts,)."""
    return np.array([float((np.asarray(t) >= good).any()) for t in teacher])


def _first(scores: Floats) -> NDArray[np.intp]:
    return np.flatnonzero(scores == scores.max())


def _pairs(student: ScoreLists, teacher: ScoreLists) -> list[tuple[Floats, Floats]]:
    if len(student) != len(teacher):
        raise InputError(f"student scores for {len(student)} contexts, teacher scores for {len(teacher)}")
    pairs = []
    for i, (s, t) in enumerate(zip(student, teacher, strict=True)):
        a, b = np.asarray(s, dtype=np.float64), np.asarray(t, dtype=np.float64)
        if a.ndim != 1 or a.shape != b.shape or not a.size:
            raise InputError(
                f"context {i} has student scores {a.shape} and teacher scores {b.shape}; "
                "expected one of each for every candidate"
            )
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise InputError(f"the scores of context {i} are not all finite; check the scorer")
        pairs.append((a, b))
    return pairs


def mean_ranks(values: Floats) -> Floats:
    """Ranks from 1, tied values sharing their mean rank."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    shared: Floats = (last - (sizes - 1) / 2.0)[group]
    return shared


def pearson(a: Floats, b: Floats) -> float:
    """Pearson's r of two samples (n,); NaN where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread else np.nan


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max()
    log_probabilities: Floats = shifted - np.log(np.exp(shifted).sum())
    return log_probabilities


def _some(values: ArrayLike, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise InputError(f"{what} have shape {array.shape}, expected one value for each of some contexts")
    return array
