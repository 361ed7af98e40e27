"""The command that serves a bot over HTTP: serve."""

import os
from typing import Any

from g2r.cli.base import DEFAULT_BOT, BankName, BotPath, app, share_cores
from g2r.config import ServeConfig, parse_config
from g2r.options import options_of

ADMIN_KEY = "G2R_ADMIN_KEY"


@app.command()
@options_of(ServeConfig)
def serve(
    path: BotPath = DEFAULT_BOT,
    bank: BankName = "bank",
    *,
    options: dict[str, Any],
) -> None:
    """Serve a bot over HTTP: the OpenAI protocol, /reply, a web chat; with G2R_ADMIN_KEY set, /admin too."""
    config = parse_config(ServeConfig, options, where="command line: serve")
    from g2r.server.app import create_app
    from g2r.server.live import LiveBot
    from g2r.server.running import address_of, listen, serve

    share_cores()
    live = LiveBot.open(path, bank=bank)
    with listen(config) as listener:
        address = address_of(listener)
        print(f"{len(live.bot.bank):,} responses at {address}")
        print(
            f"curl {address}/reply -H 'Content-Type: application/json' -d '{{\"turns\": [\"hi, how are you?\"]}}'",
            flush=True,
        )
        application = create_app(live, config, admin_key=os.environ.get(ADMIN_KEY))
        serve(application, listener, config, count_refusal=application.state.service.metrics.count_refusal)
