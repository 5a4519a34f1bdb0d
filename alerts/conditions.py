"""Whether one window is bad, clear or in between for a rule. Pure; what came before is passed in as calm values.

    BAD      beyond the limit: counts towards firing
    BETWEEN  no longer bad, not yet clear (hysteresis): counts towards neither
    CLEAR    counts towards resolving
    None     too little is known (rows, labels, calm windows, undefined): leaves no trace

A relative limit compares with the median of calm windows, and asks that the change also exceeds `sigmas` times their
spread (1.4826 times the median absolute deviation, which estimates a standard deviation of normal values), so that
a score that is noisy by nature stays quiet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from alerts.rules import LEARN_LEAST, Rule
from detectors.score import LEVELS, Finding

BAD, BETWEEN, CLEAR = "b", "m", "c"
NORMAL_MAD = 1.4826


@dataclass(frozen=True, slots=True)
class Verdict:
    """mark: one of the above, or None. level, threshold: as people read them."""

    mark: str | None
    level: str
    threshold: float | None


def judge(rule: Rule, finding: Finding, coverage: float | None, calm: Sequence[float]) -> Verdict:
    """coverage: share of labels in the window, None where unknown. calm: values of calm windows before this one."""
    score = finding.score
    if not math.isfinite(score.value) or score.rows < rule.min_rows:
        return Verdict(None, "unsure", finding.threshold)
    if rule.min_coverage and (coverage is None or not coverage >= rule.min_coverage):
        return Verdict(None, "unsure", finding.threshold)
    judged = finding.threshold is not None
    if rule.relative:
        return relative(rule, score.value, calm)
    if (rule.above is not None or rule.below is not None) and not (rule.yields and judged):
        return _own_limit(rule, score.value)
    if finding.level == "unsure":
        return Verdict(None, "unsure", finding.threshold)
    rank = LEVELS.index(finding.level)
    if rank >= LEVELS.index(rule.level):
        mark = BAD
    else:
        mark = BETWEEN if rule.resolve_level and rank >= LEVELS.index(rule.resolve_level) else CLEAR
    return Verdict(mark, finding.level, finding.threshold)


def limit_rule(rule: Rule, finding: Finding) -> str:
    """Which rule gave the limit that `judge` holds a finding against: the verdict's, or that of the alert with its own limit."""
    if rule.hears_levels or (rule.yields and finding.threshold is not None):
        return finding.rule or f"rule {rule.name}"
    said = ("above", "below", "rise_ratio", "rise_by", "fall_by")
    limits = [f"{key} {getattr(rule, key):g}" for key in said if getattr(rule, key) is not None]
    return f"rule {rule.name}" + (f": {', '.join(limits)}" if limits else "")


def _own_limit(rule: Rule, value: float) -> Verdict:
    if rule.above is not None:
        if value >= rule.above:
            return Verdict(BAD, "breach", rule.above)
        held = rule.resolve_below is not None and value >= rule.resolve_below
        return Verdict(BETWEEN if held else CLEAR, "warn" if held else "ok", rule.above)
    assert rule.below is not None
    if value <= rule.below:
        return Verdict(BAD, "breach", rule.below)
    held = rule.resolve_above is not None and value <= rule.resolve_above
    return Verdict(BETWEEN if held else CLEAR, "warn" if held else "ok", rule.below)


def relative(rule: Rule, value: float, calm: Sequence[float]) -> Verdict:
    """Judge a value by the calm ones before it; mark is never None."""
    if len(calm) < min(LEARN_LEAST, rule.learn_windows):
        return Verdict(CLEAR, "ok", None)  # it is one of those that are learned from
    usual = median(calm)
    noise = rule.sigmas * NORMAL_MAD * median(abs(v - usual) for v in calm)
    if rule.fall_by is not None:
        limit = usual - max(rule.fall_by, noise)
        return Verdict(BAD if value <= limit else CLEAR, "breach" if value <= limit else "ok", limit)
    rise = rule.rise_by if rule.rise_by is not None else usual * ((rule.rise_ratio or math.inf) - 1.0)
    if not rise > 0:  # a ratio to nothing, or to less, says nothing
        return Verdict(CLEAR, "ok", None)
    limit = usual + max(rise, noise)
    return Verdict(BAD if value >= limit else CLEAR, "breach" if value >= limit else "ok", limit)
