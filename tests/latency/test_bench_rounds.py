"""Who answers what in which order, and that what they tell arrives in its place."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from g2r.dialogue import Context
from g2r.latency.rounds import Plan, measure_replies, measure_throughput

CONTEXTS: list[Context] = [(f"context {i}",) for i in range(6)]
WARM_UP: list[Context] = [("warm",), ("up",)]


class Clerk:
    """Writes down who was asked what; its times are numbered."""

    device = "cpu"
    note = ""

    def __init__(self, name: str, log: list[tuple[str, object]], *, slow: bool = False) -> None:
        self.name, self.slow, self._log = name, slow, log

    def reply(self, context: Context) -> Mapping[str, float]:
        self._log.append((self.name, context))
        place = float(len(self._log))
        return {"encode": place, "total": 2 * place}

    def reply_batch(self, contexts: Sequence[Context]) -> None:
        self._log.append((self.name, list(contexts)))


def run(plan: Plan) -> tuple[list[tuple[str, object]], dict[str, Any], list[Mapping[str, Any]]]:
    log: list[tuple[str, object]] = []
    records: list[Mapping[str, Any]] = []
    clerks = [Clerk("a", log), Clerk("b", log), Clerk("slow", log, slow=True)]
    return log, measure_replies(clerks, CONTEXTS, WARM_UP, plan, record=records.append), records


def test_every_system_answers_the_same_contexts_in_every_round_after_one_to_warm_up() -> None:
    log, taken, records = run(Plan(rounds=4, slow_contexts=2, slow_rounds=2))
    blocks: list[tuple[str, list[object]]] = []
    for name, context in log:
        if context in WARM_UP:
            blocks.append((name, []))
        else:
            assert blocks[-1][0] == name
            blocks[-1][1].append(context)
    assert sorted(name for name, _ in blocks) == ["a"] * 4 + ["b"] * 4 + ["slow"] * 2
    for name, answered in blocks:
        assert answered == (CONTEXTS[:2] if name == "slow" else CONTEXTS)
    assert {name: own["total"].shape for name, own in taken.items()} == {
        "a": (6, 4),
        "b": (6, 4),
        "slow": (2, 2),
    }
    assert len(records) == 6 * 4 * 2 + 2 * 2


def test_systems_take_turns_and_their_order_is_drawn_by_seed() -> None:
    orders = []
    for seed in (0, 0, 1):
        log, _, _ = run(Plan(rounds=8, slow_contexts=2, slow_rounds=1, seed=seed))
        orders.append([name for name, context in log if context in WARM_UP])
    assert orders[0] == orders[1] != orders[2]
    plain = [name for name in orders[0] if name != "slow"]
    rounds = [plain[i : i + 2] for i in range(0, 16, 2)]
    assert all(sorted(each) == ["a", "b"] for each in rounds)
    assert {tuple(each) for each in rounds} == {("a", "b"), ("b", "a")}


def test_times_stand_where_they_were_taken() -> None:
    _, taken, records = run(Plan(rounds=3, slow_contexts=2, slow_rounds=3))
    for record in records:
        place = (record["context"], record["round"])
        assert taken[record["system"]]["encode"][place] == record["ms"]["encode"]
    first = np.array(taken["a"]["encode"][:, 0])
    assert (np.diff(first) == 1).all()
    np.testing.assert_array_equal(taken["a"]["total"], 2 * taken["a"]["encode"])


def test_batches_are_cut_and_slow_systems_have_their_own() -> None:
    log: list[tuple[str, object]] = []
    clerks = [Clerk("a", log), Clerk("slow", log, slow=True)]
    rates = measure_throughput(
        clerks, CONTEXTS, Plan(rounds=3, slow_contexts=2, slow_rounds=1), batch=4, record=lambda _: None
    )
    assert {name: len(own) for name, own in rates.items()} == {"a": 3, "slow": 1}
    assert all(own == (CONTEXTS[:4] if name == "a" else CONTEXTS[:2]) for name, own in log)
    assert all((own > 0).all() for own in rates.values())
