"""POST /v1/events and /v1/labels: JSON, JSON lines, or either one gzipped; answered once the rows are durable."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from monitor.sources.http_queue import QueueFull
from monitor.web.refusal import Refusal, refusals

DURABLE_S = 60.0  # how long a request waits for its rows to be durable
READ_S = 15.0
RETRY_AFTER_S = 2
Submit = Callable[[str, list[bytes]], "Future[int]"]
_BODY = {"content": {"application/json": {"schema": {}}, "application/x-ndjson": {"schema": {"type": "string"}}}, "required": True}
_ANSWERS = {
    202: {"description": "The rows are durable."},
    **refusals(
        {
            400: "The body cannot be read.",
            404: "The config has no source of type http.",
            408: "The body did not arrive in time.",
            413: "The body is larger than http.body_bytes.",
            415: "The content encoding is not supported.",
            429: "The queue is full; see Retry-After.",
            503: "The rows are not durable yet; see Retry-After.",
        }
    ),
}


def push_routes(submit: Submit | None, body_bytes: int, guards: list[Any]) -> APIRouter:
    """Routes that hand rows to the data loop. submit: None where the config has no HTTP source."""
    router = APIRouter(prefix="/v1", tags=["push"], dependencies=guards)

    async def push(request: Request, role: str) -> Response:
        body = await read_body(request, body_bytes)
        if submit is None:
            raise Refusal(404, "the config has no source of type http; add one to push events")
        values = split(body, body_bytes)
        if not values:
            raise Refusal(400, "the body holds no rows; send a JSON object, a list, or JSON lines")
        try:
            rows = await asyncio.wait_for(asyncio.wrap_future(submit(role, values)), DURABLE_S)
        except QueueFull as error:
            raise Refusal(429, str(error), RETRY_AFTER_S) from error
        except TimeoutError as error:
            text = "the rows are not durable yet; send them again, event ids make them count once"
            raise Refusal(503, text, RETRY_AFTER_S) from error
        return JSONResponse({"rows": rows}, 202)

    @router.post("/events", status_code=202, responses=_ANSWERS, openapi_extra={"requestBody": _BODY})
    async def events(request: Request) -> Response:
        """Push predictions: a JSON object, a list of them, or JSON lines."""
        return await push(request, "events")

    @router.post("/labels", status_code=202, responses=_ANSWERS, openapi_extra={"requestBody": _BODY})
    async def labels(request: Request) -> Response:
        """Push labels of predictions, by event id."""
        return await push(request, "labels")

    return router


async def read_body(request: Request, body_bytes: int) -> bytes:
    """The body, unpacked; never holds more than body_bytes of it."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Refusal(415, f"content-encoding {encoding[:40]!r} is not supported; send gzip or none")
    unpack: Any = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    parts, size = [], 0
    too_large = Refusal(413, f"the body is larger than http.body_bytes = {body_bytes}; send smaller batches")
    try:
        async with asyncio.timeout(READ_S):
            async for chunk in request.stream():
                if unpack is not None:
                    chunk = unpack.decompress(chunk, body_bytes - size + 1)
                    if unpack.unconsumed_tail:
                        raise too_large
                size += len(chunk)
                if size > body_bytes:
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
