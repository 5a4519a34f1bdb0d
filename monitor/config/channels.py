"""What is wrong with a channel of the config, before anything is sent."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from alerts.channels.registry import CHANNELS, build_channel, check_address
from alerts.retraining.adapters import ADAPTERS
from monitor.config.lines import Path
from monitor.config.model import ChannelSettings
from monitor.config.secret import SecretMissing
from monitor.config.suggest import nearest

STAND_IN = "whsec_" + "A" * 32


def channel_problems(name: str, channel: Any, channels: Collection[str]) -> Iterator[tuple[Path, str, str]]:
    """Build each channel with stand-ins for its secrets: what it refuses now, it would refuse at start."""
    try:
        options = ChannelSettings.model_validate(channel).model_dump(exclude_none=True)
    except ValueError:
        return  # the shape is wrong: said elsewhere
    path: Path = ("alerts", "channels", name)
    kind = options.pop("type")
    known = CHANNELS[kind].options
    for key in channel:
        plain_key = key.removesuffix("_env").removesuffix("_file")
        if key not in ("type", "timeout", "pace") and plain_key not in {k.removesuffix("_ms") for k in known}:
            allowed = ", ".join([*(k.removesuffix("_ms") for k in known), "timeout", "pace"])
            yield (*path, key), f"means nothing for a channel of type {kind}", f"remove it; {kind} has {allowed}"
    plain = {k.removesuffix("_env").removesuffix("_file"): v for k, v in options.items() if k != "policy"}
    told = (options.get("policy") or {}).get("tell", [])
    for i, other in enumerate(told):
        if other not in channels or other == name:
            yield (*path, "policy", "tell", i), f"there is no channel {other!r} to tell", nearest(str(other), channels)
    if kind == "retrain":
        adapter = options.get("adapter") or "webhook"
        if adapter not in ADAPTERS:
            yield (*path, "adapter"), f"there is no retrain adapter {adapter!r}", nearest(str(adapter), ADAPTERS)
            return
        secrets = ADAPTERS[adapter].secrets
        given = {k.removesuffix("_env").removesuffix("_file"): v for k, v in (plain.get("adapter_options") or {}).items()}
        options_known = (*ADAPTERS[adapter].options, "allow_private")
        unknown = [k for k in given if k not in options_known]
        for key in unknown:
            written = next(k for k in plain["adapter_options"] if k.removesuffix("_env").removesuffix("_file") == key)
            yield (*path, "options", written), f"means nothing for the adapter {adapter}", nearest(key, options_known)
        plain["adapter_options"] = {k: STAND_IN if k in secrets else v for k, v in given.items() if k not in unknown}
    for key in list(plain):
        if key in ("secret", "old_secret"):
            plain[key] = STAND_IN
        elif key == "webhook_url":
            plain[key] = "https://hooks.slack.com/services/T/B/x"
    try:
        build_channel(kind, plain)
        check_address(kind, plain, _literal)
    except (ValueError, OSError) as error:
        yield (*path, *_address_field(channel)), str(error), "see alerts.channels in config.yaml"


def address_problems(channels: Mapping[str, ChannelSettings]) -> Iterator[tuple[Path, str]]:
    """Where channels whose address is a secret must not connect to; the address itself is in no text."""
    for name, settings in channels.items():
        with contextlib.suppress(SecretMissing):  # said elsewhere
            options = settings.options()
            try:
                check_address(settings.type, options, _literal)
            except (ValueError, OSError) as error:
                yield ("alerts", "channels", name, *_address_field(settings.model_dump(exclude_none=True))), str(error)


def _address_field(channel: Mapping[str, Any]) -> Path:
    """The key that says where a channel connects to."""
    if isinstance(inner := channel.get("options", channel.get("adapter_options")), dict) and "url" in inner:
        return ("options", "url")
    return (next((k for k in ("url", "webhook_url_env", "webhook_url_file", "host") if channel.get(k)), "type"),)


def _literal(host: str, port: int) -> list[str]:
    """The address that a host is, where it is written as a number; names are resolved when they are used, and checked then."""
    if host.lower().rstrip(".").endswith("localhost"):
        return ["127.0.0.1"]
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
    except socket.gaierror:
        return ["8.8.8.8"]
