"""The labels of a window against those that its reference was built with, of the same segment."""

from __future__ import annotations

from collections.abc import Iterable

from detectors.score import Score
from detectors.target import target_drift
from monitor.view import GroupView


def target(view: GroupView) -> Iterable[Score]:
    """Nothing until a label has come, or where the reference has none."""
    known = None if view.profile is None else view.profile.performance.get(view.segment)
    if view.performance is None or view.performance.rows <= 0 or known is None:
        return []
    return target_drift(view.performance, known, view.reference, view.model.statistics)
