"""The built-in page: static files of monitor/web/static, no build step, no outside address. It holds no data; the API does."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from monitor.web.refusal import Refusal

KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml", ".LICENSE": "text/plain; charset=utf-8"}  # fmt: skip
PLACES = ("/", "/alerts", "/alerts/{a}", "/retrains", "/retrains/{a}", "/status", "/models/{a}", "/models/{a}/features/{b:path}")


def load() -> dict[str, tuple[bytes, str]]:
    """Every file of the page: its path below static/ -> (bytes, content type). Read once: nothing else can be asked for."""
    out: dict[str, tuple[bytes, str]] = {}
    root = files("monitor.web") / "static"
    for folder in ("", "views", "vendor"):
        for item in (root / folder if folder else root).iterdir():
            ending = "." + item.name.rpartition(".")[2]
            if item.is_file() and ending in KINDS:
                out[f"{folder}/{item.name}" if folder else item.name] = (item.read_bytes(), KINDS[ending])
    return out


def page_routes() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    found = load()

    def serve(name: str) -> Response:
        if name not in found:
            raise Refusal(404, "there is no such file")
        body, kind = found[name]
        return Response(body, headers={"content-type": kind, "Cache-Control": "no-cache"})

    @router.get("/static/{name:path}")
    def static(name: str) -> Response:
        return serve(name)

    def index() -> Response:
        return serve("index.html")

    for place in PLACES:
        router.add_api_route(place, index, methods=["GET"])
    return router
