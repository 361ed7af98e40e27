"""Vetting before serving: classifiers that flag responses, the file of flags, and the review of them."""

from g2r.vetting.base import Classifier, Flag
from g2r.vetting.classifiers import open_classifier
from g2r.vetting.flagging import FlaggedResponse, ban_flagged, read_flags, vet
from g2r.vetting.review import Review

__all__ = [
    "Classifier",
    "Flag",
    "FlaggedResponse",
    "Review",
    "ban_flagged",
    "open_classifier",
    "read_flags",
    "vet",
]
