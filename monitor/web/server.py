"""The HTTP side: FastAPI on uvicorn, in one thread of its own.

/metrics, /healthy, /ready          for Prometheus and Kubernetes
/v1/events, /v1/labels              push.py
/v1/…                               read.py and act.py, described by /v1/openapi.json
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from monitor.health import Health
from monitor.metrics import Metrics
from monitor.model import Model
from monitor.store.errors import StoreError, StoreUnavailable
from monitor.store.paging import BadCursor
from monitor.web.access import Access, Caller
from monitor.web.act import act_routes
from monitor.web.page import page_routes
from monitor.web.push import Submit, push_routes
from monitor.web.read import read_routes
from monitor.web.refusal import Refusal, refusals
from monitor.web.retrains import reset_route, retrain_routes
from monitor.web.shapes import MayAct

MAX_ERRORS = 10
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What the API shows, besides metrics and health; without a store there is no reading."""

    store: Any
    models: dict[str, Model]
    segments: dict[str, list[str]]
    clock: Callable[[], int]
    config: str = ""
    version: str = ""
    retrain_secrets: Callable[[str], tuple[str, ...]] = lambda channel: ()
    tags: Collection[str] = ()


class WebServer:
    """Serves until stop(). address is known after start()."""

    def __init__(
        self, listen: str, metrics: Metrics, health: Health, submit: Submit | None, access: Access, body_bytes: int,
        shown: Shown | None = None,
    ) -> None:  # fmt: skip
        self._listen = listen
        self.address = ""
        self.app = build_app(metrics, health, submit, access, body_bytes, shown)

    def start(self) -> None:
        """Raises OSError where the address cannot be listened on."""
        host, _, port = self._listen.rpartition(":")
        host = host.strip("[]") or "0.0.0.0"
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, int(port)))
        except OSError as error:
            listener.close()
            raise OSError(f"http.listen: cannot listen on {self._listen}: {error.strerror}; choose another port") from error
        listener.listen(128)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=5, server_header=False,
            limit_concurrency=200, timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._run, args=(listener,), name="web", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10.0
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _run(self, listener: socket.socket) -> None:
        asyncio.run(self._server.serve(sockets=[listener]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(5.0)


def build_app(
    metrics: Metrics, health: Health, submit: Submit | None, access: Access, body_bytes: int, shown: Shown | None
) -> FastAPI:
    """Every route names its scope by its guard; tests/test_web_api.py holds that."""
    version = shown.version if shown else ""
    app = FastAPI(
        title="driftd", version=version or "0", openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None,
        description="What driftd shows and what people do with it. Times are milliseconds since 1970 UTC.",
        responses=refusals({401: "A token is needed.", 403: "The token may not, or acting is off.", 421: "No host that is served.",
                            422: "A value cannot be.", 503: "The store is away; see Retry-After."}),
    )  # fmt: skip

    def guard(scope: str) -> Callable[..., Caller]:
        def admit(request: Request) -> Caller:
            return access.admit(request.headers.get("authorization", ""), scope)

        admit.scope = scope  # type: ignore[attr-defined]
        return admit

    reads, ingests, acts = guard("read"), guard("ingest"), guard("act")
    app.include_router(_probes(metrics, health, [Depends(reads)]))
    app.include_router(push_routes(submit, body_bytes, [Depends(ingests)]))
    if shown is not None:
        s = shown
        routes = read_routes(s.store, s.models, s.segments, health, version, s.config, s.clock, [Depends(reads)])
        app.include_router(routes)
        app.include_router(_access(access, [Depends(reads)]))
        app.include_router(act_routes(s.store, s.clock, s.tags, acts, [Depends(acts)]))
        app.include_router(retrain_routes(s.store, s.clock, access, s.retrain_secrets, reads, acts))
        app.include_router(page_routes())
        app.include_router(reset_route(s.store, s.clock, set(s.models), acts))

    @app.middleware("http")
    async def outer(request: Request, following: Callable[[Request], Any]) -> Response:
        try:
            access.check_host(request.headers.get("host", ""))
            response: Response = await following(request)
        except Refusal as error:
            response = _refused(request, error)
        for name, value in SAFE_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    for kind, answer in _ERRORS.items():
        app.add_exception_handler(kind, answer)
    return app


def _probes(metrics: Metrics, health: Health, guards: list[Any]) -> APIRouter:
    router = APIRouter(tags=["probes"])

    @router.get("/metrics", dependencies=guards, response_class=Response)
    def page(request: Request) -> Response:
        """The page that Prometheus scrapes."""
        body, kind = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": kind})

    @router.get("/healthy", responses={503: {"description": "The data loop stands still."}})
    def healthy() -> JSONResponse:
        """Whether the data loop turns."""
        turns = health.healthy()
        return JSONResponse({"healthy": turns}, 200 if turns else 503)

    @router.get("/ready", responses={503: {"description": "Not ready, and why."}})
    def ready() -> JSONResponse:
        """Whether the store answers, partitions are assigned, and their lag is known."""
        good, state = health.ready()
        return JSONResponse({"ready": good, **state}, 200 if good else 503)

    return router


def _access(access: Access, guards: list[Any]) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["read"], dependencies=guards)

    @router.get("/access")
    def may_act(request: Request) -> MayAct:
        """Whether whoever asks may act, or only look."""
        token = access.token(request.headers.get("authorization", ""))
        return MayAct(name="" if token is None else token.name, may_act=access.may_act(token))

    return router


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return JSONResponse({"error": error.message}, error.status, headers=headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:MAX_ERRORS]]
    return JSONResponse({"error": "; ".join(places), "detail": places}, 422)


def _plain(request: Request, error: Exception) -> Response:
    """What the framework refuses: no such path or method, a body that is no JSON."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)


def _away(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the store is away; try again"}, 503, headers={"Retry-After": "2"})


_ERRORS: dict[type[Exception], Callable[[Request, Exception], Response]] = {
    Refusal: _refused,
    HTTPException: _plain,
    RequestValidationError: _invalid,
    BadCursor: lambda request, error: JSONResponse({"error": str(error)}, 400),
    StoreUnavailable: _away,
    StoreError: lambda request, error: JSONResponse({"error": "the store refused; see the log"}, 500),
}
