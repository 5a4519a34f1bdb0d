"""How the alerts of one model are handled: everything of the config that decides it, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.fold import Flapping
from alerts.inhibition import BUILT_IN, Inhibition
from alerts.routing import Route, Target, targets
from alerts.rules import Rule
from alerts.subjects import kind_of


@dataclass(frozen=True, slots=True)
class Policy:
    """tags: labels of the model that every alert of it carries, `team` among them. asking: channels that ask for something
    to be done: an alert that somebody has taken goes on asking there."""

    rules: tuple[Rule, ...] = ()
    route: Route | None = None
    inhibitions: tuple[Inhibition, ...] = BUILT_IN
    flapping: Flapping = field(default_factory=Flapping)
    tags: Mapping[str, str] = field(default_factory=dict)
    public_url: str = ""
    asking: frozenset[str] = frozenset()

    def labels(self, group: tuple[str, str, str], name: tuple[str, str, str], mark: str) -> dict[str, str]:
        """What an alert is called by: see alerts/matchers.py."""
        model, version, segment = group
        rule, subject, score = name
        found = self.rule(rule)
        return {
            **self.tags,
            "model": model, "version": version, "segment": segment, "subject": subject, "score": score, "rule": rule,
            "severity": found.severity if found is not None else "info", "kind": kind_of(subject), "alert": mark,
        }  # fmt: skip

    def rule(self, name: str) -> Rule | None:
        return next((r for r in self.rules if r.name == name), None)

    def targets(self, labels: Mapping[str, str]) -> list[Target]:
        rule = self.rule(labels["rule"])
        return targets(self.route, rule, labels) if rule is not None else []

    def all_targets(self) -> dict[str, Target]:
        """By the name that groups keep."""
        out: dict[str, Target] = {}
        waiting = [self.route] if self.route is not None else []
        while waiting:
            route = waiting.pop()
            out[route.target.name] = route.target
            waiting.extend(route.routes)
        for rule in self.rules:
            if rule.channels:
                out.update({t.name: t for t in targets(self.route, rule, {})})
        return out
