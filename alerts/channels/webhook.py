"""A signed webhook after Standard Webhooks (https://www.standardwebhooks.com): retries keep their id.

The body is a CloudEvent 1.0 in structured mode (https://github.com/cloudevents/spec); its data is the notification.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from alerts.channels.base import Outcome
from alerts.channels.post import Poster
from alerts.channels.times import iso
from alerts.notification import Notification


def decode_secret(secret: str) -> bytes:
    """`whsec_` and base64, as the standard writes it, or any other text as it stands. Raises ValueError."""
    if not secret:
        raise ValueError("webhook secret is empty")
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("webhook secret begins with whsec_ but the rest is no base64") from None


def sign(secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The webhook-signature header: one `v1,…` for each secret, separated by spaces."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    digests = (hmac.new(decode_secret(s), signed, hashlib.sha256).digest() for s in secrets)
    return " ".join("v1," + base64.b64encode(d).decode() for d in digests)


def cloud_event(n: Notification) -> bytes:
    """The notification as a CloudEvent. It is the same on every attempt, so that one key has one body."""
    event = {
        "specversion": "1.0",
        "id": n.key,
        "source": f"/driftd/models/{quote(n.model)}",
        "type": f"driftd.alert.{n.status}",
        "subject": n.alert,
        "time": iso(n.at_ms or n.window_end_ms),
        "datacontenttype": "application/json",
        "data": json.loads(n.to_json()),
    }
    return json.dumps(event, sort_keys=True, separators=(",", ":")).encode()


def signed_headers(
    secrets: Sequence[str], message_id: str, now_ms: int, body: bytes, content_type: str = "application/json"
) -> dict[str, str]:
    seconds = now_ms // 1000
    headers = {
        "Content-Type": content_type,
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
    }
    if secrets:
        headers["webhook-signature"] = sign(secrets, message_id, seconds, body)
    return headers


@dataclass(frozen=True, slots=True, repr=False)
class WebhookChannel:
    """Posts a CloudEvent. secrets: the new one first, the old one beside it during a rotation."""

    poster: Poster
    secrets: tuple[str, ...] = ()

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        body = cloud_event(notification)
        headers = signed_headers(self.secrets, notification.key, now_ms, body, "application/cloudevents+json")
        return self.poster.post(body, headers, now_ms)
