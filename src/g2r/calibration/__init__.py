"""Calibrated confidence: fitted on one half of rated replies, measured on the other (METHOD: at run time)."""

from g2r.calibration.procedure import calibrate
from g2r.calibration.replies import RatedReplies, RatedReply, draw_contexts, rate_replies, read_ratings

__all__ = ["RatedReplies", "RatedReply", "calibrate", "draw_contexts", "rate_replies", "read_ratings"]
