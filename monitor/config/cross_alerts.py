"""What rules, routes and inhibition say about each other, about channels, models and scores. Works on raw data."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from alerts.matchers import LABELS, Matcher
from alerts.presets import PRESETS
from alerts.rules import SEVERITIES
from alerts.standing import RETRAINING_STOPPED
from alerts.subjects import WHOLE
from detectors.score_names import SCORE_NAMES
from monitor.config.alert_rules import RuleSettings
from monitor.config.digests import digest_problems
from monitor.config.lines import Path
from monitor.config.model import DAEMON, DAEMONS_RULE
from monitor.config.performance import custom_names
from monitor.config.suggest import nearest

Found = Iterator[tuple[Path, str, str]]  # path, what is wrong, what to do
ROUTES_DEEP = 10
SUBJECTS = (*WHOLE, "features")  # besides features
DYNAMIC_SCORES = ("share:",)  # beginnings of scores that are named after a value


def rule_problems(alerts: dict[str, Any], models: list[Any]) -> Found:
    """models: the raw ones."""
    rules = [r for r in _list(alerts.get("rules"))]
    channels = alerts["channels"] if isinstance(alerts.get("channels"), dict) else {}
    preset = alerts.get("preset") or ("none" if rules else "default")
    preset_rules = [r.name for r in PRESETS.get(preset if isinstance(preset, str) else "none", ())]
    written = {r["name"]: r for r in rules if isinstance(r, dict) and isinstance(r.get("name"), str)}
    names = {str(m.get("name")) for m in models if isinstance(m, dict)}
    told = isinstance(alerts.get("route"), dict) or any(
        isinstance(c, dict) and c.get("type") != "retrain" for c in channels.values()
    )
    combined = {
        ref for r in written.values() for field in ("all_of", "any_of") for ref in _list(r.get(field)) if isinstance(ref, str)
    }
    for i, rule in enumerate(rules):
        if not isinstance(rule, dict):
            continue
        path: Path = ("alerts", "rules", i)
        if not rule.get("channels") and not told and rule.get("notify") is not False:
            yield path, "a rule without channels tells nobody", "write channels: [name], or alerts.route with a default"
        if rule.get("notify") is False and rule.get("name") not in combined:
            yield (*path, "notify"), "tells nobody, and no other rule uses it", "remove it, or name the rule in all_of or any_of"
        if rule.get("name") == RETRAINING_STOPPED:
            yield (*path, "name"), "is the name of an alert of driftd's own", "choose another name"
        yield from _channels(rule.get("channels"), (*path, "channels"), channels)
        yield from _patterns(rule.get("models"), (*path, "models"), "model", names)
        yield from _patterns(
            rule.get("scores"), (*path, "scores"), "score", {*SCORE_NAMES, *(name for m in models for name in custom_names(m))}
        )
        of_rule = [m for m in models if isinstance(m, dict) and _hears(rule, str(m.get("name")))]
        yield from _subjects(rule.get("subjects"), (*path, "subjects"), of_rule)
        yield from _segments(rule.get("segments"), (*path, "segments"), of_rule)
        for field in ("all_of", "any_of"):
            yield from _combined(rule, field, path, written, preset_rules)
        schedule = rule.get("schedule")
        if isinstance(schedule, dict) and isinstance(schedule.get("timezone"), str):
            yield from _timezone(schedule["timezone"], (*path, "schedule", "timezone"))
        yield from _contradiction(rule, path)
    tags = {key for m in models if isinstance(m, dict) and isinstance(m.get("tags"), dict) for key in m["tags"]}
    nameable = {*written, *preset_rules, RETRAINING_STOPPED, DAEMONS_RULE}
    known = {"model": {*names, DAEMON}, "rule": nameable, "severity": set(SEVERITIES)}
    route = alerts.get("route")
    if isinstance(route, dict):
        if not route.get("channels"):
            yield ("alerts", "route"), "a tree of routes needs a default", "write channels: [name] at its root"
        yield from _route(route, ("alerts", "route"), channels, known, {*LABELS, *tags}, 0)
    yield from _digests(_list(alerts.get("digests")), channels, models, names)
    for i, inhibit in enumerate(_list(alerts.get("inhibit"))):
        if isinstance(inhibit, dict):
            for field in ("source", "target"):
                yield from _matcher(inhibit.get(field), ("alerts", "inhibit", i, field), known, {*LABELS, *tags})
            yield from _labels(inhibit.get("equal"), ("alerts", "inhibit", i, "equal"), {*LABELS, *tags})


def _digests(digests: list[Any], channels: dict[str, Any], models: list[Any], names: set[str]) -> Found:
    for i, digest in enumerate(digests):
        if isinstance(digest, dict):
            path: Path = ("alerts", "digests", i)
            yield from _channels(digest.get("channels"), (*path, "channels"), channels)
            yield from _patterns(digest.get("models"), (*path, "models"), "model", names)
            if isinstance(digest.get("timezone"), str):
                yield from _timezone(digest["timezone"], (*path, "timezone"))
    yield from digest_problems(digests, channels, models)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _channels(value: Any, path: Path, channels: dict[str, Any]) -> Found:
    for j, name in enumerate(_list(value)):
        if name not in channels:
            yield (*path, j), f"there is no channel {name!r}", nearest(str(name), channels)


def _patterns(value: Any, path: Path, what: str, known: Any) -> Found:
    for j, pattern in enumerate(_list(value)):
        if not isinstance(pattern, str) or pattern.startswith(DYNAMIC_SCORES):
            continue
        glob = bool(set(pattern) & set("*?["))
        if glob and known and not any(fnmatchcase(str(k), pattern) for k in known):
            yield (*path, j), f"no {what} matches {pattern!r}", f"allowed: {', '.join(sorted(map(str, known))[:30])}"
        elif not glob and pattern not in known:
            yield (*path, j), f"there is no {what} {pattern!r}", nearest(pattern, known)


def _hears(rule: dict[str, Any], model: str) -> bool:
    patterns = [p for p in _list(rule.get("models")) if isinstance(p, str)]
    return not patterns or any(fnmatchcase(model, p) for p in patterns)


def _subjects(value: Any, path: Path, models: list[dict[str, Any]]) -> Found:
    """A subject that is nearly one that there is. Others may be: subjects have parts, as in check:NAME, and kinds derive some."""
    known = set(SUBJECTS).union(*(m["features"] for m in models if isinstance(m.get("features"), dict)))
    for j, name in enumerate(_list(value)):
        if isinstance(name, str) and name not in known and not set(name) & set("*?[:."):
            close = get_close_matches(name, sorted(map(str, known)), n=1, cutoff=0.8)
            if close:
                yield (*path, j), f"no model has a feature or subject {name!r}", f"did you mean {close[0]!r}?"


def _segments(value: Any, path: Path, models: list[dict[str, Any]]) -> Found:
    known = {
        s if isinstance(s, str) else str(s.get("name"))
        for m in models
        for s in _list(m.get("segments"))
        if isinstance(s, str | dict)
    }
    for j, pattern in enumerate(_list(value)):
        name, sign, _ = pattern.partition("=") if isinstance(pattern, str) else ("", "", "")
        if sign and name not in known and not set(name) & set("*?[!"):
            yield (*path, j), f"no model of the rule has a segment {name!r}", nearest(name, known)


def _combined(rule: dict[str, Any], field: str, path: Path, written: dict[str, Any], preset: list[str]) -> Found:
    for j, name in enumerate(_list(rule.get(field))):
        if name == rule.get("name"):
            yield (*path, field, j), "a rule cannot be made of itself", "name other rules"
        elif name not in written and name not in preset:
            yield (*path, field, j), f"there is no rule {name!r}", nearest(str(name), {*written, *preset} - {rule.get("name")})
        elif written.get(name, {}).get("all_of") or written.get(name, {}).get("any_of"):
            yield (*path, field, j), f"{name!r} is a combination itself", "name the rules that it is made of"


def _timezone(name: str, path: Path) -> Found:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        yield path, f"there is no timezone {name!r}", "write one of the IANA database, for example UTC or Europe/Berlin"


def _contradiction(rule: dict[str, Any], path: Path) -> Found:
    """Build the rule: what it refuses now, it would refuse at start."""
    from monitor.policies import rule_from

    try:
        rule_from(RuleSettings.model_validate(rule))
    except KeyError:
        return  # an unknown timezone: said already
    except ValueError as error:
        if type(error) is ValueError:  # pydantic's say more of the place, elsewhere
            yield path, str(error).partition(": ")[2] or str(error), "see alerts.rules in config.yaml"


def _route(
    route: dict[str, Any], path: Path, channels: dict[str, Any], known: dict[str, set[str]], labels: set[str], depth: int
) -> Found:
    if depth > ROUTES_DEEP:
        yield path, f"routes are nested more than {ROUTES_DEEP} deep", "put labels together in one match"
        return
    yield from _channels(route.get("channels"), (*path, "channels"), channels)
    yield from _labels(route.get("group_by"), (*path, "group_by"), labels)
    for i, step in enumerate(_list(route.get("escalate"))):
        if isinstance(step, dict):
            yield from _channels(step.get("channels"), (*path, "escalate", i, "channels"), channels)
    for i, child in enumerate(_list(route.get("routes"))):
        if isinstance(child, dict):
            at: Path = (*path, "routes", i)
            if not child.get("match"):
                yield at, "a route without match takes every alert", "write match: {label: pattern}, or set it at the route above"
            yield from _matcher(child.get("match"), (*at, "match"), known, labels)
            yield from _route(child, at, channels, known, labels, depth + 1)


def _matcher(raw: Any, path: Path, known: dict[str, set[str]], labels: set[str]) -> Found:
    if not isinstance(raw, dict):
        return
    try:
        Matcher.of(raw)
    except ValueError as error:
        yield path, str(error), "write {label: pattern}, for example {severity: critical}"
        return
    yield from _labels(list(raw), path, labels, named=True)
    for name, value in raw.items():
        for pattern in [value] if isinstance(value, str) else value:
            plain = pattern.removeprefix("!")
            if name in known and not set(plain) & set("*?[") and plain not in known[name]:
                yield (*path, name), f"there is no {name} {plain!r}", nearest(plain, known[name])


def _labels(names: Any, path: Path, labels: set[str], named: bool = False) -> Found:
    for j, name in enumerate(_list(names)):
        if name not in labels:
            yield (*path, name if named else j), f"alerts have no label {name!r}", nearest(str(name), labels)
