import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from g2r.bank import BankContext, BankResponse, ResponseBank
from g2r.dialogue import HUMAN, Candidate, Example, Scores, content_id
from g2r.errors import ArtifactError, ConfigError, InputError


def example(context: Sequence[str], *candidates: Candidate, split: str = "train") -> Example:
    return Example(tuple(context), candidates, split=split)


def judged(text: str, judge: float | None, source: str = "big") -> Candidate:
    return Candidate(text, source, scores=Scores(judge=judge))


EXAMPLES = [
    example(["hi"], Candidate("Hello there!", HUMAN, True), judged("Good to see you, how is it going?", 8)),
    example(["hey you"], judged("Good to see you, how is it going?", 9), judged("hello there", 4)),
    example(["a", "b", "so, rain"], judged("Take an umbrella.", 6), judged("I like trains.", 1)),
    example(["secret"], Candidate("Only in the test split.", HUMAN, True), split="test"),
]


@pytest.fixture
def bank() -> ResponseBank:
    return ResponseBank.from_examples(EXAMPLES)


def find(bank: ResponseBank, text: str) -> BankResponse:
    return bank[bank.row(content_id(text))]


def test_merging_unites_provenance_and_counts_it(bank: ResponseBank) -> None:
    assert sorted(bank.texts) == [
        "Good to see you, how is it going?",
        "I like trains.",
        "Take an umbrella.",
        "hello there",
    ]
    hello = find(bank, "hello there")
    assert (hello.sources, hello.count, hello.scores.judge) == (("big", HUMAN), 2, 4)
    assert [c.turns for c in hello.contexts] == [("hey you",), ("hi",)]
    seen = find(bank, "Good to see you, how is it going?")
    assert [(c.turns, c.scores.judge) for c in seen.contexts] == [(("hey you",), 9), (("hi",), 8)]
    assert seen.contexts[0].context_id == content_id(("hey you",))
    assert bank.counts == {
        "candidates": 6,
        "other splits": 1,
        "exact duplicates": 1,
        "near duplicates": 1,
        "responses": 4,
    }


def test_rows_are_in_order_of_ids_whatever_the_order_of_examples(bank: ResponseBank) -> None:
    again = ResponseBank.from_examples(list(reversed(EXAMPLES)))
    assert list(again) == list(bank)
    assert again.version == bank.version
    assert [r.response_id for r in bank] == sorted(content_id(t) for t in bank.texts)
    assert [bank.row(r.response_id) for r in bank] == list(range(len(bank)))
    assert bank[-1] == bank[len(bank) - 1] == bank[:][-1]


def test_options_choose_the_responses() -> None:
    human = ResponseBank.from_examples(EXAMPLES, responses="human", splits=("train", "test"))
    assert sorted(human.texts) == ["Hello there!", "Only in the test split."]
    teacher = ResponseBank.from_examples(EXAMPLES, responses="teacher", near_duplicates=1.0)
    assert HUMAN not in {s for r in teacher for s in r.sources}
    assert len(teacher) == 4


def test_min_judge_also_keeps_badly_judged_contexts_from_being_keys() -> None:
    examples = [example(["good"], judged("Nice!", 8)), example(["bad"], judged("Nice!", 2), judged("No.", 3))]
    bank = ResponseBank.from_examples(examples, min_judge=6)
    assert [(r.text, [c.turns for c in r.contexts]) for r in bank] == [("Nice!", [("good",)])]
    assert bank.counts["low judge scores"] == 2


def test_min_contexts_keeps_what_was_written_for_several_contexts() -> None:
    examples = [
        example(["one"], judged("Fits two!", 7), judged("Fits one.", 7)),
        example(["two"], judged("fits two", 7), judged("Fits only here, you see.", 7)),
        example(["two", "more"], judged("Fits only here, you see.", 7)),
    ]
    bank = ResponseBank.from_examples(examples, min_contexts=2)
    assert sorted(len(r.contexts) for r in bank) == [2, 2]
    assert bank.counts["written for too few contexts"] == 1
    with pytest.raises(InputError, match="none of 3 was written for min_contexts=3"):
        ResponseBank.from_examples(examples, min_contexts=3)


