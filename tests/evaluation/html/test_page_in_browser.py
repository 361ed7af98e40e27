"""The page as people see it: wide and narrow, light and dark, filtered by hand and by keyboard."""

import pytest
from reports import EVIL, make_report, write_speeds

from browser import overflows
from g2r.evaluation.html.page import write_page

SECTIONS = (
    "glance",
    "part-choosing-the-original-response",
    "speed",
    "spread",
    "examples",
    "leaks",
    "manifest",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = make_report(tmp_path_factory.mktemp("page") / "report")
    write_speeds(folder)
    return write_page(folder).as_uri()


@pytest.fixture
def shown(new_page, address):
    page = new_page()
    page.goto(address)
    return page


def count(page):
    return page.locator("#count").inner_text()


def cards(page):
    return page.locator("#cards article")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True])
def test_everything_is_visible_on_every_screen(new_page, address, width, dark):
    page = new_page(width=width, dark=dark)
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address)
    for section in SECTIONS:
        assert page.locator(f"#{section} h2").is_visible()
    assert not overflows(page)
    for marks in ("table.forest circle", ".scatter circle", ".small rect", "#cards article"):
        box = page.locator(marks).first.bounding_box()
        assert box["width"] > 0
        assert box["height"] > 0
        assert 0 <= box["x"] <= width - box["width"]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) < 380) == dark
    page.screenshot(full_page=True)
    assert errors == []


def test_the_forest_puts_marks_where_the_numbers_say(shown):
    centres = {}
    for row in shown.locator("table.forest tbody tr:has(circle)").all():
        box = row.locator("circle").bounding_box()
        centres[row.locator("th").inner_text()] = box["x"] + box["width"] / 2
    zero = shown.locator("table.forest line.even").first.bounding_box()["x"]
    unit = (centres["student"] - zero) / 0.3
    assert centres["BM25"] - zero == pytest.approx(-0.2 * unit, abs=1.5)
    assert centres["untrained base"] - zero == pytest.approx(-0.01 * unit, abs=1.5)


def test_contexts_where_the_chosen_systems_differ(shown):
    assert count(shown) == "30 of 30 contexts"
    shown.get_by_label("Replies", exact=True).select_option("differ")
    assert count(shown) == "20 of 30 contexts"
    for names in cards(shown).locator("dt").all_inner_texts():
        assert names in ("what was said", "baseline", "student")
    shown.get_by_label("Replies", exact=True).select_option("same")
    assert count(shown) == "10 of 30 contexts"
    assert cards(shown).first.locator("dt").all_inner_texts() == ["what was said", "baseline, student"]
    shown.get_by_label("student, human bank", exact=True).check()
    assert count(shown) == "0 of 30 contexts"
    shown.get_by_role("button", name="As at first").click()
    assert count(shown) == "10 of 30 contexts"


def test_text_is_searched_in_contexts_and_replies_and_marked(shown):
    shown.get_by_label("Text", exact=True).fill("RAIN number 5")
    assert count(shown) == "1 of 30 contexts"
    assert cards(shown).locator("mark").all_inner_texts() == ["rain number 5"]
    shown.get_by_label("Text", exact=True).fill("hello 12")
    assert count(shown) == "1 of 30 contexts"
    shown.get_by_label("Text", exact=True).fill("nobody said this")
    assert count(shown) == "0 of 30 contexts"
    assert cards(shown).count() == 0


def test_markup_in_a_reply_is_shown_as_text(shown):
    shown.get_by_label("Text", exact=True).fill("</script>")
    assert cards(shown).count() == 1
    assert EVIL in cards(shown).first.inner_text()
    assert shown.title() == "A run · g2r report"


def test_contexts_come_some_at_a_time_and_most_different_first(shown):
    assert cards(shown).count() == 20
    shown.get_by_role("button", name="Show 10 more").click()
    assert cards(shown).count() == 30
    assert not shown.locator("#more").is_visible()
    shown.get_by_label("Order", exact=True).select_option("spread")
    assert cards(shown).first.locator("dt").count() == 3


def test_a_leak_leads_to_its_context(shown):
    shown.get_by_label("Text", exact=True).fill("nobody said this")
    shown.locator("#leaks summary").click()
    shown.locator("#leaks a").click()
    card = shown.locator(f"[id='context-{7:016x}']")
    card.wait_for()
    assert "leaked" in card.inner_text()
    shown.get_by_label("leaked only", exact=True).check()
    assert count(shown) == "1 of 30 contexts"


def test_a_system_with_nothing_to_say(shown):
    shown.get_by_role("button", name="All", exact=True).click()
    assert "had nothing to say" in cards(shown).nth(4).inner_text()
    shown.get_by_role("button", name="None").click()
    assert cards(shown).first.locator("dt").all_inner_texts() == ["what was said"]


def test_the_keyboard_reaches_everything(shown):
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.textContent") == "Skip to the content"
    shown.get_by_label("student, human bank", exact=True).focus()
    shown.keyboard.press("Space")
    assert shown.get_by_label("student, human bank", exact=True).is_checked()
    shown.locator("#manifest").scroll_into_view_if_needed()
    scrolling = shown.locator(".scroll")
    assert {box.get_attribute("tabindex") for box in scrolling.all()} == {"0"}
    assert all(box.get_attribute("aria-label") for box in scrolling.all())


def test_the_page_prints_without_its_controls(shown):
    shown.emulate_media(media="print")
    assert not shown.locator("#filter").is_visible()
    assert not shown.locator("nav.contents").is_visible()
    assert shown.locator("table.forest").first.is_visible()
    assert len(shown.pdf()) > 10_000
