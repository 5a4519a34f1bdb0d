"""Rules made of rules: "drift and performance down". What fires elsewhere in the book becomes a finding of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from alerts.rules import Rule
from detectors.score import Finding, Score

if TYPE_CHECKING:
    from alerts.record import Record

SUBJECT = "combination"
NAMED_MOST = 5  # subjects of each rule in the evidence


def combination(rule: Rule, firing: Mapping[str, Sequence[tuple[tuple[str, str, str], Record]]]) -> Finding:
    """A breach where all (or one) of the rules fire. value: how many do; threshold: how many must."""
    alight = {name: firing[name] for name in rule.combines if firing.get(name)}
    needed = len(rule.all_of) if rule.all_of else 1
    evidence: dict[str, object] = {
        name: [f"{subject} {score}" for (_, subject, score), _ in sorted(found, key=lambda f: f[0])[:NAMED_MOST]]
        for name, found in alight.items()
    }
    rows = max((record.rows for found in alight.values() for _, record in found), default=0)
    score = Score(SUBJECT, "all_of" if rule.all_of else "any_of", float(len(alight)), rows, evidence=evidence)
    return Finding(score, "breach" if len(alight) >= needed else "ok", float(needed), rule.name)
