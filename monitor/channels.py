"""Channels of the config as live objects."""

from __future__ import annotations

from alerts.channels import build_channel
from alerts.channels.base import Channel
from monitor.config import Config


def build_channels(cfg: Config) -> dict[str, Channel]:
    """Channels by name. Raises SecretMissing; ValueError for what a channel refuses."""
    return {name: build_channel(c.type, c.options()) for name, c in cfg.alerts.channels.items()}
