import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from g2r.config import RateConfig
from g2r.errors import InputError
from g2r.rating.items import HUMAN, RANDOM, RepliedContext, choose_systems, draw_items, read_replies

SYSTEMS = ("baseline", "D-G2R", "D-G2R, human bank")


def contexts(count: int = 40, systems: tuple[str, ...] = SYSTEMS) -> list[RepliedContext]:
    return [
        RepliedContext(
            f"c{i}",
            ("hi", f"tell me about {i}"),
            {system: f"{system} on {i}" for system in systems},
            f"what was said of {i}",
        )
        for i in range(count)
    ]


def config(**options) -> RateConfig:
    return RateConfig(**{"rater": "ann", **options})


def record(context: RepliedContext, **changes) -> str:
    fields = {
        "context_id": context.context_id,
        "turns": list(context.turns),
        "replies": dict(context.replies),
        "original": context.original,
    }
    return json.dumps({**fields, **changes}) + "\n"


def test_replies_are_read_from_lines(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    written = [*contexts(3), replace(contexts(4)[3], original=None)]
    file.write_text("".join(map(record, written)))
    assert read_replies(file) == written


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"turns": []}, "turns: got list .*expected one turn"),
        ({"turns": "hi"}, "turns: got str"),
        ({"replies": None}, "replies: got nothing"),
        ({"replies": {}}, "replies: .*expected the reply of one system"),
        ({"replies": {"baseline": 3}}, "field replies, field baseline: got int"),
        ({"replies": {"baseline": "hello"}}, "D-G2R.*same systems for every context"),
        ({"context_id": None}, "context_id: got nothing"),
        ({"context_id": "c0"}, "c0 a second time"),
    ],
)
def test_malformed_replies_are_named_by_line(tmp_path: Path, changes, says) -> None:
    file = tmp_path / "replies.jsonl"
    first, second = contexts(2)
    file.write_text(record(first) + record(second, **changes))
    with pytest.raises(InputError, match=f"replies.jsonl, line 2.*{says}"):
        read_replies(file)


def test_an_empty_file_of_replies(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="empty"):
        read_replies(tmp_path / "empty.jsonl")


def test_systems_are_chosen_by_name_commas_included() -> None:
    assert choose_systems([], SYSTEMS) == SYSTEMS
    assert choose_systems(["D-G2R", "baseline"], SYSTEMS) == ("D-G2R", "baseline")
    assert choose_systems(["D-G2R", " human bank", "baseline"], SYSTEMS) == (SYSTEMS[2], "baseline")
    for wrong, says in (("oracle", "no system at 'oracle'"), ("baseline,baseline", "named twice")):
        with pytest.raises(InputError, match=says):
            choose_systems(wrong.split(","), SYSTEMS)


def test_all_raters_get_the_same_items_in_an_order_of_their_own() -> None:
    ann, ben = (draw_items(contexts(), config(rater=rater, items=20, repeats=0)) for rater in ("ann", "ben"))
    assert {item.item_id for item in ann} == {item.item_id for item in ben}
    assert [item.item_id for item in ann] != [item.item_id for item in ben]
    sides = {item.item_id: item.systems for item in ben}
    assert 0 < sum(sides[item.item_id] != item.systems for item in ann) < len(ann)
    assert ann == draw_items(contexts(), config(items=20, repeats=0))
    other = draw_items(contexts(), config(items=20, repeats=0, seed=1))
    assert {item.item_id for item in ann} != {item.item_id for item in other}


def test_pairs_come_before_single_replies_and_are_balanced() -> None:
    items = draw_items(contexts(), config(items=30))
    kinds = [item.kind for item in items]
    assert kinds == sorted(kinds, reverse=True)
    main = [item for item in items if item.purpose == "main"]
    pairs = Counter(frozenset(item.systems) for item in main if item.kind == "pairwise")
    assert set(pairs.values()) == {10}
    assert len(pairs) == 3
    singles = Counter(item.systems for item in main if item.kind == "absolute")
    assert singles == dict.fromkeys([(system,) for system in SYSTEMS], 30)
    for item in main:
        number = item.context_id.removeprefix("c")
        assert item.turns == ("hi", f"tell me about {number}")
        assert item.replies == tuple(f"{system} on {number}" for system in item.systems)


@pytest.mark.parametrize(("task", "kinds"), [("pairwise", {"pairwise"}), ("absolute", {"absolute"})])
def test_one_task_alone(task, kinds) -> None:
    assert {item.kind for item in draw_items(contexts(), config(tasks=task))} == kinds


def test_attention_items_set_the_human_reply_against_one_of_elsewhere() -> None:
    items = draw_items(contexts(), config(items=40, attention=0.25, tasks="pairwise"))
    checks = [item for item in items if item.purpose == "attention"]
    assert len(checks) == 10
    for item in checks:
        replies = dict(zip(item.systems, item.replies, strict=True))
        assert replies[HUMAN] == f"what was said of {item.context_id.removeprefix('c')}"
        assert replies[RANDOM].startswith("what was said of")
        assert replies[RANDOM] != replies[HUMAN]
    assert {item.systems for item in checks} == {(HUMAN, RANDOM), (RANDOM, HUMAN)}
    silent = [replace(context, original=None) for context in contexts()]
    assert not [i for i in draw_items(silent, config(attention=0.5)) if i.purpose == "attention"]


def test_repeats_come_later_with_their_sides_swapped() -> None:
    items = draw_items(contexts(), config(items=40, repeats=0.2, attention=0))
    repeats = [(place, item) for place, item in enumerate(items) if item.purpose == "repeat"]
    assert len(repeats) == 8 + 24
    for place, item in repeats:
        original = items.index(
            replace(item, purpose="main", systems=item.systems[::-1], replies=item.replies[::-1])
        )
        assert original < place
    assert len({item.item_id for item in items}) == len(items)


def test_what_is_no_choice_is_not_asked() -> None:
    same = [
        replace(
            context, replies=dict.fromkeys(("x", "y"), "the same") if i % 2 else {"x": "one", "y": "other"}
        )
        for i, context in enumerate(contexts(20))
    ]
    items = draw_items(same, config(attention=0, repeats=0, tasks="pairwise"))
    assert {item.context_id for item in items} == {f"c{i}" for i in range(0, 20, 2)}
    with pytest.raises(InputError, match="say the same to all 10 contexts"):
        draw_items(same[1::2], config())
    with pytest.raises(InputError, match="one system"):
        draw_items(contexts(), config(systems=("baseline",)))
    assert draw_items(contexts(), config(systems=("baseline",), tasks="absolute"))
