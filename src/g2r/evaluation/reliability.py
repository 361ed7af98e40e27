"""The calibration of a bot as parts of a report: the reliability curve and the thresholds."""

from pathlib import Path

from g2r.confidence import Calibration, read_calibration
from g2r.evaluation.report import Section
from g2r.evaluation.significance import Estimate
from g2r.evaluation.tables import table

CONFIDENCE, THRESHOLDS = "Confidence", "Thresholds"


def calibration_sections(path: Path) -> list[Section]:
    """The sections of the calibration in a file; none if there is no file.

    Raises:
        ArtifactError: the file holds something else.
    """
    calibration = read_calibration(path)
    return [reliability_section(calibration), thresholds_section(calibration)] if calibration else []


def reliability_section(calibration: Calibration) -> Section:
    """Confidence against the share of good replies, bin by bin; `values` are the bins of a reliability plot."""
    measured = calibration.measured
    if measured is None:
        return Section(CONFIDENCE, "Not measured.")
    text = (
        f"How often replies of each confidence are good (judge score {calibration.good:g} or more), on "
        f"{measured.n} held-out replies that nothing was fitted on, with exact 0.95 intervals. Expected "
        f"calibration error {measured.ece:.3f}; Brier score {measured.brier:.3f}, of a constant "
        f"{measured.brier_of_share:.3f}."
    )
    rows = [
        (
            f"{own.low:.1f} to {own.high:.1f}",
            own.confidence,
            Estimate(own.good, own.good_low, own.good_high, own.n),
            own.n,
        )
        for own in measured.bins
    ]
    headers = ("bin", "confidence", "good", "replies")
    return Section(CONFIDENCE, text, table(headers, rows), measured.model_dump())


def thresholds_section(calibration: Calibration) -> Section:
    """What share of bad replies each threshold holds."""
    text = (
        "The bot abstains under a threshold. Of what it says then at most the share in the second column is bad, "
        f"with certainty {calibration.certainty:g} for a share chosen beforehand (exact binomial bounds, tested "
        "from strict to loose)."
    )
    rows = [(step.confidence, step.max_bad, step.bad, step.answered) for step in calibration.steps]
    headers = ("confidence", "bad at most", "bad, measured", "contexts answered")
    return Section(THRESHOLDS, text, table(headers, rows), [step.model_dump() for step in calibration.steps])
