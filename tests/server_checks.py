"""What the tests of the application share: its limits, a conversation, and what every refusal must be."""

from pathlib import Path
from typing import Any

from bot_server import KEY
from g2r.config import ServeConfig
from g2r.dialogue import content_id

LIMITS = ServeConfig(
    max_body_bytes=200_000, max_turns=50, max_turn_characters=2_000, max_candidates=5, max_delay_ms=1e6
)
HOLDER = {"Authorization": f"Bearer {KEY}"}
ASKING = {"turns": ["do you like tea"]}
TEA = content_id("tea is what I think about most, by human")
FAR = "what is it that people do with words on long evenings"
ROUTES = [
    ("POST", "/admin/bank/ban"),
    ("POST", "/admin/bank/unban"),
    ("POST", "/admin/bank/tag"),
    ("POST", "/admin/bank/untag"),
    ("POST", "/admin/bank/add"),
    ("GET", "/admin/bank/list"),
    ("GET", "/admin/bank/show"),
    ("GET", "/admin/bank/log"),
    ("POST", "/admin/swap"),
]


def refused(answer: Any, status: int) -> str:
    """The message of a refusal: one line in the shape of the OpenAI protocol, that leaks nothing."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    [(name, detail)] = answer.json().items()
    assert name == "error"
    assert set(detail) == {"message", "type", "param", "code"}
    message = detail["message"]
    assert message
    assert "\n" not in message
    assert len(message) <= 300
    for leak in (str(Path.cwd()), str(Path(__file__).parent), "Traceback", ".py", "site-packages"):
        assert leak not in message
    return str(message)
