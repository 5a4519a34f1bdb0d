"""The channels by the name that `type` has in the config.

Options are plain values; whoever reads the config has already read secrets from the environment or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from alerts.channels import opsgenie, pagerduty
from alerts.channels.address import Resolve, check_host, check_target, resolve
from alerts.channels.alertmanager import AlertmanagerChannel
from alerts.channels.base import Channel
from alerts.channels.discord import DiscordChannel
from alerts.channels.email import EmailChannel
from alerts.channels.log import LogChannel
from alerts.channels.opsgenie import OpsgenieChannel
from alerts.channels.pagerduty import PagerDutyChannel
from alerts.channels.post import Poster
from alerts.channels.retrain import RetrainChannel
from alerts.channels.slack import SlackBotChannel, SlackWebhookChannel
from alerts.channels.teams import TeamsChannel
from alerts.channels.webhook import WebhookChannel, decode_secret
from alerts.retraining.adapters import ADAPTERS, build_adapter
from alerts.retraining.policy import RetrainPolicy

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChannelType:
    """How a channel is built, and which options of the config mean something for it."""

    build: Callable[[Options], Channel]
    options: tuple[str, ...] = ()
    pace_ms: int = 0  # between two messages, by the receiver's documented limit
    address: Callable[[Options], str] = lambda options: ""  # where it connects to: a URL, smtp://HOST:PORT, or "" for nowhere


def _timeout_s(options: Options) -> float:
    return float(options.get("timeout_s", 10.0))


def _need(options: Options, name: str, what: str) -> Any:
    if not options.get(name):
        raise ValueError(what)
    return options[name]


def _slack(options: Options) -> Channel:
    if options.get("webhook_url"):
        return SlackWebhookChannel(_hidden(options, "slack"))
    if (token := options.get("bot_token")) and (channel := options.get("channel")):
        return SlackBotChannel(token, channel, _timeout_s(options), picture=bool(options.get("picture", False)))
    raise ValueError("slack channel: give webhook_url_env, or bot_token_env and channel")


def _poster(options: Options, url: str | None = None) -> Poster:
    url = options.get("url") or url
    if not url:
        raise ValueError("webhook channel: url is missing")
    return Poster(url, _timeout_s(options), bool(options.get("allow_private", False)))


def _secrets(options: Options) -> tuple[str, ...]:
    secrets = tuple(s for s in (options.get("secret"), options.get("old_secret")) if s)
    for secret in secrets:
        decode_secret(secret)
    return secrets


def _retrain(options: Options) -> Channel:
    """policy, where there is one, is a RetrainPolicy; cooldown_ms and max_per_day stand beside it in the config."""
    limits = {name: int(options[name]) for name in ("cooldown_ms", "max_per_day") if options.get(name) is not None}
    policy = replace(options.get("policy") or RetrainPolicy(), **limits)
    name = options.get("adapter") or "webhook"
    # secret and old_secret also sign what jobs report back, whatever the adapter is
    plain = ("url", "allow_private", "timeout_s", *(("secret", "old_secret") if name == "webhook" else ()))
    given = {key: options[key] for key in plain if options.get(key) is not None}
    adapter = build_adapter(name, {**given, **(options.get("adapter_options") or {})})
    return RetrainChannel(adapter, policy)


def _pagerduty(options: Options) -> Channel:
    key = _need(options, "routing_key", "pagerduty channel: give routing_key_env or routing_key_file")
    return PagerDutyChannel(_poster(options, pagerduty.URL), key)


def _opsgenie(options: Options) -> Channel:
    key = _need(options, "api_key", "opsgenie channel: give api_key_env or api_key_file")
    return OpsgenieChannel(_poster(options, opsgenie.URL), key)


def _hidden(options: Options, kind: str) -> Poster:
    url = _need(options, "webhook_url", f"{kind} channel: give webhook_url_env or webhook_url_file")
    return Poster(url, _timeout_s(options), bool(options.get("allow_private", False)))


def _email(options: Options) -> Channel:
    host = _need(options, "host", "email channel: host is missing")
    sender = _need(options, "sender", "email channel: sender is missing")
    recipients = tuple(_need(options, "recipients", "email channel: recipients is empty"))
    for address in (sender, *recipients):
        name, _, domain = str(address).rpartition("@")
        if not name or not domain or any(c.isspace() or c in ",;<>" for c in address):
            raise ValueError(f"email channel: {address!r} is no plain address, as in ops@example.com")
    security = options.get("security", "starttls")
    if security == "none" and (options.get("username") or not options.get("allow_private")):
        raise ValueError(
            "email channel: security: none sends all in the clear: only without username, and with allow_private: true"
        )
    return EmailChannel(
        host, _smtp_port(options), sender, recipients, options.get("username") or "", options.get("password") or "", security,
        _timeout_s(options), bool(options.get("allow_private", False)),
    )  # fmt: skip


def _smtp_port(options: Options) -> int:
    return int(options.get("port") or {"starttls": 587, "tls": 465, "none": 25}[options.get("security", "starttls")])


def _retrain_address(options: Options) -> str:
    kind = ADAPTERS.get(options.get("adapter") or "webhook")
    return "" if kind is None else kind.address({"url": options.get("url"), **(options.get("adapter_options") or {})})


def _given(name: str, default: str = "") -> Callable[[Options], str]:
    return lambda options: str(options.get(name) or default)


def _alertmanager(options: Options) -> Channel:
    url = _need(options, "url", "alertmanager channel: url is missing, as in http://alertmanager:9093")
    poster = _poster({**options, "url": url.rstrip("/").removesuffix("/api/v2/alerts") + "/api/v2/alerts"})
    return AlertmanagerChannel(poster, options.get("token") or "")


CHANNELS: dict[str, ChannelType] = {
    "log": ChannelType(lambda options: LogChannel()),
    "slack": ChannelType(_slack, ("webhook_url", "bot_token", "channel", "picture", "allow_private"), 1_000,
                         _given("webhook_url", "https://slack.com")),
    "webhook": ChannelType(lambda o: WebhookChannel(_poster(o), _secrets(o)), ("url", "secret", "old_secret", "allow_private"),
                           address=_given("url")),
    "pagerduty": ChannelType(_pagerduty, ("routing_key", "url", "allow_private"), 500, _given("url", pagerduty.URL)),
    "opsgenie": ChannelType(_opsgenie, ("api_key", "url", "allow_private"), 250, _given("url", opsgenie.URL)),
    "teams": ChannelType(lambda o: TeamsChannel(_hidden(o, "teams")), ("webhook_url", "allow_private"), 250,
                         _given("webhook_url")),
    "discord": ChannelType(lambda o: DiscordChannel(_hidden(o, "discord")), ("webhook_url", "allow_private"), 2_000,
                           _given("webhook_url")),
    "email": ChannelType(
        _email, ("host", "port", "sender", "recipients", "username", "password", "security", "allow_private"),
        address=lambda o: f"smtp://{o['host']}:{_smtp_port(o)}" if o.get("host") else "",
    ),
    "alertmanager": ChannelType(_alertmanager, ("url", "token", "allow_private"), address=_given("url")),
    "retrain": ChannelType(
        _retrain,
        ("adapter", "url", "secret", "old_secret", "options", "policy", "cooldown_ms", "max_per_day", "allow_private"),
        address=_retrain_address,
    ),
}  # fmt: skip


def check_address(type_name: str, options: Options, resolve: Resolve = resolve) -> None:
    """Raises UnsafeAddress (which tells the host, never a secret URL) for where a channel must not connect to; OSError, ValueError."""
    url = CHANNELS[type_name].address(options)
    allowed = bool({**options, **(options.get("adapter_options") or {})}.get("allow_private"))
    if url.startswith("smtp://"):
        parts = urlsplit(url)
        check_host(parts.hostname or "", parts.port or 25, allowed, resolve)
    elif url:
        check_target(url, allowed, resolve)


def build_channel(type_name: str, options: Options) -> Channel:
    """A channel from the options that its type names, and timeout_s. Raises ValueError that says what is missing."""
    if type_name not in CHANNELS:
        raise ValueError(f"channel type is {type_name!r}, must be one of {', '.join(CHANNELS)}")
    return CHANNELS[type_name].build(options)
