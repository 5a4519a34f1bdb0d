"""The adapters by the name that `adapter` has in a retrain channel's config.

Options are plain values; whoever reads the config has already read secrets from the environment or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alerts.channels.post import Poster
from alerts.channels.webhook import decode_secret
from alerts.retraining.adapter import Adapter
from alerts.retraining.webhook import WebhookAdapter

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AdapterType:
    """How an adapter is built, and which options mean something for it, besides url, allow_private and timeout_s."""

    build: Callable[[Options], Adapter]
    options: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()  # those of the options that are secrets


def _webhook(options: Options) -> Adapter:
    if not options.get("url"):
        raise ValueError("retrain channel with adapter webhook: url is missing")
    secrets = tuple(s for s in (options.get("secret"), options.get("old_secret")) if s)
    for secret in secrets:
        decode_secret(secret)
    poster = Poster(options["url"], float(options.get("timeout_s", 10.0)), bool(options.get("allow_private", False)))
    return WebhookAdapter(poster, secrets)


ADAPTERS: dict[str, AdapterType] = {
    "webhook": AdapterType(_webhook, ("secret", "old_secret"), ("secret", "old_secret")),
}


def build_adapter(name: str, options: Options) -> Adapter:
    """Raises ValueError that says what is missing or not known."""
    if name not in ADAPTERS:
        raise ValueError(f"retrain adapter is {name!r}, must be one of {', '.join(ADAPTERS)}")
    known = {"url", "allow_private", "timeout_s", *ADAPTERS[name].options}
    for option in options:
        if option not in known:
            raise ValueError(f"adapter {name} knows no option {option!r}; it has {', '.join(sorted(known - {'timeout_s'}))}")
    return ADAPTERS[name].build(options)
