"""The process: a socket, signals, uvicorn."""

import math
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from g2r.config import ServeConfig
from g2r.errors import InputError
from g2r.server.connections import bounded
from g2r.server.logs import write_logs

_BACKLOG = 2048
_KEEP_ALIVE_S = 30
"""Longer than the pauses of a conversation that is going on, so that its connection is not closed as it speaks."""


def listen(config: ServeConfig) -> socket.socket:
    """Return a socket that listens where `config` says.

    Raises:
        InputError: the address is no such thing, or is taken.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another --host or --port"
        ) from error


def address_of(listener: socket.socket) -> str:
    """The address to open, with the port that was taken."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: FastAPI,
    listener: socket.socket,
    config: ServeConfig,
    *,
    count_refusal: Callable[[str], None] = lambda reason: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was accepted and return.

    `count_refusal` is told why a connection is refused.
    """
    write_logs(text=config.log_text)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=bounded(config, count_refusal),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=math.ceil(config.drain_s),
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
    )

    def stop(number: int, frame: FrameType | None) -> None:
        """Uvicorn raises the signal again when it has finished: that must not end the process with an error."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])
