import gzip
import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_starter.py"


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_texts_of_others_are_left_out(tmp_path):
    for name in ("dialogues", "situations", "plain"):
        write(tmp_path / "corpus" / f"{name}.jsonl", [{"id": name, "text": "é"}])
    record = {
        "turns": ["theirs"],
        "human": "theirs",
        "topic": "t",
        "responses": ["ours"],
        "scores": [1, 2],
        "batch": 1,
    }
    for split in ("train", "test"):
        write(tmp_path / "recorded" / f"{split}.jsonl.gz", [{"id": f"cc-{split}-0-1", **record}])
    for split in ("valid", "test"):
        write(tmp_path / "chitchat" / f"{split}.jsonl.gz", [{"id": f"{split}-bbbbbbbb", "turns": ["theirs"]}])
    sources = [f for name in ("corpus", "recorded", "chitchat") for f in (f"--{name}", str(tmp_path / name))]
    subprocess.run([sys.executable, str(SCRIPT), *sources, "-o", str(tmp_path / "out")], check=True)
    ours = {"responses": ["ours"], "scores": [1, 2], "batch": 1}
    assert read(tmp_path / "out/recorded.jsonl") == [
        {"id": "cc-train-0-1", **ours},
        {"id": "cc-test-0-1", **ours},
    ]
    assert read(tmp_path / "out/chitchat_splits.jsonl") == [
        {"split": "valid", "conversations": ["valid-bb"]},
        {"split": "test", "conversations": ["test-bbb"]},
    ]
    assert (tmp_path / "out/plain.jsonl").read_bytes() == (tmp_path / "corpus/plain.jsonl").read_bytes()
