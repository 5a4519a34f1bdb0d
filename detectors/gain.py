"""Whether one version's windows are better than another's, by a performance metric.

Windows are the unit: each gives one value and its rows. The difference of row-weighted means has the standard error of the
paired (same windows) or unpaired differences between windows; Student's t over windows, so that few windows stay `unknown`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from detectors.score_names import worse

LEAST_WINDOWS = 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """after - before, so that positive is better whatever the metric. p: one-sided, of no improvement."""

    verdict: str  # helped, not_helped, unknown
    before: float
    after: float
    gain: float
    p: float
    windows: int
    paired: bool


def compare(
    metric: str, before: Mapping[int, tuple[float, int]], after: Mapping[int, tuple[float, int]], alpha: float = 0.05
) -> Comparison:
    """before, after: window start -> (value, rows). Windows that both have are compared pairwise, where there are enough.

    Of a metric that is not better either way (detectors/score_names.py), or that is not known, nothing is said.
    """
    direction = worse(metric)
    sign = -1.0 if direction == "above" else 1.0
    shared = sorted(set(before) & set(after))
    old, new = _mean(before), _mean(after)
    if not direction:
        return Comparison("unknown", old, new, math.nan, math.nan, min(len(before), len(after)), False)
    if len(shared) >= LEAST_WINDOWS:
        gaps = [sign * (after[w][0] - before[w][0]) for w in shared]
        gain, p = _t_test(gaps, [0.0])
        return Comparison(_verdict(gain, p, alpha), old, new, gain, p, len(shared), True)
    if len(before) < LEAST_WINDOWS or len(after) < LEAST_WINDOWS:
        return Comparison("unknown", old, new, sign * (new - old), math.nan, min(len(before), len(after)), False)
    gain, p = _t_test([sign * v for v, _ in after.values()], [sign * v for v, _ in before.values()])
    return Comparison(_verdict(gain, p, alpha), old, new, gain, p, len(after), False)


def _verdict(gain: float, p: float, alpha: float) -> str:
    return "unknown" if not math.isfinite(gain) else ("helped" if gain > 0 and p <= alpha else "not_helped")


def _mean(values: Mapping[int, tuple[float, int]]) -> float:
    rows = sum(n for _, n in values.values())
    return sum(v * n for v, n in values.values()) / rows if rows else math.nan


def _t_test(a: list[float], b: list[float]) -> tuple[float, float]:
    """Welch's one-sided test of mean(a) > mean(b); a single b is a known value."""
    from scipy.special import stdtr

    gap = sum(a) / len(a) - sum(b) / len(b)
    parts = [(_variance(x) / len(x), len(x) - 1) for x in (a, b) if len(x) > 1]
    total = sum(v for v, _ in parts)
    if total <= 0.0:
        return gap, 0.0 if gap > 0 else 1.0
    freedom = total**2 / sum(v**2 / f for v, f in parts)
    return gap, float(stdtr(freedom, -gap / math.sqrt(total)))


def _variance(values: list[float]) -> float:
    middle = sum(values) / len(values)
    return sum((v - middle) ** 2 for v in values) / (len(values) - 1)
