"""One alert that explains another keeps it quiet: a model that receives nothing does not also alert on drift.

An alert is inhibited while another one fires that matches `source`, if it matches `target` itself and both have the
same value in every label of `equal`. An alert that matches both sides is not kept quiet by its like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alerts.matchers import Labels, Matcher


@dataclass(frozen=True, slots=True)
class Inhibition:
    """One rule of inhibition."""

    source: Matcher
    target: Matcher
    equal: tuple[str, ...] = ("model",)


# What holds without being written: no traffic explains all else; a feature that is not there explains that it drifts.
BUILT_IN = (
    Inhibition(Matcher.of({"score": "silent_seconds"}), Matcher.of({"score": "!silent_seconds"}), ("model",)),
    Inhibition(
        Matcher.of({"score": "missing_share"}),
        Matcher.of({"kind": ["feature", "prediction"], "score": "!missing_share"}),
        ("model", "version", "segment", "subject"),
    ),
    Inhibition(  # rules of the preset: all values are missing, so more are missing than before
        Matcher.of({"rule": "feature-vanished"}),
        Matcher.of({"rule": ["missing-values-rose", "missing-values-changed"]}),
        ("model", "version", "segment", "subject"),
    ),
    Inhibition(  # what a calibrated limit has told needs no second message from the rule with a limit of its own
        Matcher.of({"rule": "missing-values-changed"}),
        Matcher.of({"rule": "missing-values-rose"}),
        ("model", "version", "segment", "subject"),
    ),
    Inhibition(
        Matcher.of({"rule": "performance-fell"}),
        Matcher.of({"rule": ["accuracy-fell", "error-grew", "concept-drift", "estimated-performance-fell"]}),
        ("model", "version", "segment"),
    ),
)


def built_in(written: Iterable[str]) -> tuple[Inhibition, ...]:
    """Those that hold beside the config's own rules, by name: a rule that the config writes is never kept quiet by the preset's."""
    own = set(written)
    out = []
    for one in BUILT_IN:
        patterns = one.target.plain()
        if "rule" in patterns:
            left = [name for name in patterns["rule"] if name not in own]
            if not left:
                continue
            one = Inhibition(one.source, Matcher.of({**patterns, "rule": left}), one.equal)
        out.append(one)
    return tuple(out)


def inhibited(rules: Sequence[Inhibition], firing: Mapping[str, Labels], asked: Iterable[str]) -> dict[str, str]:
    """Which of the alerts asked for are inhibited, and by which. firing: labels of all that fire, by fingerprint.

    Linear in the number of alerts: sources are looked up by the labels that must be equal.
    """
    sources: list[dict[tuple[str, ...], str]] = []
    for rule in rules:
        found: dict[tuple[str, ...], str] = {}
        for mark, labels in firing.items():
            if rule.source.matches(labels):
                found.setdefault(_key(rule, labels), mark)
        sources.append(found)
    out: dict[str, str] = {}
    for mark in asked:
        labels = firing[mark]
        for rule, found in zip(rules, sources, strict=True):
            by = found.get(_key(rule, labels)) if found else None
            if by is not None and rule.target.matches(labels) and not rule.source.matches(labels):
                out[mark] = by
                break
    return out


def _key(rule: Inhibition, labels: Labels) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in rule.equal)