def test_unscored_responses_pass_min_judge_and_the_best_contexts_are_kept() -> None:
    examples = [example([f"context {i}"], Candidate("Sure.", "t", scores=Scores(-i, 1))) for i in range(5)]
    bank = ResponseBank.from_examples(examples, min_judge=6, contexts_per_response=2)
    assert [c.turns for c in bank[0].contexts] == [("context 0",), ("context 1",)]
    assert bank[0].scores.ll == 0
    assert bank[0].count == 5


def test_most_common_text_stays_where_scores_do_not_tell() -> None:
    texts = ["That is so very nice of you", "that is so very nice of you!", "that is so very nice of you!"]
    examples = [example([str(i)], Candidate(text, HUMAN)) for i, text in enumerate(texts)]
    assert ResponseBank.from_examples(examples).texts == [texts[1]]


def test_nothing_left_or_unknown_option() -> None:
    with pytest.raises(InputError, match="other splits': 1"):
        ResponseBank.from_examples(EXAMPLES[3:])
    with pytest.raises(InputError, match="no candidates"):
        ResponseBank.from_examples([])
    with pytest.raises(ConfigError, match="did you mean 'min_judge'"):
        ResponseBank.from_examples(EXAMPLES, min_juge=3)
    response = BankResponse("1", "a", ("x",))
    with pytest.raises(InputError, match="different ids"):
        ResponseBank.from_responses([response, response])


def test_saved_and_loaded_it_is_the_same(bank: ResponseBank, tmp_path: Path) -> None:
    bank.tag(bank[2].response_id, "kind")
    bank.save(tmp_path)
    loaded = ResponseBank.load(tmp_path)
    assert list(loaded) == list(bank)
    assert loaded.version == bank.version
    other = tmp_path / "other"
    ResponseBank.from_examples(EXAMPLES).save(other)
    assert (other / "responses.parquet").read_bytes() == (tmp_path / "responses.parquet").read_bytes()
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".partial")]


def test_version_follows_rows_but_not_bans(bank: ResponseBank) -> None:
    version = bank.version
    bank.ban(bank[0].response_id)
    assert bank.version == version
    assert ResponseBank.from_examples(EXAMPLES[:2]).version != version
    keyed = BankResponse("1", "a", ("x",), (BankContext(("c",)),))
    assert (
        ResponseBank.from_responses([keyed]).version
        != ResponseBank.from_responses([BankResponse("1", "a", ("x",))]).version
    )


def test_bans_and_tags(bank: ResponseBank, tmp_path: Path) -> None:
    bank.save(tmp_path)
    before, first, second = bank.banned, bank[0].response_id, bank[1].response_id
    bank.ban(first, "rude")
    bank.ban(second)
    bank.unban(second)
    bank.tag(first, "pirate", "kids")
    bank.tag(second, "pirate", "loud")
    bank.untag(second, "loud")
    assert not before.any()
    for seen in (bank, ResponseBank.load(tmp_path)):
        assert np.flatnonzero(seen.banned).tolist() == [0]
        assert (seen[0].tags, seen[1].tags) == ({"pirate", "kids"}, {"pirate"})
        assert seen.allowed().tolist() == [False, True, True, True]
        assert seen.allowed(["pirate"]).tolist() == [False, True, False, False]
        assert not seen.allowed(["pirate", "kids"]).any()
        assert not seen.allowed(["unheard of"]).any()
        assert [(c.action, c.reason) for c in seen.log][:2] == [("ban", "rude"), ("ban", "")]


@pytest.mark.parametrize("wrong", ["0" * 16, "", "Hello there!", "\ud800"])
def test_ban_of_an_unknown_id_changes_nothing(bank: ResponseBank, tmp_path: Path, wrong: str) -> None:
    bank.save(tmp_path)
    with pytest.raises(InputError, match="no response"):
        bank.ban(wrong)
    assert not bank.log
    assert (tmp_path / "log.jsonl").read_bytes() == b""


