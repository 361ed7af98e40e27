import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2r.duplicates import likeness, near_duplicate_groups, normal_form, shingles
from g2r.errors import ConfigError

WORDS = [
    "apple",
    "bridge",
    "candle",
    "doctor",
    "evening",
    "forest",
    "garden",
    "harbour",
    "island",
    "jacket",
    "kitchen",
    "ladder",
]
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  That's   GREAT!! ", "thats great"),
        ("That’s great", "thats great"),
        ("ｆｕｌｌ　ｗｉｄｔｈ！", "full width"),
        ("Straße — ja?", "strasse ja"),
        ("well-known", "well known"),
        ("cafe\u0301", "café"),
        ("?!", "?!"),
        (" ... ", "..."),
        ("😀", "😀"),
        ("", ""),
    ],
)
def test_normal_form(text: str, form: str) -> None:
    assert normal_form(text) == form


@given(st.text(alphabet=st.characters(codec="utf-8", max_codepoint=0x24F)))
def test_normal_form_ignores_case_and_space(text: str) -> None:
    assert normal_form(f"  {text}\n") == normal_form(text)


@given(words)
def test_normal_form_leaves_no_punctuation(text: str) -> None:
    form = normal_form(f"“{text}”, (ok)?")
    assert form == f"{text} ok"
    assert not any(unicodedata.category(c).startswith("P") for c in form)


@given(words, words)
def test_likeness_is_a_symmetric_share(a: str, b: str) -> None:
    assert likeness(a, a) == 1
    assert 0 <= likeness(a, b) == likeness(b, a) <= 1
    assert likeness(a, b) == len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("That sounds great, what did you do?", "That sounds great! what did you do there"),
        ("I'm good, how are you doing today?", "I am good, how are you doing today?"),
        ("I have two dogs and a very old cat", "i have two dog and a very old cat."),
    ],
)
def test_near_copies_are_alike(a: str, b: str) -> None:
    assert likeness(a, b) > 0.8


@pytest.mark.parametrize(
    ("a", "b"),
    [("yes I do", "no I don't"), ("I love dogs", "I love cats"), ("?", "!"), ("", "a"), ("I do", "I did")],
)
def test_different_short_lines_are_not(a: str, b: str) -> None:
    assert likeness(a, b) < 0.6


def connected_by_brute_force(texts: list[str], threshold: float) -> list[int]:
    groups = list(range(len(texts)))
    for i, a in enumerate(texts):
        for j, b in enumerate(texts[:i]):
            if normal_form(a) == normal_form(b) or likeness(a, b) >= threshold:
                old, new = groups[i], groups[j]
                groups = [new if g == old else g for g in groups]
    numbers: dict[int, int] = {}
    return [numbers.setdefault(g, len(numbers)) for g in groups]


def noisy_texts(count: int) -> list[str]:
    draw = random.Random(3)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(count)]
    for text in texts[: count // 2]:
        spot = draw.randrange(len(text))
        texts.append(text[:spot] + draw.choice("xyz") + text[spot + 1 :])
    draw.shuffle(texts)
    return texts


@pytest.mark.parametrize("threshold", [0.7, 0.85, 0.95])
def test_groups_are_those_of_brute_force(threshold: float) -> None:
    texts = noisy_texts(160)
    groups = near_duplicate_groups(texts, threshold)
    assert groups == connected_by_brute_force(texts, threshold)
    assert len(set(groups)) < len(texts)
    assert near_duplicate_groups(texts, threshold) == groups


def test_equal_normal_forms_only_at_threshold_one() -> None:
    texts = ["Ha ha!", "ha ha ha", "HA HA", "", "", "...", "…"]
    assert near_duplicate_groups(texts, 1.0) == [0, 1, 0, 2, 2, 3, 3]
    assert near_duplicate_groups(texts, 0.9)[:3] == [0, 0, 0]
    assert near_duplicate_groups([]) == []


def test_wide_characters_and_lone_surrogates() -> None:
    assert near_duplicate_groups(["😀 日本語のテキスト", "日本語のテキスト 😀", "\ud800", "a"])[2:] == [2, 3]


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        near_duplicate_groups(["a"], threshold)
