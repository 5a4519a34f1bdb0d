"""Who hears of an alert: a tree of routes over its labels, with a default at its root.

An alert goes down the tree: at each level to the first child that matches, and on to later ones while a child
says `continue`. The deepest that match are its targets; the root matches all. A rule that names channels itself
does not ask the tree, but groups, repeats and escalates as the root does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from alerts.matchers import Labels, Matcher
from alerts.rules import Rule

GROUP_BY = ("model", "rule")
REPEAT_MS = 4 * 3_600_000
INTERVAL_MS = 300_000


@dataclass(frozen=True, slots=True)
class Escalation:
    """after_ms without an acknowledgement these channels hear of it too. severity "": as it was."""

    after_ms: int
    channels: tuple[str, ...]
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is the same for all alerts of a group. Times are wall time; 0 turns repeating or waiting off."""

    channels: tuple[str, ...]
    group_by: tuple[str, ...] = GROUP_BY
    repeat_ms: int = REPEAT_MS
    interval_ms: int = INTERVAL_MS  # between messages about alerts that join a group
    escalate: tuple[Escalation, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One node. What it leaves open, its parent said: whoever builds the tree fills targets in."""

    target: Target
    matcher: Matcher = field(default_factory=Matcher)
    go_on: bool = False  # `continue` in the config
    routes: tuple[Route, ...] = ()


def targets(root: Route | None, rule: Rule, labels: Labels) -> list[Target]:
    """The targets of one alert, in the tree's order, each once."""
    if not rule.notify:
        return []
    if rule.channels:
        base = root.target if root is not None else Target(())
        return [Target(rule.channels, base.group_by, base.repeat_ms, base.interval_ms, base.escalate, f"rule:{rule.name}")]
    return list(dict.fromkeys(_walk(root, labels))) if root is not None else []


def _walk(route: Route, labels: Labels) -> Iterator[Target]:
    found = False
    for child in route.routes:
        if child.matcher.matches(labels):
            found = True
            yield from _walk(child, labels)
            if not child.go_on:
                return
    if not found:
        yield route.target
