"""A small server that speaks the OpenAI protocol, run as a process of its own, for tests of HTTP teachers.

Its language model is a formula (`token_logprob`), so that tests can add up log-probabilities themselves.
Start it by hand with `python tests/servers.py --logprobs prompt`; it prints its address.
"""

import argparse
import asyncio
import json
import random
import re
import socket
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

MODEL = "toy/talker"
BEGIN = "<s>"
_TOKEN = re.compile(r" ?\w+|[^\w\s]\n?|\s")
_WORDS = ("yes", "no", "really", "tea", "music", "rain", "lovely", "why", "tell", "me", "more", "then")


def tokenize(text: str) -> list[str]:
    """Words with the space before them, marks (joined with a line end, as real vocabularies do), white space."""
    return _TOKEN.findall(text)


def token_logprob(token: str, previous: str) -> float:
    """log P(token | previous token) in nats, between -3 and -0.01."""
    return -0.01 - zlib.crc32(f"{previous}|{token}".encode()) % 2990 / 1000


def text_logprobs(text: str) -> list[float | None]:
    """log P of each token of a text, None for the begin-of-text token."""
    tokens = [BEGIN, *tokenize(text)]
    return [None, *(token_logprob(b, a) for a, b in pairwise(tokens))]


class ToyServer:
    """Address of a running server, what it saw, and how it is to behave from now on."""

    def __init__(self, address: str) -> None:
        self.base_url = f"{address}/v1"
        self._address = address

    def behave(self, **behaviour: Any) -> None:
        """Set `Behaviour` fields (the others take their defaults) and forget what was seen."""
        self._call("/behave", behaviour)

    def seen(self) -> dict[str, Any]:
        """`requests`, `peak` (most under way at once), `bodies` and `keys` since the last `behave`."""
        return self._call("/seen", {})

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self._address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.load(reply)


