"""A calibration with two bins and two thresholds."""

from g2r.confidence import Bin, Calibration, Measured, Origin, Step

MADE = Calibration(
    origin=Origin(bank="b", student="s", scoring={}),
    good=6,
    certainty=0.95,
    weights={},
    knots=((0.0, 0.5),),
    steps=(
        Step(confidence=0.81, max_bad=0.2, bad=0.1, answered=0.25),
        Step(confidence=0.4, max_bad=0.5, bad=0.42, answered=1.0),
    ),
    measured=Measured(
        n=30,
        good=0.6,
        ece=0.0421,
        brier=0.2,
        brier_of_share=0.24,
        bins=(
            Bin(low=0.4, high=0.5, n=20, confidence=0.45, good=0.5, good_low=0.27, good_high=0.73),
            Bin(low=0.8, high=0.9, n=10, confidence=0.82, good=0.8, good_low=0.44, good_high=0.97),
        ),
    ),
)
