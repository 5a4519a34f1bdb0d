"""ECDD: an exponentially weighted error rate against the error rate of all rows, with limits set by a run length.

z_t is the weighted mean (from 0), p_t the mean, s_t = sqrt(l / (2 - l) (1 - (1 - l)^(2 t)) p (1 - p)). Drift where
z_t > p_t + L(p_t) s_t, warning at `warning` of that; the polynomial L gives one false alarm in `run_length` rows.
Ross, Adams, Tasoulis, Hand: Exponentially Weighted Moving Average Charts for Detecting Concept Drift, Pattern Recognition
Letters 33, 2012. Fires where Frouros's `ECDDWT` does.
"""

from __future__ import annotations

import numpy as np

from detectors.columns import Floats
from detectors.stream.scan import Block, Scan, counted, decayed, require, running_sum

# run length -> coefficients of p^0, p^1, p^3, p^5, p^7 (table 1 of the paper, as Frouros has it)
LIMITS = {
    100: (2.76, -6.23, 18.12, -312.45, 1002.18),
    400: (3.97, -6.56, 48.73, -330.13, 848.18),
    1000: (1.17, 7.56, -21.24, 112.12, -987.23),
}


class ECDD(Scan):
    """min_rows before it may speak; weight of the newest row; run_length: 100, 400 or 1000; warning: share of the limit."""

    name = "ecdd"
    binary = True
    fresh = {"n": 0.0, "total": 0.0, "z": 0.0}

    def __init__(self, min_rows: float = 30, weight: float = 0.2, run_length: float = 400, warning: float = 0.5) -> None:
        require(run_length not in LIMITS, f"ecdd: run_length must be one of {', '.join(map(str, LIMITS))}")
        require(
            min_rows < 1 or not 0 < weight < 1 or not 0 < warning < 1, "ecdd: needs min_rows >= 1, weight and warning in (0, 1)"
        )
        super().__init__(min_rows=min_rows, weight=weight, run_length=run_length, warning=warning)

    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        weight = self.options["weight"]
        n = counted(before["n"], len(x))
        total = running_sum(before["total"], x)
        p = total / n
        z = decayed(before["z"], weight * x, 1.0 - weight)
        spread = np.sqrt(weight / (2.0 - weight) * (1.0 - (1.0 - weight) ** (2.0 * n)) * (p * (1.0 - p)))
        c = LIMITS[int(self.options["run_length"])]
        limit = (c[0] + c[1] * p + c[2] * p**3 + c[3] * p**5 + c[4] * p**7) * spread
        awake = n >= self.options["min_rows"]
        fire, warn = awake & (z > p + limit), awake & (z > p + self.options["warning"] * limit)
        return Block(fire, warn, {"n": n, "total": total, "z": z})
