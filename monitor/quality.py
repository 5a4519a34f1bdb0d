"""Data quality of a closed window: from what is counted anyway, and from the rules that the config adds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from detectors.limits import Limit
from detectors.outliers import PART as OUTLIERS
from detectors.outliers import OutlierCount, score_outliers
from detectors.quality import score_quality
from detectors.rules import VIOLATIONS, RuleSummary, feature_rules, score_rules
from detectors.score import Score
from monitor.config.model import ModelSettings
from monitor.intake import DEFAULT_LIMITS as INTAKE_LIMITS
from monitor.intake import score_intake
from monitor.operations import WHOLE
from monitor.panes import Group
from monitor.view import GroupView, WindowView

# Limits that hold where the config says nothing: facts that need no statistics to be news, and what the config itself forbids.
BROKEN = Limit(warn=0.001, breach=0.01)
DEFAULT_LIMITS = {"absent": Limit(breach=1.0), "constant": Limit(warn=1.0), **dict.fromkeys(VIOLATIONS, BROKEN), **INTAKE_LIMITS}


def quality(view: GroupView) -> Iterable[Score]:
    """Scores of one group's columns and rules."""
    if view.inputs is None:
        return
    yield from score_quality(view.inputs, view.profile, view.learned, view.reference)
    rules = view.inputs.parts.get("rules")
    if isinstance(rules, RuleSummary):
        yield from score_rules(rules, view.end_ms)
    count = view.inputs.parts.get(OUTLIERS)
    if isinstance(count, OutlierCount) and view.segment == "":
        yield from score_outliers(count, count.fit, view.reference)


def schema_drift(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """Repeats, changed types and features without a name, over all versions."""
    rows = sum(group.rows for (_, segment), group in view.groups.items() if segment == "")
    for score in score_intake(view.intake, rows):
        yield WHOLE, score
    moved, off = view.moved
    if moved:
        why = "the reference switched within this window: rows of both sides are in it, those of one in the other's cells"
        evidence: dict[str, object] = {"reason": why, "rows": moved, "shares off by at most": off / max(rows, 1)}
        yield WHOLE, Score("traffic", "rebinned_share", moved / max(rows, 1), rows, evidence=evidence)


def rule_options(settings: ModelSettings) -> dict[str, Any] | None:
    """Options of the part `rules`; None where the config has no rule and does not ask for freshness."""
    rules = list(rules_of(settings))
    if not rules and not settings.quality.freshness:
        return None
    return {"rules": rules, "freshness": settings.quality.freshness}


def rules_of(settings: ModelSettings) -> Iterator[list[str]]:
    """[subject, score, expression] of each rule of the config."""
    for check in settings.checks:
        yield [f"check:{check.name}", "violation_share", check.expect]
    for feature, wanted in sorted(settings.quality.features.items()):
        span = None if wanted.range is None else (wanted.range[0], wanted.range[1])
        length = None if wanted.length is None else (wanted.length[0], wanted.length[1])
        yield from ([feature, score, text] for score, text in feature_rules(feature, span, length, wanted.pattern))
