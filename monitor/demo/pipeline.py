"""What stands in for a training pipeline: it takes the signed call, trains for a while, and reports back, signed too."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from alerts.channels.webhook import sign, signed_headers

NEW_VERSION = "4"


class Pipeline:
    """calls: the retrain calls that came with a good signature. address: of driftd, known once it serves."""

    def __init__(self, secret: str, train_s: float, clock: Callable[[], int]) -> None:
        self.address = ""
        self.calls: list[dict[str, Any]] = []
        self.trained_ms: int | None = None
        self._secret, self._train_s, self._clock = secret, train_s, clock
        pipeline = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                self.send_response(202 if pipeline.accept(dict(self.headers.items()), body) else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="pipeline", daemon=True).start()

    def accept(self, headers: dict[str, str], body: bytes) -> bool:
        """Begin to train, once for each idempotency key; False for a signature that is not driftd's."""
        given = {name.lower(): value for name, value in headers.items()}
        at = given.get("webhook-timestamp", "")
        if not at.isdigit() or sign([self._secret], given.get("webhook-id", ""), int(at), body) != given.get("webhook-signature"):
            return False
        call = json.loads(body)
        if all(call["retrain_id"] != known["retrain_id"] for known in self.calls):
            self.calls.append(call)
            threading.Thread(target=self._train, args=(call["retrain_id"],), name="training", daemon=True).start()
        return True

    def _train(self, retrain: str) -> None:
        time.sleep(self._train_s)
        report = {"status": "succeeded", "version": NEW_VERSION, "detail": "trained on the rows since the drift began"}
        body = json.dumps(report).encode()
        headers = signed_headers([self._secret], f"{retrain}-done", self._clock(), body)
        request = urllib.request.Request(f"{self.address}/v1/retrains/{retrain}", body, headers, method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        self.trained_ms = self._clock()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
