"""The application on a bot of hashed words, in this process."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from bot_server import KEY, word_bot
from g2r.bot import Bot
from g2r.server.app import create_app
from server_checks import LIMITS


@pytest.fixture
def bot() -> Bot:
    return word_bot()


@pytest.fixture
def client(bot: Bot) -> Iterator[TestClient]:
    with TestClient(create_app(bot, LIMITS, admin_key=KEY), raise_server_exceptions=False) as client:
        yield client
