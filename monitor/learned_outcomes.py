"""How good a model was on the windows that it learns its reference from: what a drop in performance is a drop from.

The outcomes of these windows whose labels have come, by segment, all versions together. They grow while labels come: a
window whose performance was held against them is then published anew (monitor/stale.py), so that limits do not depend on
when labels came. A built reference that has labels is fixed, and goes before these.
"""

from __future__ import annotations

import json

from detectors import frame
from detectors.labelled.tally import Metric
from detectors.performance import PerformanceSummary
from monitor.baseline import LEARNING
from monitor.stale import outdate
from monitor.view import GroupView, WindowView

PREFIX = "outcomes:"  # states, by the start of the window
Metrics = dict[str, Metric]


class Reference:
    """Metrics of the reference by segment, computed when they are first asked for."""

    def __init__(self, view: WindowView) -> None:
        profile = next((g.profile for g in view.groups.values() if g.profile is not None), None)
        self.by_segment = dict(profile.performance) if profile is not None else _learned(view)
        self._metrics: dict[str, Metrics] = {}

    def summary(self, group: GroupView) -> PerformanceSummary | None:
        """What a group is compared with: its own segment where that is known, else all rows; None while it is learned from."""
        found = self.by_segment.get(group.segment, self.by_segment.get(""))
        return None if found is None or found.rows <= 0 or group.reference == LEARNING else found

    def has_segment(self, group: GroupView) -> bool:
        """Whether a group is compared with its own kind, not with all rows in place of its segment."""
        return group.segment in self.by_segment

    def metric(self, group: GroupView, name: str) -> Metric | None:
        summary = self.summary(group)
        if summary is None:
            return None
        key = group.segment if group.segment in self.by_segment else ""
        if key not in self._metrics:
            self._metrics[key] = {metric.name: metric for metric in summary.metrics()}
        return self._metrics[key].get(name)


def reference_of(view: WindowView) -> Reference:
    """The one of a window, made when it is first asked for."""
    if "outcomes" not in view.shared:
        view.shared["outcomes"] = Reference(view)
    found: Reference = view.shared["outcomes"]
    return found


def _learned(view: WindowView) -> dict[str, PerformanceSummary]:
    """The learned windows' outcomes, once those of this window are brought up to date."""
    schema, memory = view.model.schema, view.memory
    if not any(g.performance is not None for g in view.groups.values()):
        return {}
    known = memory.state_names(PREFIX)
    if _bring_up_to_date(view, known):
        outdate(memory, 0, lambda w: w.labelled_rows > 0 and w.reference != LEARNING)
        known = memory.state_names(PREFIX)
    out: dict[str, PerformanceSummary] = {}
    for state in known:
        blob = memory.load_state(state)
        if blob is None:
            continue
        segments, *blobs = frame.split(blob)
        for segment, data in zip(json.loads(segments), blobs, strict=True):
            out.setdefault(segment, PerformanceSummary.empty(schema)).merge(PerformanceSummary.from_bytes(data, schema))
    return out


def _bring_up_to_date(view: WindowView, known: list[str]) -> bool:
    """Keep the outcomes of this window if it is one of the learned ones, drop those of windows that are none; whether any changed."""
    memory, changed = view.memory, False
    wanted = {f"{PREFIX}{start:020d}" for start in view.learned_from}
    for name in known:
        if name not in wanted:
            memory.drop_state(name)
            changed = True
    mine: dict[str, PerformanceSummary] = {}
    for (_, segment), group in sorted(view.groups.items()):
        if group.performance is not None and group.performance.rows > 0:
            mine.setdefault(segment, PerformanceSummary.empty(view.model.schema)).merge(group.performance)
    name = f"{PREFIX}{view.start_ms:020d}"
    if name not in wanted or not mine:
        return changed
    blob = frame.join([json.dumps(list(mine)).encode(), *(s.to_bytes() for s in mine.values())])
    if memory.load_state(name) == blob:
        return changed
    memory.save_state(name, blob)
    return True
