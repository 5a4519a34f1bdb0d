"""The worst segments of a window: by failures and latency, which events bring, and by errors, as labels come."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from detectors.coarse_cells import counted_features
from detectors.columns import Schema
from detectors.score import Score
from detectors.trace import ERROR_TASKS
from detectors.worst import PART as WORST
from detectors.worst import WorstCells, score_worst
from detectors.worst_drop import Counted, counted, score_segments
from detectors.worst_errors import PART, WorstErrors
from monitor.label_scores import is_mature
from monitor.learned_outcomes import reference_of
from monitor.panes import Group
from monitor.view import GroupView, WindowView


def worst_segments(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """Of each version, on its group of all rows."""
    for (version, segment), group in sorted(view.groups.items()):
        if segment:
            continue
        found = counted_errors(view, group)
        if found is not None and is_mature(group):
            for score in score_segments(*found, view.model.min_rows, group.reference):
                yield (version, ""), score
        worst = None if group.inputs is None else group.inputs.parts.get(WORST)
        if isinstance(worst, WorstCells) and not worst.only_rows:
            for score in score_worst(worst, view.model.min_rows):
                yield (version, ""), score


def counted_errors(view: WindowView, group: GroupView) -> tuple[WorstErrors, Counted] | None:
    """The errors of a group by cells of features, and those that it is compared with; None where nothing was counted."""
    part = None if group.performance is None else group.performance.parts.get(PART)
    if not isinstance(part, WorstErrors) or part.task not in ERROR_TASKS:
        return None
    columns = {} if group.inputs is None else group.inputs.categorical
    names = {f: columns[f].counts if f in columns else {} for f in view.model.schema.categorical}
    found = counted(part, group.profile, _before(view, group), names)
    return None if found is None else (part, found)


def _before(view: WindowView, group: GroupView) -> WorstErrors | None:
    if group.profile is not None:
        stored = group.profile.extras.get(PART)
        return None if stored is None else _stored(stored, view.model.schema.task, counted_features(view.model.schema, PART))
    known = reference_of(view).summary(group)
    part = None if known is None else known.parts.get(PART)
    return part if isinstance(part, WorstErrors) else None


@lru_cache(16)
def _stored(data: bytes, task: str, features: tuple[str, ...]) -> WorstErrors:
    return WorstErrors.from_bytes(data, Schema(features, (), task, parts={PART: {"features": features, "marks": []}}))
