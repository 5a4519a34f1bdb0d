"""Channels of the config as live objects."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from alerts.channels.alertmanager import AlertmanagerChannel
from alerts.channels.base import Channel
from alerts.channels.registry import CHANNELS, build_channel
from alerts.channels.retrain import RetrainChannel
from alerts.notification import Notification
from alerts.retraining.policy import RetrainPolicy
from monitor.config import Config
from monitor.config.model import RetrainSettings
from monitor.policies import ACTING, schedule_from, told_of_retrains


def build_channels(cfg: Config, store: Any = None) -> dict[str, Channel]:
    """Channels by name; retrains are recorded in the store. Raises SecretMissing; ValueError for what a channel refuses."""
    channels = {name: build_channel(c.type, _options(cfg, name)) for name, c in cfg.alerts.channels.items()}
    for name, channel in retrain_channels(channels).items():
        channel.name = name
        channel.ledger = None if store is None else store.retrains
    if store is not None:
        store.roll.public_url = cfg.http.public_url or ""
        for name, other in channels.items():
            if isinstance(other, AlertmanagerChannel):
                other.name, other.roll = name, store.roll
    return channels


def paces_ms(cfg: Config) -> dict[str, int]:
    """The least time between two messages of each channel."""
    return {n: CHANNELS[c.type].pace_ms if c.pace_ms is None else c.pace_ms for n, c in cfg.alerts.channels.items()}


def retrain_channels(channels: Mapping[str, Channel]) -> dict[str, RetrainChannel]:
    return {name: c for name, c in channels.items() if isinstance(c, RetrainChannel)}


def retrain_secrets(cfg: Config, name: str) -> tuple[str, ...]:
    """The secrets with which the jobs of a retrain channel sign their reports, the new one first."""
    settings = cfg.alerts.channels.get(name)
    if settings is None or settings.type != "retrain":
        return ()
    given = settings.options()
    return tuple(s for s in (given.get("secret"), given.get("old_secret")) if s)


def _options(cfg: Config, name: str) -> dict[str, Any]:
    settings = cfg.alerts.channels[name]
    if settings.type not in ACTING:
        return settings.options()
    p = settings.policy or RetrainSettings.model_validate({})
    policy = RetrainPolicy(
        on=tuple(p.on), mode=p.mode, quiet=None if p.quiet is None else schedule_from(p.quiet), min_new_labels=p.min_new_labels,
        max_futile=p.max_futile, expires_ms=p.expires_ms, observe_windows=p.observe_windows, observe_ms=p.observe_ms,
        reference=p.reference, tell=told_of_retrains(cfg.alerts, name),
    )  # fmt: skip
    return {**settings.options(), "policy": policy}


def marked_as_test(channel: str, now_ms: int) -> Notification:
    """What `driftd alerts test` sends: marked as a test in every channel."""
    key = str(uuid.uuid4())
    return Notification(
        key=key, alert=key.replace("-", "")[:16], status="test", reason="test", rule="test", severity="info", model="", version="",
        segment="", subject="", score="", value=None, threshold=None, rows=0, window_start_ms=now_ms, window_end_ms=now_ms,
        since_ms=now_ms, format=2, at_ms=now_ms, comment=f"a test of channel {channel}",
    )  # fmt: skip
