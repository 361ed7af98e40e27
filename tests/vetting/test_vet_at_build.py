from pathlib import Path

import pytest

import g2r.bot
from g2r.artifacts import write_examples
from g2r.bank import ResponseBank
from g2r.config import IndexConfig
from g2r.dialogue import Candidate, Example
from g2r.errors import ConfigError
from g2r.stages import index_stage
from word_encoder import WordEncoder

TEXTS = ("Good morning.", "Write to me@example.org.", "I like trains.")


def test_the_index_stage_bans_what_its_classifiers_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(g2r.bot, "open_encoder", lambda folder, **options: WordEncoder(8))
    write_examples([Example(("hi",), tuple(Candidate(text, "t") for text in TEXTS))], tmp_path / "e.parquet")
    (tmp_path / "student").mkdir()
    options = {"min_recall_at_1": 0, "min_recall_at_10": 0}

    def build(*vet: str, **others: object) -> tuple[ResponseBank, bool]:
        config = IndexConfig(vet=vet, **options, **others)
        summary = index_stage(tmp_path / "e.parquet", tmp_path / "student", config, tmp_path / "bank").run()
        return ResponseBank.load(tmp_path / "bank"), summary.skipped

    with pytest.raises(ConfigError, match="no classifier 'wrods'"):
        build("wrods")
    assert not (tmp_path / "bank").exists()
    assert not build()[0].banned.any()
    bank, _ = build("words", "personal")
    assert list(bank.forbidden.values()) == ["Write to me@example.org."]
    assert "personal: email" in bank.log[0].reason
    bank.unban(bank.log[0].response_id)
    bank.add("Planes are fast.")
    (tmp_path / "bank" / "flags.jsonl").write_text("")
    assert build("words", "personal")[1], "changes to a bank do not make it stale"
    bank, skipped = build("words", "personal", response_key=2)
    assert not skipped
    assert not bank.forbidden
    assert "Planes are fast." in bank.built.texts
