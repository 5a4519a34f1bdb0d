"""Samples of resources become scores of the window that they lie in, beside its drift and latency.

They are a function of the samples that the store holds: those of one window, whoever took them. Samples are kept as long as
panes are, so that a window that is revised has them again. A source without any is `unsure`, with what it was that it said
nothing, or that nobody asked it, as in a replay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from detectors.score import Score
from monitor.operations import WHOLE
from monitor.panes import Group
from monitor.view import WindowView

NOBODY = "no sample lies in the window: no driftd asked it at that time (a replay has none), or it was asked once, which is no rate"


def resources(view: WindowView) -> Iterator[tuple[Group, Score]]:
    """Mean and greatest value of each metric of each source; rows is the number of samples. `samples` of one that has none."""
    if not view.model.resources:
        return
    found: dict[tuple[str, str], list[float]] = {}
    refused: dict[str, list[str]] = {}
    for sample in view.memory.resource_samples(view.start_ms, view.end_ms):
        if sample.trouble:
            refused.setdefault(sample.source, []).append(sample.trouble)
        for name, value in sample.values.items():
            found.setdefault((sample.source, name), []).append(value)
    for (source, name), values in sorted(found.items()):
        if source not in view.model.resources:
            continue
        subject, n = f"resource:{source}", len(values)
        yield WHOLE, Score(subject, name, sum(values) / n, n, least_rows=1)
        yield WHOLE, Score(subject, f"{name}_max", max(values), n, least_rows=1)
    for source in sorted({*view.model.resources} - {source for source, _ in found}):
        troubles = refused.get(source, [])
        why = f"it could not be asked: {troubles[-1]}" if troubles else NOBODY
        evidence: dict[str, object] = {"reason": why, "asked in vain": len(troubles)}
        yield WHOLE, Score(f"resource:{source}", "samples", math.nan, 0, evidence=evidence)
