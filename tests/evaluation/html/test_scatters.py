"""Curves of what was timed, from what `g2r bench` writes."""

from g2r.evaluation.html.files import Search
from g2r.evaluation.html.scatters import recall_plots
from g2r.evaluation.significance import Estimate
from g2r.latency.bench import BenchResult
from g2r.latency.results import as_file
from g2r.latency.searching import SearchSpeed


def speed(structure, effort, p50, recall):
    ms = Estimate(p50, p50, p50, 9)
    return SearchSpeed(structure, "", 1_000, effort, recall, recall, ms, ms, ms, 0.0, 0.0)


def test_the_efforts_of_a_structure_are_one_curve():
    measured = [
        speed("hnsw 64", 64, 0.4, 0.99), speed("flat", 0, 9.0, 1.0),
        speed("hnsw 16", 16, 0.1, 0.9), speed("IVF4;SQ8 1", 1, 0.2, 0.8),
    ]  # fmt: skip
    result = BenchResult({}, "", (), (), {}, measured, "response", {}, (), 10, "")
    searches = [Search.model_validate(row) for row in as_file(result)["searches"]]
    (plot,) = recall_plots(searches)
    assert {s.kind for s in searches} == {"hnsw", "flat", "IVF4;SQ8"}
    assert len(plot.marks.lines) == 1
    assert {point.label for point in plot.marks.points} - {""} == {"hnsw", "flat", "IVF4;SQ8"}
    assert "hnsw 16: 0.900 at 0.100 ms" in plot.description
