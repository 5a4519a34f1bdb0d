"""Reading an adapter's options, and what of a request goes to which name of the system's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from alerts.retraining.client import Client, basic
from alerts.retraining.request import RetrainRequest

Options = Mapping[str, Any]

# What `parameters` may name: RetrainRequest.parameters(), and the whole request as JSON.
FIELDS = (
    "request", "retrain_id", "idempotency_key", "type", "model", "version", "segment", "reason", "kind", "rule", "severity",
    "alert", "window_start_ms", "window_end_ms", "since_ms", "reference", "metric", "evidence", "lineage", "rows",
)  # fmt: skip
DEFAULT_PARAMETERS = {"retrain_id": "retrain_id", "request": "request"}


def text_of(options: Options, name: str, default: str = "") -> str:
    """Raises ValueError for what is no text."""
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError(f"{name} is {value!r}, must be text")
    return str(value)


def mapping_of(options: Options, default: Mapping[str, str], allowed: str = r".+") -> dict[str, str]:
    """`parameters`: name in the system -> field of the request. Raises ValueError for a field that requests do not have."""
    given = options.get("parameters")
    if given is None:
        return dict(default)
    if not isinstance(given, dict) or not given:
        raise ValueError("parameters is no mapping: write {NAME_IN_THE_SYSTEM: field}, as in {model: model, rows: rows}")
    for name, field in given.items():
        if not isinstance(name, str) or not re.fullmatch(allowed, name):
            raise ValueError(f"parameters: {name!r} is no name that the system takes; it must match {allowed}")
        if field not in FIELDS:
            close = get_close_matches(str(field), FIELDS, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"parameters.{name} is {field!r}, no field of a request: {hint}allowed: {', '.join(FIELDS)}")
    return {str(name): str(field) for name, field in given.items()}


def mapped(mapping: Mapping[str, str], request: RetrainRequest) -> dict[str, str]:
    """The request's fields by the names of the system; all are strings, the nested ones and `request` are JSON."""
    fields = {"request": json.dumps(request.payload(), sort_keys=True), **request.parameters()}
    return {name: fields[field] for name, field in mapping.items()}


def too_long(size: int, request_id: str) -> dict[str, Any]:
    """What stands for a value that a system has no room for: how long it is, and where to read it."""
    return {"too_long": size, "read": f"GET /v1/retrains/{request_id}"[:900]}


def shrunk(request: RetrainRequest) -> Iterator[RetrainRequest]:
    """The request, then smaller ones: without its evidence, its rows, its lineage, each replaced by where to read it."""
    yield request
    for name in ("evidence", "rows", "lineage"):
        smaller: dict[str, Any] = {name: too_long(len(json.dumps(getattr(request, name))), request.id)}
        request = replace(request, **smaller)
        yield request


def client_of(options: Options, system: str, url: str = "", headers: Mapping[str, str] | None = None) -> Client:
    """A client of options.url (or url). token is sent as a bearer, username and password as basic, where they are given."""
    base = text_of(options, "url", url).rstrip("/")
    sent = dict(headers or {})
    if options.get("token"):
        sent.setdefault("Authorization", f"Bearer {options['token']}")
    elif options.get("username") and options.get("password"):
        sent["Authorization"] = basic(str(options["username"]), str(options["password"]))
    return Client(system, base, float(options.get("timeout_s", 10.0)), bool(options.get("allow_private", False)), sent)


def need_credentials(options: Options, adapter: str) -> None:
    """Raises ValueError where there is neither a token nor a name with a password."""
    if not options.get("token") and not (options.get("username") and options.get("password")):
        raise ValueError(f"adapter {adapter}: give token_env (or token_file), or username and password_env")


def need_package(module: str, adapter: str, otherwise: str = "") -> None:
    """Raises ValueError where the adapter's extra is not installed; nothing is imported but packages above the module."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError(f"adapter {adapter}: {module} is not installed: pip install 'driftd[{adapter}]'{otherwise}")


def safe_name(request_id: str, most: int = 63) -> str:
    """The same name for the same request: lower-case letters, digits and hyphens, as every system takes them."""
    name = f"driftd-{request_id}"
    if len(name) <= most and re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
        return name
    return "driftd-" + hashlib.sha256(request_id.encode()).hexdigest()[:32]
