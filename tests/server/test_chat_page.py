"""The web chat in a real browser, against a real server with a tiny bot."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from browser import contrasts, overflows
from g2r.bank import BankContext, BankResponse, ResponseBank
from g2r.bot import Bot
from g2r.config import BotConfig
from g2r.dialogue import Scores, content_id
from g2r.server.app import create_app
from local_server import serving
from word_encoder import WordEncoder

expect = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install 'g2r[dev]'").expect

KEY = "open-sesame"
TEA = "do you like tea"
MARKUP = "tea is <b>lovely</b> <img src=x onerror=\"document.title='broken in'\">"
TEXTS = (
    "I do like tea",
    "tea keeps me awake",
    MARKUP,
    "dogs are loyal friends",
    "rain keeps falling here",
)


def make_bot(**config: float) -> Bot:
    bank = ResponseBank.from_responses(
        BankResponse(
            content_id(text),
            text,
            ("human", "toy/teacher"),
            (BankContext(("hello", f"tell me of {text.split()[0]}"), Scores(judge=8.0)),),
            tags=frozenset({"hot drinks"} if "tea" in text else ()),
        )
        for text in TEXTS
    )
    return Bot.build(WordEncoder(), bank, config=BotConfig(**config))


@pytest.fixture
def chat(new_page) -> Iterator[Callable]:
    """Open the chat page on a server of its own: `chat(bot, key=KEY, **how the page is opened)`."""
    with ExitStack() as stack:

        def open_chat(bot: Bot | None = None, *, key: str | None = KEY, **opened):
            page = new_page(**opened)
            page.goto(stack.enter_context(serving(create_app(bot or make_bot(), admin_key=key))))
            return page

        yield open_chat


def say(page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def replies(page):
    return page.locator(".turn.bot .text")


def candidates(page):
    return page.get_by_role("list", name="Candidates").get_by_role("listitem")


def test_a_reply_appears_with_the_candidates_it_was_chosen_from(chat) -> None:
    bot = make_bot()
    page = chat(bot)
    expect(page.get_by_label("Your message")).to_be_focused()
    say(page, TEA)
    expect(replies(page)).to_have_text(["Bot: I do like tea"])
    expected = bot.reply([TEA]).candidates
    expect(candidates(page)).to_have_count(len(expected))
    for item, candidate in zip(candidates(page).all(), expected, strict=True):
        expect(item).to_contain_text(candidate.text)
        expect(item.locator(".score")).to_have_text(f"{candidate.score:.3f}")
    first = candidates(page).first
    expect(first).to_contain_text("said")
    first.locator("summary").click()
    for shown in ("human, toy/teacher", "hello", "tell me of I", "judged 8 of 10", "hot drinks"):
        expect(first).to_contain_text(shown)
    expect(first).to_contain_text(expected[0].response_id)
    expect(first).to_contain_text(bot.bank.version)
    facts = page.locator("#facts")
    expect(facts).to_contain_text(f"In reply to “{TEA}”")
    expect(facts).to_contain_text(re.compile(r"encode \d+(\.\d+)? ms"))
    expect(page.get_by_role("button", name="Why this reply")).to_have_attribute("aria-pressed", "true")


def test_the_server_gets_the_whole_conversation(chat) -> None:
    page = chat()
    asked = []
    page.on("request", lambda request: asked.append(request.post_data_json))
    for text in (TEA, "and dogs"):
        say(page, text)
        expect(replies(page)).to_have_count(len(asked))
    assert [body["turns"] for body in asked] == [[TEA], [TEA, "I do like tea", "and dogs"]]
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)
    page.get_by_role("button", name="I had a long day at work.").click()
    expect(replies(page)).to_have_count(1)
    assert asked[-1]["turns"] == ["I had a long day at work."]


def test_preferring_another_reply_goes_on_from_there(chat) -> None:
    page = chat()
    asked = []
    page.on("request", lambda request: asked.append(request.post_data_json))
    say(page, TEA)
    second = candidates(page).nth(1)
    text = second.locator(".line p").inner_text()
    second.get_by_role("button", name="Say this instead").click()
    expect(replies(page)).to_have_text([f"Bot: {text}"])
    expect(candidates(page).nth(1)).to_contain_text("said")
    expect(page.get_by_label("Your message")).to_be_focused()
    say(page, "what about dogs")
    expect(replies(page)).to_have_count(2)
    assert asked[-1]["turns"] == [TEA, text, "what about dogs"]
    page.get_by_role("button", name="Why this reply").first.click()
    candidates(page).first.get_by_role("button", name="Go back and say this").click()
    expect(page.locator(".turn .text")).to_have_text([f"You: {TEA}", "Bot: I do like tea"])
    expect(page.get_by_role("status")).to_contain_text("2 later messages were taken back")
    say(page, "what about dogs")
    expect(replies(page)).to_have_count(2)
    assert asked[-1]["turns"] == [TEA, "I do like tea", "what about dogs"]


def test_a_ban_asks_for_the_key_once_and_the_bot_answers_anew(chat) -> None:
    bot = make_bot()
    page = chat(bot)
    say(page, TEA)
    candidates(page).first.get_by_role("button", name="Ban").click()
    dialog = page.get_by_role("dialog", name="Admin key")
    expect(dialog.get_by_label("Key")).to_be_focused()
    for wrong in ("guess", "schlüssel"):
        dialog.get_by_label("Key").fill(wrong)
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_have_text("The server refused this key.")
        expect(dialog.get_by_label("Key")).to_be_empty()
    assert not bot.bank.banned.any()
    dialog.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    expect(replies(page)).not_to_have_text(["Bot: I do like tea"])
    expect(replies(page)).to_have_count(1)
    assert bot.bank.banned.sum() == 1
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("heading", name="Why this reply")).to_be_focused()
    candidates(page).last.get_by_role("button", name="Ban").click()
    expect(candidates(page).last).to_contain_text("banned")
    assert bot.bank.banned.sum() == 2
    candidates(page).last.get_by_role("button", name="Allow again").click()
    expect(candidates(page).last).not_to_contain_text("banned")
    assert bot.bank.banned.sum() == 1
    assert KEY not in page.evaluate(
        "JSON.stringify([document.documentElement.outerHTML, {...localStorage}, {...sessionStorage}, document.cookie])"
    )


def test_a_ban_can_be_called_off(chat) -> None:
    bot = make_bot()
    page = chat(bot)
    say(page, TEA)
    button = candidates(page).first.get_by_role("button", name="Ban")
    for leave in (lambda: page.keyboard.press("Escape"), lambda: page.get_by_text("Cancel").click()):
        button.click()
        page.get_by_label("Key", exact=True).fill(KEY)
        leave()
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(button).to_be_focused()
    assert not bot.bank.banned.any()


def test_a_server_without_an_admin_key_says_so(chat) -> None:
    page = chat(key=None)
    say(page, TEA)
    candidates(page).first.get_by_role("button", name="Ban").click()
    page.get_by_label("Key", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#panel-problem")).to_contain_text("started without G2R_ADMIN_KEY")
    expect(replies(page)).to_have_text(["Bot: I do like tea"])


def test_a_server_that_is_gone_keeps_what_was_written(new_page) -> None:
    page = new_page()
    with serving(create_app(make_bot())) as address:
        page.goto(address)
        say(page, TEA)
        expect(replies(page)).to_have_count(1)
    say(page, "are you there")
    problem = page.locator("#composer").get_by_role("alert")
    expect(problem).to_have_text("The server does not answer. Is it still running?")
    expect(page.get_by_label("Your message")).to_have_value("are you there")
    expect(page.locator(".turn")).to_have_count(2)


def test_refusals_become_one_line(chat) -> None:
    page = chat()
    problem = page.locator("#composer").get_by_role("alert")
    page.route("**/reply", lambda route: route.fulfill(status=503, headers={"Retry-After": "7"}), times=1)
    say(page, TEA)
    expect(problem).to_have_text("The server is busy. Try again in 7 s.")
    page.keyboard.press("Enter")
    expect(replies(page)).to_have_count(1)
    expect(problem).to_be_empty()
    say(page, "x" * 20_000)
    expect(problem).to_contain_text(re.compile("refused this.*10,?000"))


def test_an_abstaining_bot_is_silent_and_shows_why(chat) -> None:
    page = chat(make_bot(min_score=50))
    asked = []
    page.on("request", lambda request: asked.append(request.post_data_json))
    say(page, TEA)
    expect(replies(page)).to_have_text(["Bot: The bot has no fitting reply."])
    expect(page.locator("#facts")).to_contain_text("the bot abstained")
    expect(candidates(page).filter(has_text="said")).to_have_count(0)
    say(page, "and dogs")
    expect(replies(page)).to_have_count(2)
    assert asked[-1]["turns"] == [TEA, "and dogs"]
    candidates(page).filter(has_text="dogs").get_by_role("button", name="Say this instead").click()
    expect(replies(page).last).to_have_text("Bot: dogs are loyal friends")


def test_text_never_becomes_markup(chat) -> None:
    page = chat()
    say(page, f"{TEA} <script>document.title = 'broken in'</script><i>now</i>")
    expect(page.locator(".turn.you .text")).to_contain_text("<i>now</i>")
    item = candidates(page).filter(has_text=MARKUP)
    item.get_by_role("button", name="Say this instead").click()
    expect(replies(page)).to_have_text([f"Bot: {MARKUP}"])
    assert page.locator("img, .turn script, .turn b, .turn i").count() == 0
    assert page.title() == "g2r: chat"


def test_on_a_phone_the_panel_covers_the_chat_and_gives_it_back(chat) -> None:
    page = chat(width=360, height=640, touch=True)
    say(page, f"{TEA} {'verylongwordwithoutend' * 20}")
    why = page.get_by_role("button", name="Why this reply")
    expect(why).to_be_visible()
    expect(page.locator("#panel")).to_be_hidden()
    assert not overflows(page)
    why.tap()
    expect(page.get_by_role("heading", name="Why this reply")).to_be_focused()
    assert not overflows(page)
    assert page.locator("main").evaluate("node => node.inert")
    page.get_by_role("button", name="Back to the chat").tap()
    expect(why).to_be_focused()
    why.tap()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    why.tap()
    candidates(page).nth(1).get_by_role("button", name="Say this instead").tap()
    expect(page.locator("#panel")).to_be_hidden()
    expect(page.get_by_label("Your message")).to_be_focused()
    assert not page.locator("main").evaluate("node => node.inert")


def test_everything_can_be_done_from_the_keyboard(chat) -> None:
    page = chat()
    keyboard = page.keyboard
    keyboard.type(TEA)
    keyboard.press("Shift+Enter")
    keyboard.type("or coffee")
    keyboard.press("Enter")
    expect(replies(page)).to_have_count(1)
    expect(page.get_by_label("Your message")).to_be_empty()
    expect(page.get_by_label("Your message")).to_be_focused()
    reached = []
    for _ in range(12):
        keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.innerText"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if reached[-1].startswith("Say this instead"):
            break
    assert reached[0] == "Send"
    keyboard.press("Enter")
    expect(replies(page)).not_to_have_text(["Bot: I do like tea"])
    expect(page.get_by_label("Your message")).to_be_focused()


def test_a_screen_reader_finds_its_way(chat) -> None:
    page = chat()
    say(page, TEA)
    expect(replies(page)).to_have_count(1)
    expect(page.get_by_role("log", name="Conversation")).to_contain_text("Bot: I do like tea")
    for role, name in (("main", "Chat"), ("complementary", "Why this reply")):
        expect(page.get_by_role(role, name=name)).to_be_visible()
    expect(page.get_by_role("banner")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("g2r")
    for control in page.locator("button:visible, textarea, input").all():
        assert control.evaluate("node => node.ariaLabel || node.innerText || node.labels?.length")


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground_in_light_and_dark(chat, dark) -> None:
    page = chat(dark=dark)
    say(page, TEA)
    expect(replies(page)).to_have_count(1)
    candidates(page).first.locator("summary").click()
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground)[:3])) < 60) == dark
    assert contrasts(page) >= 4.5


def test_confidence_ratings_and_further_phases_are_shown(chat) -> None:
    page = chat()

    def rated(route) -> None:
        answer = route.fetch().json()
        answer["confidence"] = 0.824
        answer["timings_ms"]["rerank"] = 12.0
        answer["candidates"][0]["rating"] = answer["candidates"][0]["score"] = 7.9
        route.fulfill(json=answer)

    page.route("**/reply", rated)
    say(page, TEA)
    facts = page.locator("#facts")
    for shown in ("82 %", "rerank 12 ms"):
        expect(facts).to_contain_text(shown)
    candidates(page).first.locator("summary").click()
    expect(candidates(page).first).to_contain_text("7.9 of 10")


def test_the_description_of_the_api_is_drawn_for_readers_and_keyboards(new_page) -> None:
    with serving(create_app(make_bot(), admin_key=KEY)) as address:
        page = new_page(width=400)
        page.goto(f"{address}/docs")
        expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
        expect(page.get_by_role("heading", level=1)).to_contain_text("g2r")
        page.get_by_role("link", name="POST /reply").click()
        section = page.get_by_role("region", name="POST /reply", exact=True)
        expect(section.get_by_label("Example for curl")).to_contain_text(f"curl {address}/reply")
        expect(section.get_by_role("region", name="Body: ReplyRequest")).to_contain_text("list of text")
        admin = page.get_by_role("region", name="POST /admin/bank/ban", exact=True)
        expect(admin.get_by_label("Example for curl")).to_contain_text("$G2R_ADMIN_KEY")
        expect(page.get_by_role("alert")).to_be_empty()
        assert not overflows(page)
        assert contrasts(page) >= 4.5
