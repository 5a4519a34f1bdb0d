"""PagerDuty Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview): trigger, acknowledge, resolve.

One incident an episode: the dedup_key is its thread, so retries and repeats do not open a second one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from alerts.channels.base import Outcome, Skipped
from alerts.channels.post import Poster
from alerts.channels.times import iso
from alerts.notification import Notification
from alerts.words import clean, facts, headline, member_lines, plot_lines

URL = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_CAP, KEY_CAP = 1024, 255
SEVERITIES = {"info": "info", "warning": "warning", "critical": "critical"}
_ACTIONS = {"acknowledged": "acknowledge", "resolved": "resolve"}


def event(n: Notification, routing_key: str) -> dict[str, Any]:
    """The body of one event."""
    action = _ACTIONS.get(n.status, "trigger")
    body: dict[str, Any] = {"routing_key": routing_key, "event_action": action, "dedup_key": n.thread[:KEY_CAP]}
    if n.status == "test" or n.is_note:
        body["dedup_key"] = n.key[:KEY_CAP]
    if action != "trigger":
        return body
    details: dict[str, Any] = dict(facts(n))
    details |= {"members": member_lines(n), "distribution": plot_lines(n.evidence), "idempotency_key": n.key}
    body["payload"] = {
        "summary": headline(n, SUMMARY_CAP),
        "source": clean(f"driftd/{n.model or 'test'}"),
        "severity": SEVERITIES.get(n.severity, "error"),
        "timestamp": iso(n.window_end_ms),
        "component": clean(n.subject),
        "group": clean(n.model),
        "class": clean(n.score),
        "custom_details": details,
    }
    links = [{"href": url, "text": clean(name)} for name, url in n.links.items() if url.startswith("https://")]
    return {**body, "client": "driftd", "links": links}


@dataclass(frozen=True, slots=True, repr=False)
class PagerDutyChannel:
    """routing_key: the integration key of a service, a secret."""

    poster: Poster
    routing_key: str

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        if notification.is_note and notification.severity != "critical":
            return Skipped("a note is no incident")
        body = json.dumps(event(notification, self.routing_key)).encode()
        return self.poster.post(body, {"Content-Type": "application/json"}, now_ms)
