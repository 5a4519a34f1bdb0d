"""Any system: a signed POST (Standard Webhooks); the job reports back by POST /v1/retrains/{id}."""

from __future__ import annotations

import json
from dataclasses import dataclass

from alerts.channels.base import Failed, Retry
from alerts.channels.post import Poster
from alerts.channels.webhook import signed_headers
from alerts.retraining.adapter import Started, StartOutcome
from alerts.retraining.request import RetrainRequest


@dataclass(frozen=True, slots=True, repr=False)
class WebhookAdapter:
    """secrets: the new one first, the old one beside it during a rotation."""

    poster: Poster
    secrets: tuple[str, ...] = ()

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        body = json.dumps(request.payload(), sort_keys=True, separators=(",", ":")).encode()
        outcome = self.poster.post(body, signed_headers(self.secrets, request.id, now_ms, body), now_ms)
        return outcome if isinstance(outcome, Retry | Failed) else Started()

    def poll(self, run: str, now_ms: int) -> None:
        return None
