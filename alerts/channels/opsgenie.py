"""Opsgenie's Alert API (https://docs.opsgenie.com/docs/alert-api): create, acknowledge, close, by alias.

The alias is the episode's thread: Opsgenie counts repeats of it instead of opening another alert.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from alerts.channels.base import Outcome, Skipped
from alerts.channels.post import Poster
from alerts.notification import Notification
from alerts.words import clean, facts, headline, member_lines, plain_text

URL = "https://api.opsgenie.com/v2/alerts"
MESSAGE_CAP, ALIAS_CAP, TEXT_CAP, TAG_CAP, TAGS_MOST = 130, 512, 15_000, 50, 20
PRIORITIES = {"critical": "P1", "warning": "P3", "info": "P5"}


def request(n: Notification, url: str) -> tuple[str, dict[str, Any]]:
    """The address and body for a notification."""
    alias = (n.key if n.status == "test" or n.is_note else n.thread)[:ALIAS_CAP]
    one = f"{url}/{quote(alias, safe='')}"
    note = {"source": "driftd", "user": clean(n.author or "driftd", 100), "note": plain_text(n)[:TEXT_CAP]}
    if n.is_over:
        return f"{one}/close?identifierType=alias", note
    if n.status == "acknowledged":
        return f"{one}/acknowledge?identifierType=alias", note
    tags = [clean(t, TAG_CAP) for t in (n.model, n.rule, n.severity, *(f"{k}:{v}" for k, v in sorted(n.labels.items()))) if t]
    details = {name: value[:8000] for name, value in facts(n)}
    if members := member_lines(n):
        details["Members"] = "\n".join(members)[:8000]
    return url, {
        "message": headline(n, MESSAGE_CAP),
        "alias": alias,
        "description": plain_text(n)[:TEXT_CAP],
        "tags": list(dict.fromkeys(tags))[:TAGS_MOST],
        "details": {**details, "idempotency_key": n.key},
        "entity": clean(n.model, 512),
        "source": "driftd",
        "priority": "P5" if n.status == "test" else PRIORITIES.get(n.severity, "P3"),
    }


@dataclass(frozen=True, slots=True, repr=False)
class OpsgenieChannel:
    """api_key: of an API integration, a secret. The EU's address is https://api.eu.opsgenie.com/v2/alerts."""

    poster: Poster
    api_key: str

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        if notification.is_note and notification.severity != "critical":
            return Skipped("a note is no alert")
        url, body = request(notification, self.poster.url.rstrip("/"))
        headers = {"Content-Type": "application/json", "Authorization": f"GenieKey {self.api_key}"}
        return replace(self.poster, url=url).post(json.dumps(body).encode(), headers, now_ms)
