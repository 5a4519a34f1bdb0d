"""Secrets: named in the config, kept in the environment or in a file, read when they are needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

MASK = "********"
WORDS = ("password", "secret", "token", "api_key", "apikey", "webhook_url", "private_key", "routing_key", "sasl.jaas")


NAMED_BY_USERS = frozenset({"features", "columns", "thresholds", "lineage"})  # their keys are names of the user's own: tokens_in


class SecretMissing(ValueError):
    """The variable or file that a secret is named by is not there."""


def is_secret(name: str) -> bool:
    """Whether a key of this name must not stand in the config with its value."""
    lowered = name.lower()
    return any(word in lowered for word in WORDS) and not lowered.endswith(("_env", "_file"))


def read_secret(env: str | None, file: str | None) -> str | None:
    """The secret that one of the two names, None if neither does. Raises SecretMissing."""
    if env:
        value = os.environ.get(env)
        if not value:
            raise SecretMissing(f"environment variable {env} is not set; export it before driftd starts")
        return value
    if file:
        try:
            value = Path(file).read_text().strip()
        except OSError as error:
            raise SecretMissing(f"file {file}: {error.strerror}; create it or mount it") from error
        if not value:
            raise SecretMissing(f"file {file} is empty; write the secret into it")
        return value
    return None


def resolve(options: dict[str, Any]) -> dict[str, Any]:
    """Options with each `x_env` and `x_file` replaced by `x` and its secret. Raises SecretMissing."""
    out: dict[str, Any] = {}
    for name, value in options.items():
        if name.endswith("_env"):
            out[name.removesuffix("_env")] = read_secret(str(value), None)
        elif name.endswith("_file"):
            out[name.removesuffix("_file")] = read_secret(None, str(value))
        else:
            out[name] = value
    return out


def masked(value: Any, name: str = "") -> Any:
    """A copy fit for people: what is named like a secret shows as stars."""
    if isinstance(value, dict):
        return {k: v if k in NAMED_BY_USERS else masked(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(v, name) for v in value]
    return MASK if value is not None and is_secret(name) else value
