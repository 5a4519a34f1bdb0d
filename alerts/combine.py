"""Rules made of rules: "drift and performance down". What fires elsewhere in the book becomes a finding of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from alerts.fold import Flapping, Grid
from alerts.record import Group, Name, Record
from alerts.rules import Rule
from detectors.score import Finding, Score

SUBJECT = "combination"
NAMED_MOST = 5  # subjects of each rule in the evidence
Look = Callable[[Group, Name, int], Finding | None]  # a finding of a window that was shown before


def combination(rule: Rule, firing: Mapping[str, Sequence[tuple[Name, int]]]) -> Finding:
    """A breach where all (or one) of the rules fire. value: how many do; threshold: how many must.

    firing: by rule, what fires of it, each with the rows of the window that it rests on.
    """
    alight = {name: firing[name] for name in rule.combines if firing.get(name)}
    needed = len(rule.all_of) if rule.all_of else 1
    evidence: dict[str, object] = {
        name: [f"{subject} {score}" for (_, subject, score), _ in sorted(found)[:NAMED_MOST]] for name, found in alight.items()
    }
    rows = max((rows for found in alight.values() for _, rows in found), default=0)
    score = Score(SUBJECT, "all_of" if rule.all_of else "any_of", float(len(alight)), rows, evidence=evidence)
    return Finding(score, "breach" if len(alight) >= needed else "ok", float(needed), rule.name)


@dataclass(frozen=True, slots=True)
class Part:
    """An alert that a combination hears, and when it fired. switches: (start, whether it fires from that window on)."""

    group: Group
    name: Name
    record: Record
    lit: bool  # before all of them
    switches: list[tuple[int, bool]]

    def fires_at(self, start_ms: int) -> bool:
        at = bisect_right(self.switches, start_ms, key=lambda switch: switch[0])
        return self.switches[at - 1][1] if at else self.lit


def parts_of(
    rule: Rule, rules: Mapping[str, Rule], alerts: Iterable[tuple[Group, Name, Record]], flapping: Flapping, grid: Grid
) -> list[Part]:
    """The alerts that a combination hears, with their past. An alert that was shown things in the order in which they came
    has none: it counts as it is now."""
    out = []
    for group, name, record in alerts:
        if name[0] in rule.combines and name[0] in rules:
            switches: list[tuple[int, bool]] = []
            if record.runs:
                record.fold(rules[name[0]], flapping, grid, switches)
            lit = record.base.status == "firing" if record.base is not None else not record.runs and record.status == "firing"
            out.append(Part(group, name, record, lit, switches))
    return out


def lit_at(parts: Iterable[Part], start_ms: int, look: Look | None = None) -> dict[str, list[tuple[Name, int]]]:
    """What fired then, by rule. look: where the rows are wanted too."""
    out: dict[str, list[tuple[Name, int]]] = {}
    for part in parts:
        if part.fires_at(start_ms):
            seen = look(part.group, part.name, start_ms) if look is not None else None
            out.setdefault(part.name[0], []).append((part.name, seen.score.rows if seen is not None else 0))
    return out
