"""The documentation is run: what it shows is what happens."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from byte_students import make_student
from g2r.config import RunConfig, read_run_config
from tiny_models import make_teacher

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_command_line_page_is_what_help_prints():
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_cli_docs.py"], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == made


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


def test_commands_in_the_documents_exist():
    listed = set(re.findall(r"^## g2r (\w+)", (ROOT / "docs" / "cli.md").read_text(), flags=re.MULTILINE))
    for document in DOCUMENTS:
        shown = "\n".join(blocks(document.read_text(encoding="utf-8"), "bash"))
        assert set(re.findall(r"(?:^|/|\s)g2r (\w+)", shown)) <= listed, document.name


@pytest.mark.parametrize(
    "run_file",
    sorted([*(ROOT / "runs").glob("*.yaml"), *(ROOT / "src").rglob("*.yaml")]),
    ids=lambda p: p.name,
)
def test_run_files_are_valid(run_file):
    config = read_run_config(run_file)
    assert config.student_configs()
    assert config.bank_configs()
    assert RunConfig.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


def test_the_python_example_runs(tmp_path, monkeypatch):
    """As printed, with tiny random models under the names of the real ones."""
    [example] = blocks(README, "python")
    make_teacher(tmp_path / "teacher", "blenderbot")
    (tmp_path / "base").mkdir()
    make_student(str(tmp_path / "base")).save(tmp_path / "base")
    dialogues = [[f"hi {i}", f"hello {i} there", f"how are you {i}", f"fine {i} thanks"] for i in range(30)]
    (tmp_path / "dialogues.jsonl").write_text(
        "".join(json.dumps({"turns": turns}) + "\n" for turns in dialogues)
    )
    for name, folder in (
        ("facebook/blenderbot-400M-distill", "teacher"),
        ("sentence-transformers/all-MiniLM-L6-v2", "base"),
    ):
        assert name in example
        example = example.replace(name, str(tmp_path / folder))
    example = example.replace("responses_per_context=5", "responses_per_context=5, max_tokens=8")
    example = example.replace(
        "g2r.distill(examples,",
        "g2r.distill(examples, max_steps=1, max_context_tokens=24, max_response_tokens=12,",
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["bot"].reply(["hi, how was your weekend?"]).text
    assert (tmp_path / "my-bot" / "bank" / "responses.parquet").is_file()
