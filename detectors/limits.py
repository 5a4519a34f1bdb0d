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
    return [judge_one(score, thresholds, min_rows) for score in scores]


def judge_one(score: Score, thresholds: Mapping[str, Limit], min_rows: int) -> Finding:
    """The finding for one score."""
    limit = thresholds.get(score.name)
    why = silent(score, min_rows)
    if limit is None:
        # what says nothing is no good news, whether or not a limit judges it
        return Finding(score, "unsure" if why and (score.reference or not math.isfinite(score.value)) else UNJUDGED)
    level, threshold = limit.level(score.value) if math.isfinite(score.value) else ("unsure", limit.breach)
    rule = f"static {score.name}"
    return Finding(score, "unsure", threshold, f"{rule}: {why}") if why else Finding(score, level, threshold, rule)


def silent(score: Score, min_rows: int) -> str:
    """Why a score says nothing, whatever its limit; "" where it does."""
    if not math.isfinite(score.value):
        return "undefined" if math.isnan(score.value) else "infinite"
    least = min_rows if score.least_rows is None else score.least_rows
    return f"too few rows, {score.rows} of {least}" if score.rows < least else ""
