"""HDDM_A: the mean of all errors against the mean up to the best cut point, by Hoeffding's bound.

The cut is where mean + bound was least. With n rows in all and m up to the cut, drift where
mean_n - mean_m >= sqrt((n - m) / (n m) / 2 * ln(2 / confidence)).
Frias-Blanco and others: Online and Non-Parametric Drift Detection Methods Based on Hoeffding's Bounds, IEEE TKDE 27(3),
2014. Fires where River's `drift.binary.HDDMA` does.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Bools, Floats
from detectors.stream.scan import Block, Scan, counted, held, require, running_sum


class HDDMA(Scan):
    """drift, warning: confidences, drift <= warning. two_sided: also where errors become fewer (0 or 1)."""

    name = "hddm_a"
    binary = True
    fresh = {
        "n": 0.0, "total": 0.0,
        "low": math.inf, "low_n": 0.0, "low_mean": 0.0,
        "high": -math.inf, "high_n": 0.0, "high_mean": 0.0,
    }  # fmt: skip

    def __init__(self, drift: float = 0.001, warning: float = 0.005, two_sided: float = 0) -> None:
        require(not 0 < drift <= warning < 1, "hddm_a: needs 0 < drift <= warning < 1")
        super().__init__(drift=drift, warning=warning, two_sided=two_sided)

    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        n = counted(before["n"], len(x))
        total = running_sum(before["total"], x)
        mean = total / n
        bound = np.sqrt(1.0 / (2.0 * n) * math.log(1.0 / self.options["drift"]))
        least = np.minimum.accumulate(np.concatenate([[before["low"]], mean + bound]))
        lower = mean + bound <= least[:-1]
        low_n, low_mean = held(lower, n, before["low_n"]), held(lower, mean, before["low_mean"])
        most = np.maximum.accumulate(np.concatenate([[before["high"]], mean - bound]))
        higher = mean - bound >= most[:-1]
        high_n, high_mean = held(higher, n, before["high_n"]), held(higher, mean, before["high_mean"])
        state = {
            "n": n, "total": total, "low": least[1:], "low_n": low_n, "low_mean": low_mean,
            "high": most[1:], "high_n": high_n, "high_mean": high_mean,
        }  # fmt: skip
        fire = self._beyond(mean - low_mean, n, low_n, "drift")
        warn = self._beyond(mean - low_mean, n, low_n, "warning")
        if self.options["two_sided"]:
            fire = fire | self._beyond(high_mean - mean, n, high_n, "drift")
            warn = warn | self._beyond(high_mean - mean, n, high_n, "warning")
        return Block(fire, warn, state)

    def _beyond(self, change: Floats, n: Floats, cut: Floats, confidence: str) -> Bools:
        m = (n - cut) / cut * (1.0 / n)
        bound = np.sqrt(m / 2.0 * math.log(2.0 / self.options[confidence]))
        return np.asarray((cut != n) & (change >= bound))
