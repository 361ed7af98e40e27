"""The tree tells the pipeline: imports go down, heavy libraries come late, few names are public."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import g2r

SOURCE = Path(g2r.__file__).parent

# From the top down; a module may import what stands in lower rows only, its own package aside.
LAYERS = (
    ("g2r.__main__",),
    ("g2r.cli",),
    ("g2r.options", "g2r.chat", "g2r.pipeline"),
    ("g2r.stages",),
    ("g2r.stage",),
    ("g2r.server", "g2r.latency", "g2r.rating"),
    ("g2r.evaluation",),
    ("g2r.ranker.training",),
    ("g2r.judge", "g2r.growth"),
    ("g2r.compression",),
    ("g2r.generation", "g2r.retrieval", "g2r.scoring", "g2r.training", "g2r.export", "g2r.calibration"),
    ("g2r.bot",),
    ("g2r.confidence", "g2r.misses"),
    ("g2r.ranker", "g2r.rerank"),
    ("g2r.second_stage",),
    ("g2r.teachers", "g2r.index", "g2r.reply", "g2r.vetting"),
    ("g2r.judge.model",),
    ("g2r.losses", "g2r.student", "g2r.bank", "g2r.reading", "g2r.judge.pairs"),
    ("g2r.encoder", "g2r.starter", "g2r.evaluation.metrics"),
    ("g2r.artifacts", "g2r.duplicates", "g2r.journal", "g2r.records"),
    ("g2r.config", "g2r.dialogue", "g2r.progress", "g2r.swapping"),
    ("g2r.errors",),
)
HEAVY = {
    "torch",
    "transformers",
    "sentence_transformers",
    "datasets",
    "onnx",
    "openai",
    "scipy",
    "matplotlib",
}


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def level(module: str) -> int:
    found = [
        (len(name), row)
        for row, names in enumerate(LAYERS)
        for name in names
        if f"{module}.".startswith(f"{name}.")
    ]
    assert found, f"{module} has no place in LAYERS"
    return max(found)[1]


def imported(file: Path) -> set[str]:
    """Modules of g2r that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    modules = {module_name(f) for f in SOURCE.rglob("*.py")}
    return {name for name in names if name in modules and name != "g2r"}


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=module_name)
def test_imports_go_down(file):
    module = module_name(file)
    if module == "g2r":
        return
    for other in imported(file):
        same_package = other.split(".")[:2] == module.split(".")[:2]
        assert same_package or level(other) > level(module), (
            f"{module} imports {other}, which is not below it"
        )


def test_import_is_light():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, g2r; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert HEAVY.isdisjoint(loaded)
    assert "pydantic" not in loaded


def test_the_command_line_starts_without_heavy_libraries():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, g2r.cli; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert HEAVY.isdisjoint(loaded)


def test_what_is_no_code_is_packaged_too():
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["g2r"]
    packaged = {file for pattern in patterns for file in SOURCE.glob(pattern)}
    data = {f for f in SOURCE.rglob("*") if f.is_file() and f.suffix not in (".py", ".pyc")}
    assert data == packaged


def test_public_names_are_sorted_and_all_resolve():
    assert g2r.__all__ == sorted(g2r.__all__)
    assert set(g2r.__all__) == set(g2r._HOME)
    for name in g2r.__all__:
        assert getattr(g2r, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = g2r.nonsense


def test_only_the_command_line_prints():
    for file in SOURCE.rglob("*.py"):
        if file.parent.name != "cli":
            calls = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
            assert not [c for c in calls if getattr(c.func, "id", "") == "print"], file
