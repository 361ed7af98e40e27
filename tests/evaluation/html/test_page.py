"""The page as text: nothing from elsewhere, everything escaped, small, and the same as the files say."""

import json
import re
from html.parser import HTMLParser

import pytest
from reports import EVIL, SYSTEMS, item, make_report, rewrite_items, write_speeds

from g2r.artifacts import Manifest, write_manifest
from g2r.evaluation.html.files import read_report
from g2r.evaluation.html.page import embedded, page, write_page
from g2r.evaluation.report import Section, write_report


class Reader(HTMLParser):
    """Collects the tags, the visible text and the embedded data of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.scripts, self.open = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif "style" not in self.open:
            self.text.append(data)


@pytest.fixture
def folder(tmp_path):
    return make_report(tmp_path / "report")


def read(folder):
    return Reader((folder / "report.html").read_text())


def test_every_report_has_its_page(folder):
    html = (folder / "report.html").read_text()
    assert "<h1>A run</h1>" in html
    assert html == page(read_report(folder))
    assert write_page(folder).read_text() == html


def test_the_page_asks_for_nothing(folder):
    html = (folder / "report.html").read_text()
    addresses = [
        value
        for _, attributes in read(folder).tags
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "poster", "srcset")
    ]
    assert all(address.startswith("#") or address == "data:," for address in addresses)
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert not re.search(r"@import|url\(", html)


def test_a_reply_cannot_leave_its_place(folder):
    scripts = [attributes for tag, attributes in read(folder).tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    data = json.loads(read(folder).scripts[0])
    assert EVIL in data["texts"]
    assert EVIL in "".join(read(folder).text)  # among the leaks
    assert not [tag for tag, _ in read(folder).tags if tag == "b"]


def test_titles_and_cells_are_escaped(tmp_path):
    section = Section(f"S {EVIL}", EVIL, None, None)
    items = [{**item(0), "replies": {EVIL: EVIL}, "ranks": {}}]
    write_report(tmp_path / "r", [section], items, title=EVIL)
    reader = Reader((tmp_path / "r" / "report.html").read_text())
    assert len([tag for tag, _ in reader.tags if tag == "script"]) == 2
    assert json.loads(reader.scripts[0])["systems"] == [EVIL]


def test_the_data_of_the_examples(folder):
    data = json.loads(read(folder).scripts[0])
    text = data["texts"]
    assert len(set(text)) == len(text)
    assert tuple(data["systems"]) == SYSTEMS
    assert [data["systems"][i] for i in data["chosen"]] == ["baseline", "student"]
    for i, shown in enumerate(data["items"]):
        expected = item(i)
        assert [text[t] for t in shown["turns"]] == expected["turns"]
        replies = [None if r is None else text[r] for r in shown["replies"]]
        assert replies == list(expected["replies"].values())
        assert shown["ranks"] == [1 + i % 4] * 3
        assert shown["leaks"] == (i == 7)


def test_findings_stand_in_tables_and_plots(folder):
    text = " ".join(" ".join(read(folder).text).split())
    assert "▲ higher" in text
    assert "+0.300 [+0.200, +0.400]" in text
    assert "−0.200 [−0.300, −0.100]" in text
    assert "[1] not computed: too few responses" in text
    assert "responses in bank 5,000 of 12,000" in text
    assert "in the human bank 7" in text
    assert "With 30 contexts a win rate below 0.76 is not told from a coin" in text
    titles = [a["title"] for tag, a in read(folder).tags if tag == "td" and "title" in a]
    assert titles == ["not computed: too few responses"] * 4


def test_what_was_not_measured_says_so(folder):
    text = "".join(read(folder).text)
    assert "Quality against latency: not measured; no reply was timed." in text
    assert "Recall against speed: not measured; no latency.json" in text
    assert "Scores: not computed; no learned scorer rated these replies." in text
    assert "No manifest stands beside this report" in text


def test_speeds_scores_and_manifest_are_drawn_where_they_are(folder):
    write_speeds(folder)
    scored = [
        {**item(i), "scores": {"student": {"nup": i / 30}, "baseline": {"nup": None}}} for i in range(30)
    ]
    rewrite_items(folder, lambda _: scored)
    write_manifest(folder, Manifest("report", {"seed": 3}, {"student": "abc123"}, versions={"g2r": "9.9"}))
    write_page(folder)
    text = "".join(read(folder).text)
    assert "not measured" not in text
    assert "not computed;" not in text
    assert "Choosing the original response, against speed" in text
    assert "median latency, ms" in text
    assert "recall@10 among 100,000 responses" in text
    assert "Scores: nup" in text
    assert '"abc123"' in text
    labels = [a["aria-label"] for tag, a in read(folder).tags if tag == "svg" and "aria-label" in a]
    assert any("student: 0.800 at 14.2 ms" in label for label in labels)
    assert not any("untrained base: 0.490" in label for label in labels)
    assert len([tag for tag, a in read(folder).tags if a.get("class") == "curve"]) == 1


def test_times_of_the_evaluation_stand_in_for_a_benchmark(folder):
    own = {"own": 0.5}
    timed = [
        {
            **item(i),
            "timings_ms": {"student": {"total": 10.0 + i, "search": 1.0}, "baseline": {"total": 4.0}},
            "scores": {"student": own, "baseline": own},
        }
        for i in range(30)
    ]
    rewrite_items(folder, lambda _: timed)
    write_page(folder)
    text = "".join(read(folder).text)
    assert "median ms of a reply in this evaluation, no benchmark" in text
    assert "not comparable between systems" in text
    assert "no learned scorer rated these replies" in text
    labels = [a["aria-label"] for tag, a in read(folder).tags if tag == "svg" and "aria-label" in a]
    assert any("baseline: 0.500 at 4.00 ms; student: 0.800 at 24.5 ms" in label for label in labels)


def test_plots_and_tables_are_told_to_those_who_do_not_see_them(folder):
    write_speeds(folder)
    write_page(folder)
    reader = read(folder)
    for tag, attributes in reader.tags:
        if tag == "svg":
            told = attributes.get("role") == "img" and attributes.get("aria-label")
            assert told or {"aria-hidden", "focusable", "x"} & set(attributes)
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for tag, a in reader.tags if tag == "a" and not a["href"].startswith("#context-")}
    assert links <= set(ids)


def test_five_hundred_contexts_and_twelve_systems_stay_small(tmp_path):
    def big(i):
        replies = {f"system {s}": f"{i} {s} " + "some words that are said " * 6 for s in range(12)}
        return {"context_id": f"{i:x}", "turns": ["a longer turn of a dialogue " * 4] * 4, "replies": replies}

    write_report(tmp_path / "r", [], map(big, range(500)), title="Big")
    assert (tmp_path / "r" / "report.html").stat().st_size < 3_000_000


def test_a_report_without_replies_has_no_examples(tmp_path):
    write_report(tmp_path / "r", [], [{"context_id": "a"}], title="Bare")
    reader = Reader((tmp_path / "r" / "report.html").read_text())
    assert "results.jsonl holds no replies" in "".join(reader.text)
    assert reader.scripts[0] == "null"


def test_embedded_data_closes_no_script():
    assert "</" not in embedded({"a": "</script><!--"})
    assert json.loads(embedded({"a": "</script><!--"})) == {"a": "</script><!--"}
