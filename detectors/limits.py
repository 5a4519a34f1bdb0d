"""The verdict on a score: where its limits lie, and whether there were rows enough to say anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from detectors.score import UNJUDGED, Finding, Score


@dataclass(frozen=True, slots=True)
class Limit:
    """warn and breach: at or above fires, or at or below where `below` is set. None: no such limit."""

    warn: float | None = None
    breach: float | None = None
    below: bool = False

    def level(self, value: float) -> tuple[str, float | None]:
        """The level of a finite value, and the limit that gave it (or that comes next)."""
        for name, limit in (("breach", self.breach), ("warn", self.warn)):
            if limit is not None and (value <= limit if self.below else value >= limit):
                return name, limit
        return "ok", self.warn if self.warn is not None else self.breach


def judge(scores: Iterable[Score], thresholds: Mapping[str, Limit], min_rows: int) -> list[Finding]:
    """A finding for each score. Too few rows, or a value that is undefined, is `unsure`, and what has no limit `unjudged`: neither is `ok`."""
    out = []
    for score in scores:
        limit = thresholds.get(score.name)
        few = score.rows < (min_rows if score.least_rows is None else score.least_rows)
        if limit is None:
            # what says nothing is no good news, whether or not a limit judges it
            silent = not math.isfinite(score.value) or (few and score.reference)
            out.append(Finding(score, "unsure" if silent else UNJUDGED))
            continue
        level, threshold = limit.level(score.value) if math.isfinite(score.value) else ("unsure", limit.breach)
        if few or not math.isfinite(score.value):
            level = "unsure"
        out.append(Finding(score, level, threshold, f"static {score.name}"))
    return out
