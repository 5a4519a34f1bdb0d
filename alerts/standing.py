"""What stands until somebody acts, though no window says so: retrains that were stopped because they did not help.

The store knows it; the book is shown it with the newest window, again with each later one, so that it lasts as long as the
store says so, and ends in the round after it does not. A replay knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alerts.book import AlertBook
from alerts.matchers import matches_any
from alerts.rules import RETRAINING, Rule
from alerts.transition import Shown, Transition
from detectors.score import Finding, Score

RETRAINING_STOPPED = "retraining-stopped"
SCORE = {RETRAINING: "futile_retrains"}


@dataclass(frozen=True, slots=True)
class Fact:
    """value: how much of it there is."""

    value: float
    evidence: dict[str, object] = field(default_factory=dict)


def stopped_rule(channels: tuple[str, ...]) -> Rule:
    """The rule that wakes a human when retraining stopped. channels: () means where the routes say."""
    return Rule(RETRAINING_STOPPED, standing=RETRAINING, severity="critical", channels=channels)


def stand(book: AlertBook, rules: Iterable[Rule], facts: Mapping[str, Fact], model: str, window: Shown) -> list[Transition]:
    """Show what stands, and what does not, in a window that no other one is newer than."""
    out: list[Transition] = []
    for rule in rules:
        if rule.standing and matches_any(rule.models, model):
            fact = facts.get(rule.standing)
            level = "ok" if fact is None else "breach"
            fact = fact or Fact(0.0)
            score = Score(rule.standing, SCORE[rule.standing], fact.value, 0, "", dict(fact.evidence))
            out += book.show(rule, Finding(score, level, None, rule.name), window)
    return out
