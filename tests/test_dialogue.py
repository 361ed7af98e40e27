from hypothesis import given
from hypothesis import strategies as st

from g2r.dialogue import Candidate, Example, Scores, clean_text, content_id


@given(st.text())
def test_cleaning_is_idempotent_and_leaves_no_control_characters(text):
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert cleaned == " ".join(cleaned.split())
    assert "\x00" not in cleaned


def test_cleaning_composes_accents():
    assert clean_text("cafe\u0301\n\tau  lait ") == "café au lait"


def test_cleaning_takes_away_what_turns_the_direction_of_writing_and_leaves_what_scripts_need():
    assert clean_text("gpj.\u202egnp\u202c \u2066x\u2069") == "gpj.gnp x"
    for kept in ("שלום, מה שלומך?", "مرحبا بك", "👩\u200d👧", "نامه\u200cای"):
        assert clean_text(kept) == kept


def test_ids_depend_on_text_alone_and_turn_borders_count():
    assert content_id("a") == content_id("a")
    assert len({content_id("a b"), content_id(("a b",)), content_id(("a", "b"))}) == 3
    assert (
        Example(("hi",), ()).context_id
        == Example(("hi",), (Candidate("x", "human"),), "d", "test").context_id
    )


def test_ll_is_nats_per_token():
    assert Scores(ll_sum=-6.0, tokens=3).ll == -2.0
    assert Scores(judge=5.0).ll is None


def test_merge_keeps_what_the_other_lacks():
    merged = Scores(ll_sum=-6.0, tokens=3, judge=2.0).merge(Scores(judge=0.0, mi=1.0))
    assert merged == Scores(ll_sum=-6.0, tokens=3, mi=1.0, judge=0.0)


def test_originals_are_what_the_dialogue_said():
    said, written = Candidate("a", "human", True), Candidate("b", "teacher")
    assert Example(("hi",), (written, said)).originals == (said,)