def test_a_log_cut_short_anywhere_keeps_every_whole_line(bank: ResponseBank, tmp_path: Path) -> None:
    bank.save(tmp_path)
    for response in bank[:2]:
        bank.ban(response.response_id, "ünfit")
    log = tmp_path / "log.jsonl"
    content = log.read_bytes()
    for cut in [*range(0, len(content), 9), content.index(b"\n") + 1, len(content)]:
        log.write_bytes(content[:cut])
        loaded = ResponseBank.load(tmp_path)
        whole = content[:cut].count(b"\n")
        assert np.flatnonzero(loaded.banned).tolist() == list(range(whole))
        loaded.ban(loaded[3].response_id)
        assert np.flatnonzero(ResponseBank.load(tmp_path).banned).tolist() == [*range(whole), 3]


def test_a_second_holder_sees_changes_when_it_looks(bank: ResponseBank, tmp_path: Path) -> None:
    bank.save(tmp_path)
    server = ResponseBank.load(tmp_path)
    assert not server.refresh()
    bank.ban(bank[0].response_id)
    assert server.refresh()
    assert server.banned[0]
    assert server.revision == 1
    server.ban(server[1].response_id)
    bank.ban(bank[2].response_id)
    assert bank.banned.tolist() == [True, True, True, False]


class Overtaken:
    """A lock that another thread, which reads what is written meanwhile, holds first."""

    def __init__(self, bank: ResponseBank, elsewhere: ResponseBank) -> None:
        self._bank, self._elsewhere, self._waits = bank, elsewhere, True

    def __enter__(self) -> None:
        if self._waits:
            self._waits = False
            self._elsewhere.ban(self._elsewhere[1].response_id)
            self._bank.refresh()

    def __exit__(self, *error: object) -> None:
        pass


def test_what_another_thread_has_read_is_not_replayed_from_the_start(
    bank: ResponseBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.save(tmp_path)
    bank.add("They are damp inside.")
    fresh, elsewhere = bank.fresh, ResponseBank.load(tmp_path)
    elsewhere.ban(elsewhere[0].response_id)
    monkeypatch.setattr(bank._changes, "_replaying", Overtaken(bank, elsewhere))
    bank.refresh()
    assert bank.banned.tolist() == [True, True, False, False, False]
    assert bank.fresh is fresh
    assert bank.revision == 3


def test_rebuilding_a_bank_does_not_bring_back_what_was_banned(bank: ResponseBank, tmp_path: Path) -> None:
    bank.save(tmp_path)
    bank.ban(content_id("hello there"))
    rebuilt = ResponseBank.from_examples(EXAMPLES[:2])
    rebuilt.ban(content_id("Good to see you, how is it going?"))
    rebuilt.save(tmp_path)
    rebuilt.save(tmp_path)
    assert rebuilt.banned.all()
    assert ResponseBank.load(tmp_path).banned.all()
    assert len(rebuilt.log) == 2
    smaller = ResponseBank.from_examples(EXAMPLES[2:3])
    smaller.save(tmp_path)
    assert not smaller.banned.any()


def test_files_that_are_no_bank(bank: ResponseBank, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bank in"):
        ResponseBank.load(tmp_path)
    (tmp_path / "responses.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(InputError, match="not a readable parquet"):
        ResponseBank.load(tmp_path)
    bank.save(tmp_path)
    (tmp_path / "log.jsonl").write_text('{"action": "ban"}\n')
    with pytest.raises(ArtifactError, match="line 1"):
        ResponseBank.load(tmp_path)


def test_log_lines_are_plain_json(bank: ResponseBank, tmp_path: Path) -> None:
    bank.save(tmp_path)
    bank.ban(bank[0].response_id, "why\n\u202enot\x1b", by="some\x07body")
    (line,) = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    values = json.loads(line)
    assert values.pop("at").endswith("+00:00")
    assert values == {
        "action": "ban",
        "response_id": bank[0].response_id,
        "reason": "why not",
        "tags": [],
        "by": "some body",
        "text": bank[0].text,
    }
