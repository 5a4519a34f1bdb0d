"""One number becomes limits: false alarms a week a model -> the probability that a window may alarm by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from detectors.fairness import FOUR_FIFTHS
from detectors.joint import P_VALUES as OF_ALL_FEATURES
from detectors.worst_drop import P_VALUES as OF_SEGMENTS

WEEK_MS = 7 * 86_400_000
LOOSEST = 0.2  # a window is never allowed more chance than this, however few there are in a week
WARN_TIMES = 10.0  # a score that would alarm at so many times the budget warns
# scores that are p-values, and the least effect that anybody would act on
P_VALUES = {**OF_ALL_FEATURES, **OF_SEGMENTS, "label_bias_p": 0.1}

AUTOMATIC = ("drift", "js", "rank_shift", "missing_share", "accuracy", "roc_auc", "mae", "subset_accuracy", "ndcg_at_k", "pinball",
             "disparate_impact", "rows", "error_share", "latency_p95_ms", "error_gap", "latency_gap_ms", *P_VALUES)  # fmt: skip
# Differences that are real and that nobody would act on. Below half of the random scatter of 100,000 rows.
LEAST_EFFECT = {"js": 0.01, "ks": 0.01, "rank_shift": 0.01, "psi": 0.0005, "missing_share": 0.001,
                "accuracy": 0.005, "roc_auc": 0.005, "hellinger": 0.01, "tv": 0.01, "linf": 0.005, "cramers_v": 0.01,
                "wasserstein": 0.01, "energy": 0.01, "kuiper": 0.01, "mean_shift": 0.01, "median_shift": 0.01, "std_shift": 0.01,
                "missing_shift": 0.001, "range_shift": 0.001, "new_category_share": 0.001,
                "disparate_impact": 1.0 - FOUR_FIFTHS, "disparate_impact_p": 1.0 - FOUR_FIFTHS, **P_VALUES}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the config says of calibrated limits. false_alarms_per_week 0: there are none, only static ones."""

    false_alarms_per_week: float = 1.0
    correction: str = "benjamini-hochberg"
    scores: frozenset[str] = frozenset(AUTOMATIC)
    series: frozenset[str] = frozenset()  # held against their own past windows, instead of a reference
    min_effect: dict[str, float] = field(default_factory=dict)
    min_rows: int = 30
    use_past: bool = True

    def judges(self, score: str) -> bool:
        return score in self.scores or score in self.series

    def least_effect(self, score: str) -> float:
        return self.min_effect.get(score, LEAST_EFFECT.get(score, 0.0))

    def window_level(self, slide_ms: int, times: float = 1.0) -> float:
        """The chance that one window's family of scores may alarm although nothing has changed."""
        expected = times * self.false_alarms_per_week * slide_ms / WEEK_MS
        return min(LOOSEST, -math.expm1(-expected))
