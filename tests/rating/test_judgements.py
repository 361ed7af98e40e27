import json
import subprocess
import sys
from pathlib import Path

import pytest

from g2r.errors import ArtifactError, InputError
from g2r.rating.items import Item
from g2r.rating.judgements import Judgement, JudgementFile, read_judgements

PAIR = Item("pairwise", "main", "c1", ("hi",), ("x", "y"), ("hello", "bye"))
SINGLE = Item("absolute", "main", "c1", ("hi",), ("x",), ("hello",))


def judgement(item: Item = PAIR, verdict: str = "a", rater: str = "ann") -> Judgement:
    return Judgement.of(item, verdict, rater=rater, seconds=1.5)


def test_an_item_is_the_same_whatever_its_sides() -> None:
    turned = Item("pairwise", "main", "c1", ("hi",), ("y", "x"), ("bye", "hello"))
    assert turned.item_id == PAIR.item_id
    swapped = Item("pairwise", "main", "c1", ("hi",), ("y", "x"), ("hello", "bye"))
    assert len({PAIR.item_id, swapped.item_id, SINGLE.item_id}) == 3


def test_judgements_outlive_the_process_and_raters_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ratings.jsonl"
    JudgementFile(path).append(judgement())
    JudgementFile(path).append(judgement(rater="bün 🙂"))
    JudgementFile(path).append(judgement(SINGLE, "specific"))
    file = JudgementFile(path)
    assert file.judgements("ann") == read_judgements([path])[::2]
    assert [j.verdict for j in file.judgements("ann")] == ["a", "specific"]
    assert [j.rater for j in read_judgements([path])] == ["ann", "bün 🙂", "ann"]
    assert file.judgements("ann")[0].seconds == 1.5


def test_an_undo_is_a_line_of_its_own(tmp_path: Path) -> None:
    file = JudgementFile(tmp_path / "r.jsonl")
    for item, verdict in ((PAIR, "a"), (SINGLE, "sensible")):
        file.append(judgement(item, verdict))
        file.append(judgement(item, verdict, rater="ben"))
    assert file.undo("ann") == SINGLE.item_id
    assert [j.item_id for j in file.judgements("ann")] == [PAIR.item_id]
    assert len(file.judgements("ben")) == 2
    file.append(judgement(SINGLE, "not sensible"))
    assert [j.verdict for j in file.judgements("ann")] == ["a", "not sensible"]
    assert len(file.path.read_text().splitlines()) == 6
    for _ in range(2):
        file.undo("ann")
    with pytest.raises(InputError, match="nothing to undo"):
        file.undo("ann")


def test_an_item_is_judged_once_by_whatever_window(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    one, other = JudgementFile(path), JudgementFile(path)
    one.append(judgement())
    with pytest.raises(InputError, match="judged already"):
        other.append(judgement(verdict="b"))
    with pytest.raises(InputError, match="expected one of a, b, tie, both bad"):
        judgement(verdict="specific")


def test_writers_in_many_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    code = (
        "import sys; from pathlib import Path\n"
        "from g2r.rating.items import Item; from g2r.rating.judgements import Judgement, JudgementFile\n"
        "file = JudgementFile(Path(sys.argv[1]))\n"
        "for i in range(20):\n"
        "    item = Item('absolute', 'main', str(i), ('hi',), ('x',), ('hello',))\n"
        "    file.append(Judgement.of(item, 'specific', rater=sys.argv[2], seconds=1))"
    )
    command = [sys.executable, "-c", code, str(path)]
    writers = [subprocess.Popen([*command, name]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(read_judgements([path])) == 40


def test_what_is_no_file_of_judgements_is_left_alone(tmp_path: Path) -> None:
    for content in (
        '{"context_id": "c1"}\n',
        '{"half',
        "thesis\n",
        json.dumps({"undo": "x", "rater": "ann"}) + "\n",
    ):
        path = tmp_path / "mine"
        path.write_text(content)
        with pytest.raises(InputError, match="mine"):
            JudgementFile(path)
        assert path.read_text() == content
    with pytest.raises(ArtifactError, match="choose another"):
        JudgementFile(tmp_path)


def line(**changes) -> str:
    fields = {"item_id": "i", "kind": "pairwise", "purpose": "main", "context_id": "c", "systems": ["x", "y"]}
    return json.dumps({**fields, "verdict": "a", "rater": "ann", "seconds": 1, "at": "now", **changes}) + "\n"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "triple"}, "kind: got str 'triple', expected pairwise or absolute"),
        ({"purpose": None}, "purpose: got nothing"),
        ({"verdict": "maybe"}, "verdict: .*expected a or b or tie or both bad"),
        ({"verdict": "specific"}, "verdict"),
        ({"systems": ["x"]}, "systems: .*two different systems"),
        ({"systems": ["x", "x"]}, "systems"),
        ({"seconds": "fast"}, "seconds: got str"),
        ({"rater": 3}, "rater: got int"),
        ({"item_id": None}, "item_id: got nothing"),
        ({"undo": "other"}, "undo"),
    ],
)
def test_malformed_judgements_are_named_by_line_and_field(tmp_path: Path, changes, says) -> None:
    (tmp_path / "r.jsonl").write_text(line() + line(**{"item_id": "j", **changes}))
    with pytest.raises(InputError, match=f"r.jsonl, line 2, field {says}"):
        read_judgements([tmp_path / "r.jsonl"])


def test_a_rater_who_says_two_things_is_named_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(line())
    (tmp_path / "two.jsonl").write_text(line() + line(rater="ben", verdict="b") + line(verdict="b"))
    with pytest.raises(
        InputError, match=r"two.jsonl, line 3: 'ann' says 'b' of item i, but 'a' in .*two.jsonl, line 1"
    ):
        read_judgements([tmp_path / "one.jsonl", tmp_path / "two.jsonl"])
    (tmp_path / "two.jsonl").write_text(line())
    assert len(read_judgements([tmp_path / "one.jsonl", tmp_path / "two.jsonl"])) == 1
