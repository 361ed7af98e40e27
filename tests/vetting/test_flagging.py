import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from g2r.artifacts import file_hash
from g2r.bank import BankResponse, ResponseBank, read_log
from g2r.config import IndexConfig
from g2r.dialogue import content_id
from g2r.errors import ArtifactError, ConfigError, InputError
from g2r.index import build_bank
from g2r.vetting import Flag, Review, ban_flagged, open_classifier, read_flags, vet
from g2r.vetting.flagging import write_flags
from word_encoder import WordEncoder

MAIL, RUDE, RUDE_MAIL = "Write to me@example.org.", "Go die.", "Go die, signed me@example.org"
TEXTS = ["Good morning.", MAIL, RUDE, RUDE_MAIL, "I like trains."]


def make_bank() -> ResponseBank:
    return ResponseBank.from_responses(BankResponse(content_id(text), text, ("t",)) for text in TEXTS)


class Shouting:
    """Flags capital letters, as a user's own classifier might."""

    name = "shouting"

    def flags(self, texts: Sequence[str]) -> list[list[Flag]]:
        return [[Flag("shouting", 0.5, "capitals")] if text.isupper() else [] for text in texts]


def test_flags_come_from_all_classifiers_in_order_of_rows_and_pass_over_what_is_banned() -> None:
    bank = make_bank()
    bank.add("HELLO THERE")
    bank.ban(content_id(RUDE))
    flags = vet(bank, [open_classifier("words"), open_classifier("personal"), Shouting()])
    assert {(f.text, f.classifier, f.label) for f in flags} == {
        (MAIL, "personal", "email"),
        (RUDE_MAIL, "words", "violence"),
        (RUDE_MAIL, "personal", "email"),
        ("HELLO THERE", "shouting", "shouting"),
    }
    rows = [bank.row(f.response_id) for f in flags]
    assert rows == sorted(rows)


def test_the_file_keeps_the_flags_of_other_classifiers_and_is_no_part_of_the_bank(tmp_path: Path) -> None:
    bank = make_bank()
    bank.save(tmp_path)
    before = file_hash(tmp_path)
    words, personal = vet(bank, [open_classifier("words")]), vet(bank, [open_classifier("personal")])
    write_flags(tmp_path, words, of=["words"])
    write_flags(tmp_path, personal, of=["personal"])
    assert read_flags(tmp_path) == [*words, *personal]
    write_flags(tmp_path, [], of=["words"])
    assert read_flags(tmp_path) == personal
    assert file_hash(tmp_path) == before
    (tmp_path / "flags.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(ArtifactError, match="line 1, is no flag"):
        read_flags(tmp_path)


def test_a_build_bans_what_is_flagged_with_the_reason_and_respects_decisions(tmp_path: Path) -> None:
    config, folder = IndexConfig(min_recall_at_1=0, min_recall_at_10=0), tmp_path / "bank"

    def build() -> tuple[ResponseBank, dict[str, object]]:
        classifiers = [open_classifier("words"), open_classifier("personal")]
        counts = build_bank(
            make_bank(), WordEncoder(8), config, folder, vet=lambda bank: ban_flagged(bank, classifiers)
        )
        return ResponseBank.load(folder), dict(counts)

    bank, counts = build()
    assert set(bank.forbidden.values()) == {MAIL, RUDE, RUDE_MAIL}
    assert (counts["banned by vetting"], counts["flagged email"], counts["flagged violence"]) == (3, 2, 2)
    (change,) = [c for c in read_log(folder) if c.text == RUDE]
    assert (change.action, change.by, change.reason) == ("ban", "vetting", "words: violence, says 'go die'")
    bank.unban(content_id(MAIL))
    rebuilt, counts = build()
    assert set(rebuilt.forbidden.values()) == {RUDE, RUDE_MAIL}
    assert counts["banned by vetting"] == 0
    assert len(rebuilt.log) == 4


def test_a_review_asks_once_and_never_again(tmp_path: Path) -> None:
    bank = make_bank()
    bank.save(tmp_path)
    flags = vet(bank, [open_classifier("words"), open_classifier("personal")])
    review = Review(bank, flags, by="ann")
    first, second, third = review.questions()
    assert len(first.flags) + len(second.flags) + len(third.flags) == 4
    review.keep(first)
    review.ban(second)
    loaded = ResponseBank.load(tmp_path)
    assert [q.response_id for q in Review(loaded, flags).questions()] == [third.response_id]
    assert loaded.forbidden == {second.response_id: second.text}
    Review(loaded, flags).keep(third, "mild", "ok")
    assert loaded[loaded.row(third.response_id)].tags == {"mild", "ok"}
    assert review.questions() == []
    assert [(c.action, c.by) for c in loaded.log[:2]] == [("keep", "ann"), ("ban", "ann")]
    loaded.unban(second.response_id)
    assert [q.response_id for q in review.questions()] == [second.response_id]


def test_a_kept_response_is_asked_about_again_if_something_else_is_flagged() -> None:
    bank = make_bank()
    words, personal = (vet(bank, [open_classifier(name)]) for name in ("words", "personal"))
    review = Review(bank, words)
    for question in review.questions():
        review.keep(question)
    assert review.questions() == []
    assert {q.text for q in Review(bank, [*words, *personal]).questions()} == {MAIL, RUDE_MAIL}


def test_a_wrong_tag_decides_nothing() -> None:
    bank = make_bank()
    review = Review(bank, vet(bank, [open_classifier("words")]))
    with pytest.raises(InputError, match="without commas"):
        review.keep(review.questions()[0], " ")
    assert not bank.log


@pytest.mark.parametrize("name", ["", "wrods", "personal:x", "hf", "hf:", "moderation:m", "moderation"])
def test_unknown_classifiers(name: str) -> None:
    with pytest.raises(ConfigError, match="expected one of words, words:FILE, personal"):
        open_classifier(name)


def test_clusters_of_near_duplicates_leave_their_first() -> None:
    texts = [
        "That sounds really good to me.",
        "What?",
        "that sounds really good to me",
        "That sounds really good to me, too",
    ]
    flags = open_classifier("duplicates").flags(texts)
    assert [len(each) for each in flags] == [0, 0, 1, 1]
    assert flags[2][0].score == 1
    assert json.dumps(texts[0])[1:-1] in flags[3][0].reason
