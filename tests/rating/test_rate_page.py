"""The rating page in a real browser: two raters click through, and g2r ratings reads what they said."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browser import contrasts, overflows
from g2r.cli import main
from g2r.config import RateConfig
from g2r.rating.items import draw_items, read_replies
from g2r.rating.judgements import JudgementFile, read_judgements
from g2r.rating.server import create_app
from local_server import serving

expect = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install 'g2r[dev]'").expect

GOOD, BAD = "Oh, tell me more!", "<b>banana</b>"


@pytest.fixture
def replies(tmp_path: Path) -> Path:
    file = tmp_path / "results.jsonl"
    lines = [
        {
            "context_id": f"c{i}",
            "turns": ["hi", "hello", f"I did number {i} today"],
            "original": f"number {i} is fun, I hear",
            "replies": {"secret student": f"{GOOD} ({i})", "secret rival": f"{BAD} ({i})"},
        }
        for i in range(8)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@contextmanager
def rating(replies: Path, output: Path, **options) -> Iterator[str]:
    config = RateConfig(**{"rater": "ann", "items": 4, "attention": 0.25, "repeats": 0.25, **options})
    items = draw_items(read_replies(replies), config)
    with serving(create_app(items, JudgementFile(output), rater=config.rater)) as address:
        yield address


def is_data(response) -> bool:
    return "json" in response.headers["content-type"]


def question(page):
    return page.locator("#question")


def judge_all(page, choose) -> int:
    """Press the key that `choose(kind, replies)` names until all is done; how many items there were."""
    judged = 0
    while not page.get_by_text("All done").is_visible():
        count = page.locator("#count").inner_text()
        kind = "pairwise" if "better" in question(page).inner_text() else "absolute"
        page.keyboard.press(choose(kind, page.locator("figure p").all_inner_texts()))
        expect(page.locator("#count")).not_to_have_text(count)
        judged += 1
    return judged


def careful(kind: str, texts: list[str]) -> str:
    if kind == "absolute":
        return "1" if BAD in texts[0] else "3"
    bad = [BAD in text for text in texts]
    return "4" if all(bad) else str(1 + bad.index(False)) if any(bad) else "3"


def hasty(kind: str, texts: list[str]) -> str:
    return "1" if kind == "pairwise" else "2"


def test_two_raters_click_through_and_the_numbers_come_out(new_page, replies, tmp_path, capsys) -> None:
    output = tmp_path / "ratings.jsonl"
    for rater, choose in (("ann", careful), ("ben", hasty)):
        with rating(replies, output, rater=rater) as address:
            page = new_page()
            page.goto(address)
            assert judge_all(page, choose) == (4 + 1 + 1) + (8 + 2)
    said = read_judgements([output])
    assert len(said) == 32
    ann = [j for j in said if j.rater == "ann" and j.purpose == "main"]
    assert {j.systems["ab".index(j.verdict)] for j in ann if j.kind == "pairwise"} == {"secret student"}
    assert {(*j.systems, j.verdict) for j in ann if j.kind == "absolute"} == {
        ("secret student", "specific"),
        ("secret rival", "not sensible"),
    }
    assert all(j.seconds >= 0 for j in said)
    main(["ratings", str(output), "--draws", "200"])
    table = capsys.readouterr().out
    assert "| ann | 16 |" in table
    assert re.search(r"\| secret rival \| [\d.]+ \[", table)
    main(["ratings", str(output), "--draws", "200", "--json"])
    plain = json.loads(capsys.readouterr().out)
    assert {average["system"]: average["sensible"]["value"] for average in plain["averages"]} == {
        "secret rival": 0.5,
        "secret student": 1.0,
    }
    assert (plain["raters"][0]["name"], plain["raters"][0]["repeats"]) == ("ann", 1.0)


def test_the_rater_cannot_tell_who_said_what(new_page, replies, tmp_path) -> None:
    with rating(replies, tmp_path / "r.jsonl") as address:
        page = new_page()
        seen = []
        page.on("response", lambda response: seen.append(response.text() if is_data(response) else ""))
        page.goto(address)
        judge_all(page, careful)
        page.wait_for_load_state("networkidle")
    everything = "\n".join(seen)
    assert BAD in everything
    for hidden in ("secret", "student", "attention", "repeat", 'main"', "random reply", "human reply"):
        assert hidden not in everything


def test_an_undo_and_a_restart_lose_nothing(new_page, replies, tmp_path) -> None:
    output = tmp_path / "r.jsonl"
    with rating(replies, output) as address:
        page = new_page()
        page.goto(address)
        expect(page.get_by_role("button", name="Undo")).to_be_disabled()
        shown = page.locator("#turns").inner_text()
        page.get_by_role("button", name="Both bad").click()
        expect(page.locator("#count")).to_have_text("ann: 1 of 16")
        page.get_by_role("button", name="Undo").click()
        expect(page.locator("#count")).to_have_text("ann: 0 of 16")
        expect(page.locator("#turns")).to_have_text(shown, use_inner_text=True)
        page.keyboard.press("2")
        expect(page.locator("#count")).to_have_text("ann: 1 of 16")
        page.keyboard.press("9")
        page.keyboard.press("Control+1")
        next_shown = page.locator("#turns").inner_text()
    page.keyboard.press("1")
    expect(page.get_by_role("alert")).to_have_text(
        "The server does not answer. Start g2r rate again; it goes on here."
    )
    assert [j.verdict for j in read_judgements([output])] == ["b"]
    with rating(replies, output) as address:
        page.goto(address)
        expect(page.locator("#count")).to_have_text("ann: 1 of 16")
        expect(page.locator("#turns")).to_have_text(next_shown, use_inner_text=True)


def test_two_windows_of_one_rater_do_not_judge_twice(new_page, replies, tmp_path) -> None:
    output = tmp_path / "r.jsonl"
    with rating(replies, output) as address:
        one, other = new_page(), new_page()
        for page in (one, other):
            page.goto(address)
            expect(question(page)).to_be_visible()
        one.keyboard.press("1")
        expect(one.locator("#count")).to_have_text("ann: 1 of 16")
        other.keyboard.press("2")
        expect(other.get_by_role("alert")).to_contain_text("judged already")
        other.reload()
        expect(other.locator("#count")).to_have_text("ann: 1 of 16")
    assert [j.verdict for j in read_judgements([output])] == ["a"]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_it_is_readable_wide_and_narrow_light_and_dark(new_page, replies, tmp_path, width, dark) -> None:
    with rating(replies, tmp_path / "r.jsonl") as address:
        page = new_page(width=width, height=800, dark=dark)
        page.goto(address)
        expect(page.locator("#item")).to_be_focused()
        assert not overflows(page)
        assert contrasts(page) >= 4.5
        assert page.locator("figure b").count() == 0
        expect(page.get_by_role("list", name="Conversation").get_by_role("listitem")).to_have_count(3)
        expect(page.get_by_role("group", name="Which reply is better?").get_by_role("button")).to_have_count(
            4
        )


def test_the_command_serves_the_page_and_ends_on_interrupt(new_page, replies, tmp_path) -> None:
    output = tmp_path / "r.jsonl"
    command = [
        sys.executable,
        "-m",
        "g2r",
        "rate",
        str(replies),
        "-o",
        str(output),
        "--rater",
        "cas",
        "--items",
        "2",
    ]
    process = subprocess.Popen(
        [*command, "--systems", "secret rival,secret student"], stdout=-1, stderr=-1, text=True
    )
    try:
        address = process.stdout.readline().strip()
        page = new_page()
        page.goto(address)
        expect(page.locator("#item")).to_be_focused()
        page.keyboard.press("1")
        expect(page.locator("#count")).to_have_text(re.compile("cas: 1 of"))
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "items left for cas" in errors
    assert [j.rater for j in read_judgements([output])] == ["cas"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--rater", "ann", "--systems", "secret rival,oracle"], "no system at 'oracle'"),
        (["--rater", " "], "rater"),
        ([], "rater: missing"),
        (["--rater", "ann", "--items", "0"], "items"),
    ],
)
def test_wrong_commands_are_one_line(replies, tmp_path, capsys, options, says) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["rate", str(replies), "-o", str(tmp_path / "r.jsonl"), *options])
    assert re.fullmatch(f"g2r: .*{re.escape(says)}.*\n", capsys.readouterr().err)
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no judgement in these files"),
        ('{"item_id": "i", "kind": "pairwise"}\n', "r.jsonl, line 1, field purpose"),
    ],
)
def test_ratings_of_what_is_no_file_of_judgements(tmp_path, capsys, content, says) -> None:
    (tmp_path / "r.jsonl").write_text(content)
    with pytest.raises(SystemExit, match="1"):
        main(["ratings", str(tmp_path / "r.jsonl")])
    assert says in capsys.readouterr().err
