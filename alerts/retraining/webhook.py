"""Any system: a signed POST (Standard Webhooks); the job reports back by POST /v1/retrains/{id}."""

from __future__ import annotations

import json
from dataclasses import dataclass

from alerts.channels.fetch import Answer, fetch
from alerts.channels.post import Poster
from alerts.channels.webhook import decode_secret, signed_headers
from alerts.retraining.adapter import Started, StartOutcome, refused
from alerts.retraining.options import Options, safe_name
from alerts.retraining.request import RetrainRequest


@dataclass(frozen=True, slots=True, repr=False)
class WebhookAdapter:
    """secrets: the new one first, the old one beside it during a rotation."""

    poster: Poster
    secrets: tuple[str, ...] = ()

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        body = json.dumps(request.payload(), sort_keys=True, separators=(",", ":")).encode()
        message_id = request.id if request.id.isascii() and request.id.isprintable() else safe_name(request.id)
        headers, p = signed_headers(self.secrets, message_id, now_ms, body), self.poster
        answer = fetch("POST", p.url, body, headers, now_ms, p.timeout_s, p.allow_private, p.resolve)
        if not isinstance(answer, Answer):
            return answer
        return Started() if 200 <= answer.status < 300 else refused(answer, "the receiver")

    def poll(self, run: str, now_ms: int) -> None:
        return None


def build(options: Options) -> WebhookAdapter:
    secrets = tuple(s for s in (options.get("secret"), options.get("old_secret")) if s)
    for secret in secrets:
        decode_secret(secret)
    poster = Poster(options["url"], float(options.get("timeout_s", 10.0)), bool(options.get("allow_private", False)))
    return WebhookAdapter(poster, secrets)
