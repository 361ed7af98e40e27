"""Hard negatives: responses that the untrained student would retrieve, and that are no candidates."""

import numpy as np
from numpy.typing import NDArray

from g2r.config import TrainConfig
from g2r.encoder import Encoder
from g2r.training.batches import Ids, TrainingData
from g2r.training.validation import Judge

_AT_ONCE = 512
_TRIED = 8
"""How many retrieved responses are looked at for each negative that is wanted."""


def mine_negatives(
    encoder: Encoder, data: TrainingData, config: TrainConfig, *, judge: Judge | None = None
) -> list[Ids]:
    """The `hard_negatives` responses of the bank nearest to each context that are surely no good replies.

    From the nearest down, a response is kept if it is no false negative of the context (as in training)
    and the encoder itself puts it under the context's best candidate: one it puts higher is as likely a
    fitting reply that nobody wrote down. With a judge it must also be scored under the worst of the
    context's candidates.

    Returns:
        Numbers of responses for each context of the data, nearest first, fewer where fewer qualify.
    """
    vectors = encoder.encode_responses([data.responses[i] for i in data.bank])
    place = {int(number): i for i, number in enumerate(data.bank)}
    wanted = min(config.hard_negatives * _TRIED, len(data.bank))
    mined: list[Ids] = []
    for start in range(0, len(data.lists), _AT_ONCE):
        chunk = data.lists[start : start + _AT_ONCE]
        scores = encoder.encode_contexts([c.example.context for c in chunk]) @ vectors.T
        nearest = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
        for row, chosen in enumerate(chunk):
            order = nearest[row][np.argsort(-scores[row, nearest[row]], kind="stable")]
            best = max(scores[row, place[int(number)]] for number in chosen.positives)
            order = order[scores[row, order] < best]
            numbers = data.bank[order]
            numbers = numbers[data.negatives(start + row, numbers)]
            if judge is not None:
                numbers = _under_candidates(data, start + row, numbers, judge)
            mined.append(numbers[: config.hard_negatives])
    return mined


def _under_candidates(data: TrainingData, context: int, numbers: Ids, judge: Judge) -> Ids:
    """Those of `numbers` that the judge scores under every candidate of the context."""
    chosen = data.lists[context]
    texts = [data.responses[i] for i in (*chosen.positives, *numbers)]
    scores: NDArray[np.float64] = np.array(judge([chosen.example.context], [texts])[0])
    own, mined = scores[: len(chosen.positives)], scores[len(chosen.positives) :]
    under: Ids = numbers[mined < own.min()]
    return under
