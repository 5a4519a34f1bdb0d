"""The analyser of what slow detectors found (monitor/slow.py): their results join the scores of the window they saw."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from detectors.score import Score
from monitor.panes import Group
from monitor.view import WindowView

NO_REFERENCE = {"reason": "slow detectors compare with the rows of a built reference: run `driftd reference build`"}
STATE = "slow:"  # name of the results' state, before the window's start in ms


def slow_scores(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """What slow detectors found in this window, where they saw the rows, and as many labels, that it has now.

    Without a built reference, which holds rows to compare with, only the reason.
    """
    for group, part in sorted(view.groups.items()):
        if part.profile is None and part.rows and not part.segment:
            for subject, name in view.model.slow:
                yield group, Score(subject, name, math.nan, part.rows, "", dict(NO_REFERENCE))
    stored = view.memory.load_state(f"{STATE}{view.start_ms}")
    if stored is None:
        return
    found = json.loads(stored)
    rows = sum(group.rows for (_, segment), group in view.groups.items() if segment == "")
    if found["rows"] != rows:
        return
    labelled = sum(group.performance.labelled for (_, segment), group in view.groups.items() if segment == "" and group.performance)
    for version, subject, name, value, count, evidence, *of_labels in found["scores"]:
        if any(of_labels) and found["labelled_rows"] != labelled:
            continue
        group = version, ""
        if group in view.groups and view.groups[group].reference == found["reference"]:
            known = {s.name: s.value for s in view.scores.get(group, []) if s.subject == "performance"}
            number = math.nan if value is None else float(value)
            yield group, Score(subject, name, number, count, found["reference"], evidence)
            if subject.startswith("estimated_performance") and name in known and math.isfinite(known[name]) and value is not None:
                yield group, Score(subject, f"{name}_gap", number - known[name], count, found["reference"])
