"""Retrieved candidates in training: scored, never positives, never negatives; without scores not there at all."""

import numpy as np
import torch

from g2r.config import TrainConfig
from g2r.dialogue import RETRIEVED, Candidate, Example, Scores
from g2r.losses import g2r_loss
from g2r.training.batches import BatchMaker, Schedule, training_data
from g2r.training.keys import KeyMaker

EXAMPLES = [
    Example(
        (f"context {i}",),
        (
            Candidate(f"answer {i} alpha", "human", original=True, scores=Scores(judge=8.0)),
            Candidate(f"reply {i} beta", "teacher", scores=Scores(judge=7.0)),
            *(
                Candidate(f"answer {(i + k) % 6} alpha", RETRIEVED, scores=Scores(judge=float(k)))
                for k in range(1, 4)
            ),
        ),
    )
    for i in range(6)
]


def maker(**options):
    config = TrainConfig(**{"batch_size": 6, "score": "judge", **options})
    data = training_data(EXAMPLES, config)
    return BatchMaker(data, Schedule(len(data.lists), 6, 0), config)


def roles(made, step=0):
    """For each context number of EXAMPLES the texts by role."""
    batch = made.batch(step)
    texts = [made.data.responses[i] for i in batch.encoded]
    found = {}
    for row, context in enumerate(batch.contexts):
        number = int(made.data.lists[context].example.context[0].split()[1])
        masks = (batch.positives[row], batch.negatives[row], batch.scored[row])
        found[number] = tuple({texts[i] for i in np.flatnonzero(mask)} for mask in masks)
    return found, batch


def test_retrieved_candidates_are_scored_and_nothing_else():
    for i, (positives, negatives, scored) in roles(maker())[0].items():
        own = {f"answer {i} alpha", f"reply {i} beta"}
        retrieved = {f"answer {(i + k) % 6} alpha" for k in range(1, 4)}
        assert positives == own
        assert scored == own | retrieved
        everything = {c.text for e in EXAMPLES for c in e.candidates}
        assert negatives == everything - own - retrieved


def test_the_loss_sees_them_in_the_distillation_term_alone():
    _, batch = roles(maker())
    similarities = torch.randn(batch.positives.shape, generator=torch.Generator().manual_seed(0))
    masks = {name: torch.from_numpy(getattr(batch, name)) for name in ("positives", "negatives", "scored")}
    scores = torch.from_numpy(np.nan_to_num(batch.teacher_scores)).float()
    retrieved = masks["scored"] & ~masks["positives"]
    for alpha, reached in ((0.0, False), (1.0, True)):
        given = similarities.clone().requires_grad_()
        g2r_loss(given, **masks, teacher_scores=scores, alpha=alpha).total.backward()
        assert bool((given.grad[retrieved] != 0).any()) is reached


def test_so_many_of_each_kind_are_drawn():
    made = maker(max_candidates=1, max_retrieved=2)
    drawn = [roles(made, step)[0][0] for step in range(40)]
    assert {(len(positives), len(scored)) for positives, _, scored in drawn} == {(1, 3)}
    assert len({tuple(sorted(scored)) for _, _, scored in drawn}) == 6
    assert made.data.counts["candidates"] == 12
    assert made.data.counts["retrieved"] == 18


def test_without_a_score_they_are_as_if_they_were_not_there():
    bare = [Example(e.context, e.written) for e in EXAMPLES]
    config = TrainConfig(batch_size=6)
    one, other = (training_data(examples, config) for examples in (EXAMPLES, bare))
    assert one.responses == other.responses
    for mine, its in zip(one.lists, other.lists, strict=True):
        assert mine.responses.tolist() == its.responses.tolist()
        assert mine.forbidden.tolist() == its.forbidden.tolist()


def test_contexts_that_retrieved_the_same_share_no_answer():
    made = maker()
    batch = KeyMaker(made.data, 0).batch(0, range(6), range(6))
    assert not batch.positives.any()
