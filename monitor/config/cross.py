"""What one section of the config says about another. Works on raw data, so that all problems show at once."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from detectors.columns import TASKS
from monitor.config.calibration import calibration_problems
from monitor.config.channels import channel_problems
from monitor.config.compare import compare_problems, request_keys, segment_names
from monitor.config.concept import concept_problems
from monitor.config.cross_alerts import rule_problems
from monitor.config.evidently import evidently_problems
from monitor.config.expressions import expression_problems
from monitor.config.lines import Path
from monitor.config.model import DAEMON
from monitor.config.performance import output_problems, performance_problems
from monitor.config.secret import NAMED_BY_USERS, is_secret
from monitor.config.statistics import profile_problems, statistics_problems
from monitor.config.subjects import feature_problems
from monitor.config.suggest import nearest as _nearest
from monitor.config.template import QUERY_FIELDS, unknown_fields
from monitor.config.units import parse_duration
from monitor.decode.settings import NUMBER_FIELDS

Found = Iterator[tuple[Path, str, str]]  # path, what is wrong, what to do

FILE_FIELDS = ("event_id", "ts", "version", "prediction.label", "prediction.score", "prediction.value", "latency_ms",
               "status", "label", "label_ts")  # fmt: skip

# fields that only one type of source has
FIELD_OF = {
    **dict.fromkeys(
        ("topics", "bootstrap_servers", "group", "client", "start", "dead_letter_topic", "options", "unreachable_after"), "kafka"
    ),
    **dict.fromkeys(("path", "follow"), "file"),
}


def cross_problems(raw: Any) -> Found:
    """Problems between sections of a config that may be broken elsewhere."""
    if not isinstance(raw, dict):
        return
    yield from _literal_secrets(raw, ())
    yield from _store(raw.get("store"))
    yield from _http(raw.get("http"))
    yield from _sources(_list(raw.get("sources")))
    models = _list(raw.get("models"))
    yield from _twice(models, "models")
    yield from _daemons_name(models)
    for i, model in enumerate(models):
        if isinstance(model, dict):
            yield from _model(model, ("models", i))
    alerts = raw.get("alerts") if isinstance(raw.get("alerts"), dict) else {}
    assert isinstance(alerts, dict)
    yield from _alerts(alerts, models)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _twice(items: list[Any], place: str) -> Found:
    """place: dotted path of the list."""
    seen: set[Any] = set()
    for i, item in enumerate(items):
        name = item.get("name") if isinstance(item, dict) else None
        if isinstance(name, str) and name in seen:
            yield (*place.split("."), i, "name"), f"{name!r} is taken by an earlier entry", "give each its own name"
        seen.add(name if isinstance(name, str) else None)


def _literal_secrets(value: Any, path: Path) -> Found:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in NAMED_BY_USERS:
                continue
            if isinstance(key, str) and is_secret(key) and isinstance(item, str) and item:
                fix = f"write {key}_env: NAME_OF_A_VARIABLE or {key}_file: /path instead"
                yield (*path, key), "a secret must not stand in the config", fix
            else:
                yield from _literal_secrets(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _literal_secrets(item, (*path, i))


def _store(store: Any) -> Found:
    url = store.get("url") if isinstance(store, dict) else None
    if not isinstance(url, str):
        return
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        yield ("store", "url"), "is no database address", "write sqlite:///file.db or postgresql+psycopg://user@host/db"
        return
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        problem = f"database {parsed.get_backend_name()!r} is not supported"
        yield ("store", "url"), problem, "use sqlite:///file.db or postgresql+psycopg://user@host/db"
    if parsed.password:
        yield ("store", "url"), "a password must not stand in the config", "take it out and write password_env: NAME"


def _http(http: Any) -> Found:
    if not isinstance(http, dict):
        return
    tokens = _list(http.get("tokens"))
    yield from _twice(tokens, "http.tokens")
    for i, token in enumerate(tokens):
        if isinstance(token, dict) and not (token.get("token_env") or token.get("token_file")):
            yield ("http", "tokens", i), "names no secret", "write token_env: NAME_OF_A_VARIABLE or token_file: /path"
    listen = http.get("listen")
    if not isinstance(listen, str) or http.get("token_env") or http.get("token_file") or tokens:
        return
    host = listen.rpartition(":")[0].strip("[]")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host or "0.0.0.0").is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        problem = f"{listen} can be reached from outside, and no token is set"
        yield ("http", "listen"), problem, "listen on 127.0.0.1, or write token_env: NAME_OF_A_VARIABLE"


def _sources(sources: list[Any]) -> Found:
    yield from _twice(sources, "sources")
    https = 0
    for i, source in enumerate(sources):
        if not isinstance(source, dict):
            continue
        path: Path = ("sources", i)
        kind = source.get("type")
        if kind == "kafka":
            for field, example in (("topics", "[inference-log]"), ("bootstrap_servers", "host:9092")):
                if not source.get(field):
                    yield path, f"a kafka source needs {field}", f"write {field}: {example}"
            if source.get("carries") == "both":
                fix = "make two sources, one with carries: events and one with carries: labels"
                yield (*path, "carries"), "a kafka source carries events or labels", fix
        elif kind == "file" and not source.get("path"):
            yield path, "a file source needs path", "write path: /data/events.jsonl"
        elif kind == "http":
            https += 1
            if https > 1:
                yield path, "there can be one http source", "remove this one; POST /v1/events serves all models"
        for field, owner in FIELD_OF.items():
            if field in source and kind in ("kafka", "http", "file") and kind != owner:
                yield (*path, field), f"means nothing for a source of type {kind}", "remove it"


def _daemons_name(models: list[Any]) -> Found:
    for i, model in enumerate(models):
        if isinstance(model, dict) and model.get("name") == DAEMON:
            yield ("models", i, "name"), f"{DAEMON} is what alerts about the daemon itself are named by", "name the model otherwise"


def _rows_query(model: dict[str, Any], path: Path) -> Found:
    template = model.get("rows_query")
    if not isinstance(template, str):
        return
    allowed = ", ".join(f"{{{name}}}" for name in QUERY_FIELDS)
    try:
        unknown = unknown_fields(template)
    except ValueError as error:
        yield (*path, "rows_query"), f"is no template: {error}", f"allowed fields: {allowed}; write {{{{ for a brace"
        return
    for name in unknown:
        yield (*path, "rows_query"), f"there is no field {{{name}}}", f"allowed fields: {allowed}"


def _model(model: dict[str, Any], path: Path) -> Found:
    yield from _rows_query(model, path)
    task, positive = model.get("task"), model.get("positive_label")
    if task == "binary" and not positive:
        yield (
            path,
            "a binary model needs positive_label",
            "write positive_label: the class whose probability is the score",
        )
    if task in TASKS and task != "binary" and positive:
        yield (*path, "positive_label"), f"means nothing for task {task}", "remove it"
    yield from output_problems(model, path)
    yield from performance_problems(model, path)
    window = model.get("window")
    if isinstance(window, dict):
        try:
            size = parse_duration(window.get("size", "1m"))
            slide = parse_duration(window.get("slide", window.get("size", "1m")))
        except ValueError:
            size = slide = 1
        if slide <= 0 or size % slide:
            problem = f"slide ({window.get('slide')}) must divide size ({window.get('size', '1m')})"
            yield (*path, "window", "slide"), problem, "for tumbling windows leave slide out"
        if slide > 0 and size // slide > 1000:
            yield (*path, "window", "slide"), "more than 1000 panes a window", "make slide longer"
    yield from feature_problems(model, path)
    yield from expression_problems(model, path)
    yield from calibration_problems(model, path)
    yield from concept_problems(model, path)
    yield from compare_problems(model, path)
    features, sample = model.get("features"), model.get("sample")
    together = model.get("multivariate")
    for place in (("evidently",), ("multivariate", "domain_classifier")):
        asked = together.get("domain_classifier") if len(place) == 2 and isinstance(together, dict) else model.get(place[0])
        if asked and (len(place) == 1 or isinstance(together, dict)) and sample is None and not model.get("profile"):
            yield (*path, *place), "needs a sample of rows, and the model keeps none", "write sample: {rows: 1000, keep: 1d}"
    if isinstance(features, dict) and features and isinstance(sample, dict):
        maskable = [*features, "prediction", *(["embedding"] if model.get("embedding") else [])]
        for i, name in enumerate(_list(sample.get("mask"))):
            if name not in maskable:
                yield (*path, "sample", "mask", i), f"there is no feature {name!r}", _nearest(str(name), maskable)
        kept = [f for f, kind in features.items() if kind == "text"]
        for i, name in enumerate(_list(sample.get("texts"))):
            where = (*path, "sample", "texts", i)
            if name not in kept:
                yield where, f"there is no feature {name!r} of kind text", _nearest(str(name), kept)
            elif name in _list(sample.get("mask")):
                yield where, f"{name!r} is in the mask too", "take it out of one of them: what is masked is not kept"
    yield from evidently_problems(model, path)
    yield from statistics_problems(model, path)
    yield from profile_problems(model, path)
    columns = model.get("columns")
    allowed = [*FILE_FIELDS, *(f"features.{f}" for f in model.get("features") or ())]
    allowed += [f"segment.{s}" for s in sorted(segment_names(model) | request_keys(model))]
    allowed += [*_list(model.get("numbers")), *NUMBER_FIELDS, "embedding"]
    allowed += [f"prediction.{name}" for name in ("probabilities", "quantiles", "labels", "items", "item_scores")]
    allowed += [f"prediction.probabilities.{c}" for c in _list(model.get("classes"))]
    allowed += [f"prediction.quantiles.{q}" for q in _list(model.get("quantiles"))]
    for name in columns if isinstance(columns, dict) else ():
        if name not in allowed and not name.startswith(("features.", "prediction.probabilities.")):
            yield (*path, "columns", name), f"there is no field {name!r} of an event", _nearest(name, allowed)


def _alerts(alerts: dict[str, Any], models: list[Any]) -> Found:
    yield from _twice(_list(alerts.get("rules")), "alerts.rules")
    yield from _twice(_list(alerts.get("digests")), "alerts.digests")
    yield from rule_problems(alerts, models)
    channels = alerts.get("channels") if isinstance(alerts.get("channels"), dict) else {}
    assert isinstance(channels, dict)
    for name, channel in channels.items():
        yield from channel_problems(name, channel, channels)
