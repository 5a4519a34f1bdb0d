"""HTTP: /metrics for Prometheus, /healthy and /ready for Kubernetes, /v1/events and /v1/labels for pushing.

Starlette on uvicorn, in one thread of its own. Bodies are JSON, JSON lines, or either one gzipped.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monitor.health import Health
from monitor.metrics import Metrics
from monitor.sources.http_queue import QueueFull

DURABLE_S = 60.0  # how long a request waits for its rows to be durable
READ_S = 15.0
RETRY_AFTER_S = 2
Submit = Callable[[str, list[bytes]], "Future[int]"]


class Refusal(Exception):
    """An answer that is not 2xx, with what to do about it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class WebServer:
    """Serves until stop(). address is known after start()."""

    def __init__(
        self, listen: str, metrics: Metrics, health: Health, submit: Submit | None, token: str | None, body_bytes: int
    ) -> None:
        self._listen, self._metrics, self._health = listen, metrics, health
        self._submit, self._token, self._body_bytes = submit, token, body_bytes
        self.address = ""
        routes = [
            Route("/metrics", self._serve_metrics),
            Route("/healthy", self._healthy),
            Route("/ready", self._ready),
            Route("/v1/events", self._push, methods=["POST"]),
            Route("/v1/labels", self._push, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={Refusal: _refused})

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

    # routes

    async def _serve_metrics(self, request: Request) -> Response:
        self._authorize(request)
        body, kind = self._metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": kind})

    async def _healthy(self, request: Request) -> Response:
        healthy = self._health.healthy()
        return JSONResponse({"healthy": healthy}, 200 if healthy else 503)

    async def _ready(self, request: Request) -> Response:
        ready, state = self._health.ready()
        return JSONResponse({"ready": ready, **state}, 200 if ready else 503)

    async def _push(self, request: Request) -> Response:
        self._authorize(request)
        if self._submit is None:
            raise Refusal(404, "the config has no source of type http; add one to push events")
        body = await self._body(request)
        values = split(body, self._body_bytes)
        role = "events" if request.url.path.endswith("events") else "labels"
        if not values:
            raise Refusal(400, "the body holds no rows; send a JSON object, a list, or JSON lines")
        try:
            done = self._submit(role, values)
            rows = await asyncio.wait_for(asyncio.wrap_future(done), DURABLE_S)
        except QueueFull as error:
            return JSONResponse({"error": str(error)}, 429, headers={"Retry-After": str(RETRY_AFTER_S)})
        except TimeoutError:
            body_text = {"error": "the rows are not durable yet; send them again, event ids make them count once"}
            return JSONResponse(body_text, 503, headers={"Retry-After": str(RETRY_AFTER_S)})
        return JSONResponse({"rows": rows}, 202)

    def _authorize(self, request: Request) -> None:
        if self._token is None:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise Refusal(401, "send the header Authorization: Bearer with the token of http.token_env")

    async def _body(self, request: Request) -> bytes:
        """The body, unpacked; never holds more than body_bytes of it."""
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise Refusal(415, f"content-encoding {encoding[:40]!r} is not supported; send gzip or none")
        unpack: Any = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        parts, size = [], 0
        too_large = Refusal(413, f"the body is larger than http.body_bytes = {self._body_bytes}; send smaller batches")
        try:
            async with asyncio.timeout(READ_S):
                async for chunk in request.stream():
                    if unpack is not None:
                        chunk = unpack.decompress(chunk, self._body_bytes - size + 1)
                        if unpack.unconsumed_tail:
                            raise too_large
                    size += len(chunk)
                    if size > self._body_bytes:
                        raise too_large
                    parts.append(chunk)
        except zlib.error as error:
            raise Refusal(400, f"the body is not gzip: {error}") from error
        except TimeoutError as error:
            raise Refusal(408, f"the body did not arrive within {READ_S:.0f} s") from error
        except ClientDisconnect as error:
            raise Refusal(400, "the client left") from error
        if unpack is not None and not unpack.eof:
            raise Refusal(400, "the gzip body is cut short")
        return b"".join(parts)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse({"error": error.message}, error.status, headers=headers)


def split(body: bytes, body_bytes: int) -> list[bytes]:
    """The rows of a body: one JSON document, a list of them, or one a line."""
    text = body.strip()
    if text[:1] == b"[":
        try:
            items = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [text]  # the decoder says what is wrong with it, in a dead letter
        return [orjson.dumps(item) for item in items]
    lines = [line for line in text.split(b"\n") if line.strip()]
    if len(lines) > 1 and not all(line.lstrip()[:1] == b"{" and line.rstrip()[-1:] == b"}" for line in lines):
        try:
            orjson.loads(text)
            return [text]  # one object over several lines
        except orjson.JSONDecodeError:
            pass
    return lines
