"""The page of one rater, on this machine alone: the next item, a judgement, an undo."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from g2r.errors import DependencyError, G2RError, InputError
from g2r.rating.items import Item, Kind
from g2r.rating.judgements import Judgement, JudgementFile

try:
    from fastapi import FastAPI, Request
    from fastapi.responses import FileResponse, JSONResponse, Response
    from starlette.middleware.trustedhost import TrustedHostMiddleware
except ImportError as error:
    raise DependencyError(f"the rating page needs {error.name}: pip install 'g2r[serve]'") from error

_STATIC = Path(__file__).with_name("static")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


class Shown(BaseModel):
    """An item as the rater sees it: nothing tells who said what, or what the item is for."""

    item_id: str
    kind: Kind
    turns: list[str]
    replies: list[str]


class Standing(BaseModel):
    """Where the rater stands; no item when all are judged."""

    rater: str
    done: int
    total: int
    item: Shown | None


class Judged(BaseModel):
    """What the rater says of an item."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    verdict: str
    seconds: float = Field(ge=0, le=86_400)


class Round:
    """One rater's way through the items; what was judged stands in the file alone."""

    def __init__(self, items: Sequence[Item], file: JudgementFile, *, rater: str) -> None:
        self.items = {item.item_id: item for item in items}
        self.file = file
        self.rater = rater

    def standing(self) -> Standing:
        """How many items are judged, and the first that is not."""
        judged = {judgement.item_id for judgement in self.file.judgements(self.rater)}
        left = [item for item_id, item in self.items.items() if item_id not in judged]
        done = len(self.items) - len(left)
        return Standing(rater=self.rater, done=done, total=len(self.items), item=_shown(left))

    def judge(self, judged: Judged) -> Standing:
        """Write a judgement down.

        Raises:
            InputError: there is no such item, it is judged already, or its kind has no such verdict.
        """
        item = self.items.get(judged.item_id)
        if item is None:
            raise InputError("no such item; load the page again")
        self.file.append(
            Judgement.of(item, judged.verdict, rater=self.rater, seconds=round(judged.seconds, 2))
        )
        return self.standing()

    def undo(self) -> Standing:
        """Take the last judgement back; its item comes next.

        Raises:
            InputError: there is none.
        """
        item_id = self.file.undo(self.rater)
        if item_id in self.items:
            self.items = {item_id: self.items.pop(item_id), **self.items}
        return self.standing()


def _shown(left: Sequence[Item]) -> Shown | None:
    if not left:
        return None
    item = left[0]
    return Shown(item_id=item.item_id, kind=item.kind, turns=list(item.turns), replies=list(item.replies))


def create_app(items: Sequence[Item], file: JudgementFile, *, rater: str) -> FastAPI:
    """The application that shows `items` to one rater and writes to `file`."""
    state = Round(items, file, rater=rater)
    app = FastAPI(title="g2r rate", openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.add_api_route("/item", state.standing, methods=["GET"])
    app.add_api_route("/judge", state.judge, methods=["POST"])
    app.add_api_route("/undo", state.undo, methods=["POST"])

    @app.exception_handler(G2RError)
    def refuse(request: Request, error: G2RError) -> JSONResponse:
        return JSONResponse({"message": str(error)}, status_code=409)

    for name in ("index.html", "rate.css", "rate.js"):
        app.add_route("/" if name == "index.html" else f"/{name}", _file(name))
    return app


def _file(name: str) -> Callable[[Request], Response]:
    def send(request: Request) -> Response:
        return FileResponse(_STATIC / name, headers=_HEADERS)

    return send