@contextmanager
def toy_server(*options: str) -> Iterator[ToyServer]:
    """Start the server as a process on a free port; stop it at the end."""
    command = [sys.executable, __file__, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield ToyServer(process.stdout.readline().strip())
        finally:
            process.terminate()


def free_address() -> str:
    """An address on this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@dataclass
class Behaviour:
    """How the server answers.

    Attributes:
        logprobs: prompt gives those of given texts and of samples, sampled only these, none neither.
        faults: one for each request to come: ok, 400-599, drop, hang, empty, malformed, shapeless, nan.
        retry_after: header of a 429.
        message: what it says with an error.
        code: the error's code.
        choices: most choices in one answer, whatever `n` asks for.
        delay: seconds an answer takes.
        said: the text of every answer; sampled where empty.
        finish_reason: of every choice.
        begin: whether echoes begin with a begin-of-text token, as some servers' do.
    """

    logprobs: str = "prompt"
    faults: list[str] = field(default_factory=list)
    retry_after: str | None = None
    message: str = "as the test wants"
    code: str | None = None
    choices: int = 100
    delay: float = 0.0
    said: list[str] = field(default_factory=list)
    finish_reason: str = "stop"
    begin: bool = True


@dataclass
class Seen:
    requests: int = 0
    under_way: int = 0
    peak: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def _chat_choice(seed: int, body: dict[str, Any], behaviour: Behaviour, place: int) -> dict[str, Any]:
    draw = random.Random(f"{seed} {json.dumps(body['messages'])}")
    text = " ".join(draw.choices(_WORDS, k=draw.randint(3, 6)))
    if behaviour.said:
        text = behaviour.said[place % len(behaviour.said)]
    values = text_logprobs(text)[1:]
    content = [{"token": t, "logprob": p} for t, p in zip(tokenize(text), values, strict=True)]
    given = body.get("logprobs") and behaviour.logprobs != "none"
    return {
        "index": place,
        "finish_reason": behaviour.finish_reason,
        "message": {"role": "assistant", "content": text},
        "logprobs": {"content": content} if given else None,
    }


def _echo_choice(body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """The prompt and one generated token, " really", which a careless client would count."""
    echoed = body.get("echo") and behaviour.logprobs == "prompt"
    text = (body["prompt"] if echoed else "") + " really"
    tokens, values = [BEGIN, *tokenize(text)], text_logprobs(text)
    if not behaviour.begin:
        tokens, values = tokens[1:], [None, *values[2:]]
    found = {"tokens": tokens, "token_logprobs": values}
    return {"index": 0, "text": text, "finish_reason": "length", "logprobs": found}


def make_app(behaviour: Behaviour) -> Any:
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse, StreamingResponse

    app = FastAPI()
    state = {"behaviour": behaviour, "seen": Seen()}

    @app.post("/behave")
    async def behave(request: Request) -> dict[str, bool]:
        state["behaviour"], state["seen"] = Behaviour(**await request.json()), Seen()
        return {"ok": True}

    @app.post("/seen")
    async def seen() -> dict[str, Any]:
        return vars(state["seen"])

    async def broken() -> AsyncIterator[bytes]:
        yield b'{"choices": ['
        raise ConnectionError("dropped, as the test wants")

    def refusal(status: int, behaviour: Behaviour) -> Response:
        headers = {"Retry-After": behaviour.retry_after} if behaviour.retry_after is not None else {}
        body = {"error": {"message": behaviour.message, "type": "test", "code": behaviour.code}}
        return JSONResponse(body, status_code=status, headers=headers)

    async def answer(request: Request, respond: Any) -> Response:
        behaviour, seen, body = state["behaviour"], state["seen"], await request.json()
        fault = behaviour.faults[seen.requests] if seen.requests < len(behaviour.faults) else "ok"
        seen.requests += 1
        seen.bodies.append(body)
        seen.keys.append(request.headers.get("authorization", ""))
        if body["model"] != MODEL:
            return JSONResponse({"error": {"message": f"no model {body['model']}"}}, status_code=404)
        if fault.isdigit():
            return refusal(int(fault), behaviour)
        if fault == "drop":
            return StreamingResponse(
                broken(), headers={"Content-Length": "1000"}, media_type="application/json"
            )
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault in ("malformed", "shapeless"):
            text = '{"choices": [' if fault == "malformed" else '{"answer": "hello"}'
            return Response(text, media_type="application/json")
        await asyncio.sleep(behaviour.delay)
        reply = respond(body, behaviour)
        if fault == "empty":
            reply["choices"] = []
        text = json.dumps(reply)
        if fault == "nan":
            text = re.sub(r"-\d+\.\d+", "NaN", text)
        return Response(text, media_type="application/json")

    async def counted(request: Request, respond: Any) -> Response:
        seen = state["seen"]
        seen.under_way += 1
        seen.peak = max(seen.peak, seen.under_way)
        try:
            return await answer(request, respond)
        finally:
            seen.under_way -= 1

    def chat_reply(body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
        wanted = min(body.get("n", 1), behaviour.choices)
        seed = body.get("seed", 0)
        return {"choices": [_chat_choice(seed + i, body, behaviour, i) for i in range(wanted)]}

    def echo_reply(body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
        length = len(tokenize(body["prompt"])) + behaviour.begin
        return {"choices": [_echo_choice(body, behaviour)], "usage": {"prompt_tokens": length}}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await counted(request, chat_reply)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await counted(request, echo_reply)

    return app


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logprobs", choices=("prompt", "sampled", "none"), default="prompt")
    parser.add_argument("--faults", default="", help="comma-separated, one for each request to come")
    parser.add_argument("--retry-after")
    parser.add_argument("--delay", type=float, default=0.0)
    options = vars(parser.parse_args())
    options["faults"] = [fault for fault in options["faults"].split(",") if fault]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            make_app(Behaviour(**options)), log_level="critical", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
