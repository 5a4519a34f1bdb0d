"""The channels by the name that `type` has in the config.

Options are plain values; whoever reads the config has already read secrets from the environment or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alerts.channels.base import Channel
from alerts.channels.log import LogChannel
from alerts.channels.post import Poster
from alerts.channels.retrain import Policy, RetrainChannel
from alerts.channels.slack import SlackBotChannel, SlackWebhookChannel
from alerts.channels.webhook import WebhookChannel, decode_secret


def _slack(options: Mapping[str, Any]) -> Channel:
    timeout_s = float(options.get("timeout_s", 10.0))
    if url := options.get("webhook_url"):
        return SlackWebhookChannel(url, timeout_s)
    if (token := options.get("bot_token")) and (channel := options.get("channel")):
        return SlackBotChannel(token, channel, timeout_s)
    raise ValueError("slack channel: give webhook_url_env, or bot_token_env and channel")


def _poster(options: Mapping[str, Any]) -> Poster:
    if not options.get("url"):
        raise ValueError("webhook channel: url is missing")
    return Poster(options["url"], float(options.get("timeout_s", 10.0)), bool(options.get("allow_private", False)))


def _secrets(options: Mapping[str, Any]) -> tuple[str, ...]:
    secrets = tuple(s for s in (options.get("secret"), options.get("old_secret")) if s)
    for secret in secrets:
        decode_secret(secret)
    return secrets


def _retrain(options: Mapping[str, Any]) -> Channel:
    default = Policy()
    policy = Policy(
        int(options.get("cooldown_ms", default.cooldown_ms)),
        int(options.get("max_per_day", default.max_per_day)),
    )
    return RetrainChannel(_poster(options), _secrets(options), policy)


CHANNELS: dict[str, Callable[[Mapping[str, Any]], Channel]] = {
    "log": lambda options: LogChannel(),
    "slack": _slack,
    "webhook": lambda options: WebhookChannel(_poster(options), _secrets(options)),
    "retrain": _retrain,
}


def build_channel(type_name: str, options: Mapping[str, Any]) -> Channel:
    """A channel from options: url, secret, old_secret, webhook_url, bot_token, channel, allow_private,
    timeout_s, cooldown_ms, max_per_day. Raises ValueError that names what is missing."""
    if type_name not in CHANNELS:
        raise ValueError(f"channel type is {type_name!r}, must be one of {', '.join(CHANNELS)}")
    return CHANNELS[type_name](options)
