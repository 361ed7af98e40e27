"""The pairwise judge, on a server that answers by a rule."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from g2r.config import OpenAITeacherConfig
from g2r.errors import TeacherError
from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.pairwise import agreed, choices, parse_verdict, prefer
from g2r.evaluation.preferences import Choice


class Rule(BaseHTTPRequestHandler):
    """Prefers the longer reply; says the first where the chat asks for it, and nonsense where it is told to."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        self.server.prompts.append(prompt)
        first, second = (re.search(rf"^Reply {n}: (.*)$", prompt, re.MULTILINE)[1] for n in (1, 2))
        said = "tie" if len(first) == len(second) else "1" if len(first) > len(second) else "Reply 2."
        if "always the first" in prompt:
            said = "1"
        if "nonsense" in prompt:
            said = "I like both so much"
        answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Rule) as found:
        found.prompts = []
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def config(server):
    server.prompts.clear()
    return OpenAITeacherConfig(model="rule", base_url=f"http://127.0.0.1:{server.server_address[1]}/v1")


CONTEXTS = [("hi", "how are you"), ("always the first",), ("what now",), ("so",)]


def test_every_pair_is_asked_in_both_orders(server, config):
    replies = {
        "long": ["a long reply", "a long reply", "same", None],
        "short": ["brief", "brief", "fine", "ok"],
        "shorter": ["a", "a", "a", "a"],
    }
    found = prefer(config, CONTEXTS, replies, against="short")
    assert set(found) == {"long", "shorter"}
    assert found["long"].outcomes == ("a", "tie", "tie")
    assert found["long"].consistency == pytest.approx(2 / 3)
    assert (found["long"].rate.wins, found["long"].rate.ties) == (1, 2)
    assert found["shorter"].outcomes == ("b", "tie", "b", "b")
    assert len(server.prompts) == 2 * 7
    firsts = {re.search(r"^Reply 1: (.*)$", p, re.MULTILINE)[1] for p in server.prompts if "- hi" in p}
    assert firsts == {"a long reply", "brief", "a"}
    assert choices(found, against="short")[0] == Choice("long", "short", "a")


def test_a_system_without_replies_is_not_computed(config):
    found = prefer(config, CONTEXTS[:1], {"mute": [None], "other": ["x"]}, against="other")
    assert found["mute"].outcomes == ()
    assert isinstance(found["mute"].rate, NotComputed)
    assert isinstance(found["mute"].consistency, NotComputed)


def test_a_judge_that_does_not_decide_is_an_error(config):
    with pytest.raises(
        TeacherError, match=r"asked twice which of two replies is better and said 'I like both"
    ):
        prefer(config, [("nonsense",)], {"a": ["x"], "b": ["yy"]}, against="b")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [("1", "a"), (" 2.", "b"), ("Reply 1", "a"), ('"tie"', "tie"), ("Tie", "tie"), ("10", None), ("", None)],
)
def test_verdicts(said, verdict):
    assert parse_verdict(said) == verdict


def test_orders_that_disagree_are_a_tie():
    assert agreed("a", "b") == "a"
    assert agreed("a", "a") == "tie"
    assert agreed("tie", "a") == "tie"
    assert agreed("tie", "tie") == "tie"
