"""Samples of resources become scores of the window that they lie in, beside its drift and latency.

They are a function of the samples that the store holds: those of one window, whoever took them. A replay of a log
has none and says nothing. Samples are kept as long as panes are, so that a window that is revised has them again.
"""

from __future__ import annotations

from collections.abc import Iterator

from detectors.score import Score
from monitor.operations import WHOLE
from monitor.panes import Group
from monitor.view import WindowView


def resources(view: WindowView) -> Iterator[tuple[Group, Score]]:
    """Mean and greatest value of each metric of each source; rows is the number of samples."""
    if not view.model.resources:
        return
    found: dict[tuple[str, str], list[float]] = {}
    for sample in view.memory.resource_samples(view.start_ms, view.end_ms):
        for name, value in sample.values.items():
            found.setdefault((sample.source, name), []).append(value)
    for (source, name), values in sorted(found.items()):
        if source not in view.model.resources:
            continue
        subject, n = f"resource:{source}", len(values)
        yield WHOLE, Score(subject, name, sum(values) / n, n, least_rows=1)
        yield WHOLE, Score(subject, f"{name}_max", max(values), n, least_rows=1)
