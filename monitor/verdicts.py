"""Verdicts on all scores of a closed window at once: limits may depend on how many scores are judged together."""

from __future__ import annotations

from detectors.limits import judge
from detectors.score import Finding
from monitor.label_scores import matured
from monitor.panes import Group
from monitor.view import WindowView


def judge_window(view: WindowView) -> dict[Group, list[Finding]]:
    """A finding for each score of each group, groups in order."""
    model = view.model
    found = {group: judge(scores, model.thresholds, model.min_rows) for group, scores in sorted(view.scores.items())}
    return matured(view, found)
