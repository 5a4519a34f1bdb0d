"""A local receiver of webhooks that remembers what came, and can be told to misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """by_key: bodies by idempotency key, in order of arrival. script: answers to give first: a status, "slow", "reset"."""

    def __init__(self, script: list[Any] | None = None) -> None:
        self.by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.order: list[str] = []
        self.script = list(script or [])
        lock = threading.Lock()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                with lock:
                    answer = hook.script.pop(0) if hook.script else 200
                    key = self.headers["webhook-id"]
                    hook.by_key[key].append(json.loads(body))
                    if answer == 200:
                        hook.order.append(key)
                if answer == "reset":
                    self.connection.close()
                    return
                if answer == "slow":
                    time.sleep(3.0)
                    answer = 200
                self.send_response(answer)
                if answer == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
