"""What the config says in expressions: segments, rules that rows keep, and which segments are compared for fairness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from detectors.columns import Schema
from detectors.expression import ExpressionError, fields_of, parse_expression
from detectors.rules import feature_rules
from monitor.config.lines import Path
from monitor.decode.settings import NUMBER_FIELDS

Found = Iterator[tuple[Path, str, str]]  # path, what is wrong, what to do


def expression_problems(model: dict[str, Any], path: Path) -> Found:
    """Problems of one model's segments, checks and fairness; works on raw data that may be broken elsewhere."""
    segments = model.get("segments") if isinstance(model.get("segments"), list) else []
    assert isinstance(segments, list)
    names = [s.get("name") if isinstance(s, dict) else s for s in segments]
    keys = tuple(n for n, s in zip(names, segments, strict=True) if isinstance(n, str) and not _where(s))
    for i, segment in enumerate(segments):
        if names[i] in names[:i]:
            yield (*path, "segments", i), f"{names[i]!r} is taken by an earlier segment", "give each its own name"
        if _where(segment):
            yield from _expression(segment["where"], _fields(model, keys), (*path, "segments", i, "where"))
    checks = model.get("checks") if isinstance(model.get("checks"), list) else []
    assert isinstance(checks, list)
    for i, check in enumerate(checks):
        if not isinstance(check, dict):
            continue
        if check.get("name") in [c.get("name") for c in checks[:i] if isinstance(c, dict)]:
            yield (*path, "checks", i, "name"), f"{check.get('name')!r} is taken by an earlier check", "give each its own name"
        if isinstance(check.get("expect"), str):
            yield from _expression(check["expect"], _fields(model, None), (*path, "checks", i, "expect"))
    quality = model.get("quality")
    if isinstance(quality, dict) and isinstance(quality.get("features"), dict):
        for name, wanted in quality["features"].items():
            yield from _feature(model, name, wanted, (*path, "quality", "features", name))
    numbers = model.get("numbers")
    if model.get("cost") and isinstance(numbers, list) and "cost_usd" not in numbers:
        yield (*path, "cost"), "the budget is spent by the events' field cost_usd, which numbers does not name", "add it to numbers"
    yield from _worst(model, path)
    outliers = model.get("outliers")
    if isinstance(outliers, dict) and outliers.get("worst_rows") and not model.get("sample"):
        fix = "write sample: {rows: 1000, mask: [...], keep: 1d}, or take worst_rows out"
        yield (*path, "outliers", "worst_rows"), "rows are kept with the mask and the time to live of the model's sample", fix
    fairness = model.get("fairness")
    if isinstance(fairness, dict):
        yield from _fairness(model, fairness, [n for n in names if isinstance(n, str)], (*path, "fairness"))


def _worst(model: dict[str, Any], path: Path) -> Found:
    wanted, features = model.get("worst_segments"), model.get("features")
    if (
        not isinstance(wanted, dict)
        or not isinstance(wanted.get("features"), list)
        or not isinstance(features, dict)
        or not features
    ):
        return
    for i, name in enumerate(wanted["features"]):
        if name not in features:
            close = get_close_matches(str(name), list(features), n=1)
            fix = (f"did you mean {close[0]!r}? " if close else "") + f"known: {', '.join(sorted(features))}"
            yield (*path, "worst_segments", "features", i), f"there is no feature {name!r}", fix
        elif features[name] in ("category", "boolean") and name in _mask(model):
            fix = "take it out of one of them: a segment is told by the feature's values"
            yield (*path, "worst_segments", "features", i), f"{name!r} is in sample.mask", fix


def _mask(model: dict[str, Any]) -> list[Any]:
    sample = model.get("sample")
    named = sample.get("mask") if isinstance(sample, dict) else None
    return named if isinstance(named, list) else []


def _where(segment: Any) -> bool:
    return isinstance(segment, dict) and isinstance(segment.get("where"), str)


def _fields(model: dict[str, Any], keys: tuple[str, ...] | None) -> Mapping[str, str] | None:
    """The fields by name; None where the features come with a reference that is not known here."""
    features = model.get("features")
    if not isinstance(features, dict) or not features:
        return None
    numeric = tuple(f for f, kind in features.items() if kind == "numeric")
    others = tuple(f for f, kind in features.items() if kind != "numeric")
    numbers = model.get("numbers")
    known = tuple(n for n in numbers if isinstance(n, str)) if isinstance(numbers, list) else NUMBER_FIELDS
    return fields_of(Schema(numeric, others, numbers=known), keys)


def _expression(text: str, fields: Mapping[str, str] | None, path: Path) -> Found:
    try:
        parse_expression(text, fields)
    except ExpressionError as error:
        message, _, fix = str(error).partition("; ")
        yield path, message, fix


def _feature(model: dict[str, Any], name: str, wanted: Any, path: Path) -> Found:
    """A feature that is not there, a pattern that is none, a range of a category: what its rules would refuse."""
    fields = _fields(model, None)
    if fields is not None and f"features.{name}" not in fields:
        known = sorted(f.removeprefix("features.") for f in fields if f.startswith("features."))
        close = get_close_matches(str(name), known, n=1)
        yield (
            path,
            f"there is no feature {name!r}",
            (f"did you mean {close[0]!r}? " if close else "") + f"known: {', '.join(known)}",
        )
        return
    for key, rule in _rules(name, wanted):
        for _, message, fix in _expression(rule, fields, path):
            yield (*path, key), message.partition(": ")[2], fix


def _rules(name: str, wanted: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(wanted, dict):
        return
    for key in ("range", "length"):
        pair = wanted.get(key)
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(v, int | float) for v in pair):
            given = (float(pair[0]), float(pair[1]))
            yield key, feature_rules(name, given if key == "range" else None, given if key == "length" else None, None)[0][1]
    if isinstance(wanted.get("pattern"), str):
        yield "pattern", feature_rules(name, None, None, wanted["pattern"])[0][1]


def _fairness(model: dict[str, Any], fairness: dict[str, Any], names: list[str], path: Path) -> Found:
    protected = fairness.get("protected")
    for i, name in enumerate(protected if isinstance(protected, list) else []):
        if name not in names:
            close = get_close_matches(str(name), names, n=1)
            fix = (f"did you mean {close[0]!r}? " if close else "") + f"allowed: {', '.join(names) or 'none; add it to segments'}"
            yield (*path, "protected", i), f"there is no segment {name!r}", fix
    if protected and model.get("task") == "regression":
        yield (*path, "protected"), "fairness compares predicted labels, and a regression model has none", "remove fairness"
    elif protected and not fairness.get("favourable") and not model.get("positive_label"):
        problem = "fairness needs to know which predicted label is an advantage"
        yield (*path, "favourable"), problem, "write favourable: the label, or positive_label for a binary model"
