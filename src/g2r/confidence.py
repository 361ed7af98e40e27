"""How likely a reply is good, told from what the search knows of it (METHOD: at run time, abstain).

`g2r.calibration` fits and measures what stands here; a bot applies it with numpy alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from g2r.config import BotConfig, IndexConfig
from g2r.errors import ArtifactError, ConfigError
from g2r.reply import RankedCandidate

CALIBRATION_FILE = "calibration.json"
Signals = Mapping[str, float | None]


def signals_of(candidates: Sequence[RankedCandidate]) -> dict[str, float | None]:
    """What tells a good first candidate from a bad one; None where the bot does not know it.

    score (the rating, if it was reranked), response_score and context_score are its own, margin is its lead over
    the second candidate.
    """
    first, second = candidates[0], candidates[1] if len(candidates) > 1 else None
    return {
        "score": first.score,
        "margin": first.score - second.score if second else None,
        "response_score": first.response_score,
        "context_score": first.context_score,
    }


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weight(_Record):
    """What a signal adds to the sum: weight * (value - mean) / spread; nothing where it is not known."""

    weight: float
    mean: float
    spread: float = Field(gt=0)


class Step(_Record):
    """A threshold and what it holds.

    Attributes:
        confidence: replies of this confidence or more are said.
        max_bad: upper bound of the share of bad ones among them, at the calibration's certainty.
        bad: share of bad ones that was measured.
        answered: share of the contexts that is answered.
    """

    confidence: float
    max_bad: float
    bad: float
    answered: float


class Bin(_Record):
    """Replies of like confidence: how many there are, and what share is good, with its 0.95 interval."""

    low: float
    high: float
    n: int
    confidence: float
    good: float
    good_low: float
    good_high: float


class Measured(_Record):
    """How true the confidences are, on replies that nothing was fitted on.

    Attributes:
        n: replies measured.
        good: share of good ones.
        ece: expected calibration error: mean distance of confidence and share of good ones over the bins.
        brier: mean squared distance of confidence and 1 (good) or 0 (bad).
        brier_of_share: the same for a constant, the share of good ones among those fitted on.
        bins: those that hold replies, by confidence.
    """

    n: int
    good: float
    ece: float
    brier: float
    brier_of_share: float
    bins: tuple[Bin, ...]


class Origin(_Record):
    """What a calibration was made for; its confidences mean nothing for anything else.

    Attributes:
        bank: version of the bank's built rows.
        student: fingerprint of the encoder.
        scoring: what else the scores depend on.
    """

    bank: str
    student: str
    scoring: dict[str, Any]


def origin_of(
    bank_version: str, fingerprint: str, index: IndexConfig, config: BotConfig, *, judge: str = ""
) -> Origin:
    """The origin of what is measured on this bank, student and index; `judge` is the fingerprint of a reranker's."""
    scoring = index.model_dump(mode="json", include={"response_key", "context_key", "context_views"})
    if config.rerank:
        scoring |= {"rerank": config.rerank, "rerank_weight": config.rerank_weight, "judge": judge}
    return Origin(bank=bank_version, student=fingerprint, scoring=scoring)


class Calibration(_Record):
    """From signals to confidence, and from an accepted share of bad replies to a threshold.

    Attributes:
        origin: what it was made for.
        good: judge score from which a reply is good.
        certainty: probability that the bound of a share chosen beforehand holds.
        weights: what each signal adds to the sum.
        knots: (sum, confidence), ascending in both; between them the confidence is interpolated.
        steps: from the strictest to the loosest threshold, `max_bad` ascending.
        measured: how true the confidences are.
    """

    origin: Origin
    good: float
    certainty: float
    weights: dict[str, Weight]
    knots: tuple[tuple[float, float], ...] = Field(min_length=1)
    steps: tuple[Step, ...] = ()
    measured: Measured | None = None

    def total(self, signals: Signals) -> float:
        """The weighted sum of the signals."""
        return sum(
            own.weight * (value - own.mean) / own.spread
            for name, own in self.weights.items()
            if (value := signals.get(name)) is not None
        )

    def confidence(self, signals: Signals) -> float:
        """The probability that a reply with these signals is good, 0 to 1."""
        sums, confidences = zip(*self.knots, strict=True)
        return float(np.interp(self.total(signals), sums, confidences))

    def step_for(self, max_bad: float) -> Step | None:
        """The loosest threshold that holds this share of bad replies; None if none does."""
        return next((step for step in reversed(self.steps) if step.max_bad <= max_bad), None)


def unreachable(calibration: Calibration, max_bad: float) -> str:
    """One line: why no threshold holds this share of bad replies, and which share can be held."""
    least = f"{calibration.steps[0].max_bad:.3f}" if calibration.steps else "1"
    return (
        f"a share of {max_bad:g} bad replies cannot be reached: the lowest that holds with certainty "
        f"{calibration.certainty:g} is {least}; accept more, calibrate on more contexts, or better the bank"
    )


def least_confidence(config: BotConfig, calibration: Calibration | None) -> float | None:
    """The confidence under which a bot abstains: the stricter of `min_confidence` and `max_bad_replies`.

    None if neither is set.

    Raises:
        ConfigError: one is set, and there is no calibration or no threshold holds the share.
    """
    bars = [] if config.min_confidence is None else [config.min_confidence]
    if config.needs_calibration and calibration is None:
        raise ConfigError(
            "max_bad_replies and min_confidence need a calibration, and this bot has none; run g2r calibrate"
        )
    if calibration and config.max_bad_replies is not None:
        step = calibration.step_for(config.max_bad_replies)
        if step is None:
            raise ConfigError(f"max_bad_replies: {unreachable(calibration, config.max_bad_replies)}")
        bars.append(step.confidence)
    return max(bars, default=None)


def read_calibration(path: Path) -> Calibration | None:
    """The calibration in a file, None if there is no file.

    Raises:
        ArtifactError: it holds something else.
    """
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        problem = str(error).splitlines()[0]
        raise ArtifactError(
            f"{path} is no calibration ({problem}); run g2r calibrate again, or remove it"
        ) from error


def fitting_calibration(path: Path, origin: Origin, config: BotConfig) -> Calibration | None:
    """The calibration in a file if it was made for this bank and student; a stale one is not used.

    Raises:
        ArtifactError: it is stale and `config` needs it, or the file holds something else.
    """
    calibration = read_calibration(path)
    if calibration is None or calibration.origin == origin:
        return calibration
    if not config.needs_calibration:
        return None
    changed = [
        name for name in Origin.model_fields if getattr(origin, name) != getattr(calibration.origin, name)
    ]
    raise ArtifactError(
        f"{path} was made for another {' and '.join(changed)}, so its confidences would be wrong; run g2r "
        "calibrate again, or take max_bad_replies and min_confidence out of bot.json"
    )
