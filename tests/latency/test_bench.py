"""The whole benchmark on a tiny run: everything is measured, told and drawn; no number is judged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from byte_students import make_student
from g2r.artifacts import write_examples
from g2r.bank import ResponseBank
from g2r.config import BenchConfig, IndexConfig
from g2r.dialogue import Candidate, Example
from g2r.errors import InputError
from g2r.evaluation.html.files import Search, Speed
from g2r.export import export
from g2r.index import build_bank
from g2r.latency import generative
from g2r.latency.banks import RunBank
from g2r.latency.bench import bench, draw_contexts
from g2r.latency.generative import Architecture
from g2r.latency.memory import available_bytes, resident_bytes
from g2r.latency.opening import RIVAL, bot_name
from g2r.student import BiEncoder

THINGS = ["tea", "rain", "dogs", "music", "bread", "night", "sea", "train", "snow", "books", "chess", "soup"]
EXAMPLES = [
    Example(
        ("hi", "hello", f"do you like {thing}?")[form:],
        (Candidate(f"yes, {thing} number {form} is lovely", "human", True),),
        dialogue_id=f"{thing}{form}",
        split="train" if form else "test",
    )
    for thing in THINGS
    for form in range(3)
]
CONFIG = BenchConfig(
    contexts=4,
    rounds=3,
    slow_contexts=2,
    responses=100,
    batch=3,
    batch_rounds=2,
    bank_sizes=(20, 200),
    structures=("flat", "IVF4;SQ8"),
    efforts=(1, 4),
    queries=5,
    depth=10,
    search_rounds=2,
    generators=("tiny", "huge"),
    beams=(1, 2),
    output_tokens=3,
    threads=1,
    cold_starts=1,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    student = make_student(str(tmp_path_factory.mktemp("base")))
    student.save(folder / "student")
    export(student, folder / "student" / "onnx", examples=EXAMPLES)
    write_examples(EXAMPLES, folder / "dialogues.parquet")
    config = IndexConfig(response_key=1.0, context_key=0.5, min_recall_at_1=0, min_recall_at_10=0)
    build_bank(ResponseBank.from_examples(EXAMPLES), student, config, folder / "bank")
    return folder


def test_everything_is_measured_told_and_drawn(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Architecture(False, 60, 16, (1, 1), 2, 40)
    huge = Architecture(False, 8_008, 200_000, (2, 90), 32, 128)
    monkeypatch.setattr(generative, "ARCHITECTURES", {"tiny": tiny, "huge": huge})
    result = bench(run, tmp_path / "latency", CONFIG)

    values = json.loads((tmp_path / "latency" / "latency.json").read_text())
    speeds = [Speed.model_validate(row) for row in values["rows"]]
    names = [speed.system for speed in result.replies]
    assert names == [
        *(bot_name(p, further=k) for p in ("fp32", "int8") for k in ("", "response keys")),
        "g2r, torch",
        RIVAL,
        "BM25",
        "BlenderBot tiny greedy",
        "BlenderBot tiny beam 2",
    ]
    assert [speed.system for speed in speeds] == ["student", *names[:7]]
    searches = [Search.model_validate(row) for row in values["searches"]]
    assert [(s.structure, s.responses) for s in searches] == [
        (structure, size) for size in (20, 200) for structure in ("flat", "IVF4;SQ8 1", "IVF4;SQ8 4")
    ]
    assert list(result.missing) == ["BlenderBot huge"]
    assert result.missing["BlenderBot huge"].reason.startswith("memory: needs")

    measured = [json.loads(line) for line in (tmp_path / "latency" / "latency.jsonl").open()]
    kinds = {"reply": 7 * 12 + 2 * 2, "batch": 7 * 2 + 2, "search": 2 * 3 * 2, "cold start": 2}
    assert {kind: sum(m["what"] == kind for m in measured) for kind in kinds} == kinds
    assert len(measured) == sum(kinds.values())

    told = (tmp_path / "latency" / "latency.md").read_text()
    for said in (RIVAL, "p99 needs 300 samples, got 12", "memory: needs", "synthetic", "g2r chat"):
        assert said in told
    assert "## Times faster than generative rivals" in told
    assert [(f["system"], f["rival"]) for f in values["faster"]] == [
        (result.served, f"BlenderBot tiny {how}") for how in ("greedy", "beam 2")
    ]
    assert "Search alone, by response keys" in told


def test_a_bank_searched_by_contexts_alone_is_measured_as_such(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("bank"))
    config = IndexConfig(response_key=0, context_key=1.0, min_recall_at_1=0, min_recall_at_10=0)
    student = BiEncoder.load(folder / "student")
    bank = ResponseBank.from_examples(EXAMPLES)
    build_bank(bank, student, config, folder / "bank")
    small = CONFIG.model_copy(
        update={"generators": (), "cold_starts": 0, "rounds": 1, "batch_rounds": 0, "structures": ("flat",)}
    )
    result = bench(folder, tmp_path / "latency", small)
    assert result.searched == "last1"
    assert result.faster == []
    assert "by the keys of contexts seen as last1" in (tmp_path / "latency" / "latency.md").read_text()
    own = RunBank.read(folder / "bank")
    keys = own.grown_response_keys(50, student.encode_responses)
    assert keys.shape == (50, own.keys[0].vectors.shape[1])
    np.testing.assert_allclose(keys[: len(bank)], student.encode_responses(own.texts), atol=1e-5)


def test_contexts_are_held_out_and_those_to_warm_up_on_are_others(run: Path) -> None:
    drawn = draw_contexts(run, CONFIG)
    held_out = {e.context for e in EXAMPLES if e.split == "test"}
    assert (len(drawn.timed), len(drawn.warm_up), len(drawn.queries)) == (4, 5, 5)
    assert held_out >= {*drawn.timed, *drawn.warm_up, *drawn.queries}
    assert not {*drawn.timed} & {*drawn.warm_up}
    assert draw_contexts(run, CONFIG) == drawn != draw_contexts(run, CONFIG.model_copy(update={"seed": 1}))


def test_too_few_contexts_are_an_error_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 12 contexts out, expected 100 and 5 to warm up on"):
        bench(run, tmp_path / "latency", BenchConfig(cold_starts=0))
    assert not (tmp_path / "latency").exists()


def test_memory_is_told_in_bytes() -> None:
    assert 2**20 < resident_bytes() < available_bytes("cpu") + resident_bytes()
