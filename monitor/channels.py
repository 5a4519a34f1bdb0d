"""Channels of the config as live objects."""

from __future__ import annotations

import uuid

from alerts.channels import build_channel
from alerts.channels.base import Channel
from alerts.notification import Notification
from monitor.config import Config


def build_channels(cfg: Config) -> dict[str, Channel]:
    """Channels by name. Raises SecretMissing; ValueError for what a channel refuses."""
    return {name: build_channel(c.type, c.options()) for name, c in cfg.alerts.channels.items()}


def marked_as_test(channel: str, now_ms: int) -> Notification:
    """What `driftd alerts test` sends: marked as a test in every channel."""
    key = str(uuid.uuid4())
    return Notification(
        key=key, alert=key.replace("-", "")[:16], status="test", reason="test", rule="test", severity="info", model="", version="",
        segment="", subject="", score="", value=None, threshold=None, rows=0, window_start_ms=now_ms, window_end_ms=now_ms,
        since_ms=now_ms, format=2, at_ms=now_ms, comment=f"a test of channel {channel}",
    )  # fmt: skip
