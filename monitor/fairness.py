"""Group metrics of a closed window over the protected segments that the config names, for each version."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from detectors.fairness import GroupRates, rates, score_fairness
from detectors.score import Score
from monitor.panes import OTHER, Group
from monitor.view import GroupView, WindowView


def fairness(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """A score of subject `fairness:DIMENSION` for each metric, on the version's group of all rows."""
    wanted = view.model.fairness
    if not wanted.protected:
        return
    known = _is_known(wanted.favourable, view.groups.values())
    for version in sorted({v for v, _ in view.groups}):
        for dimension in wanted.protected:
            found: dict[str, GroupRates] = {}
            for (of, segment), group in sorted(view.groups.items()):
                name, _, value = segment.partition("=")
                if of == version and name == dimension and value not in ("", OTHER):
                    label = None if group.inputs is None else group.inputs.label
                    found[value] = rates(label, group.performance, wanted.favourable)
            for score in score_fairness(f"fairness:{dimension}", found, view.model.min_rows):
                why = {"reason": f"no row of the window or its reference has the label {wanted.favourable!r}"}
                yield (version, ""), score if known else replace(score, value=math.nan, evidence={**score.evidence, **why})


def _is_known(label: str, groups: Iterable[GroupView]) -> bool:
    """Whether a label occurs, predicted or true, in a window's groups or what they are compared with."""
    for group in groups:
        known = group.profile or group.learned
        columns = [group.inputs, known] if known is not None else [group.inputs]
        if any(column is not None and column.label.counts.get(label) for column in columns):
            return True
        outcomes = [group.performance, *(group.profile.performance.values() if group.profile else ())]
        if any(label in pair for side in outcomes if side is not None for pair in side.confusion):
            return True
    return False
