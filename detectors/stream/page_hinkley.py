"""Page-Hinkley: how far the cumulative deviation from the mean has risen above its least, or fallen below its greatest.

U_t = alpha U_(t-1) + (x_t - mean_t) - delta, D_t the same with + delta. Drift where U_t - min U > threshold (errors rose)
or max D - D_t > threshold (they fell).
Page: Continuous Inspection Schemes, Biometrika 41, 1954. Fires where River's `drift.PageHinkley` does.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.stream.scan import Block, Scan, counted, decayed, require, running_sum

UP, DOWN, BOTH = 1, -1, 0


class PageHinkley(Scan):
    """min_rows before it may speak; delta: change that is let pass; threshold: in the errors' unit; alpha: forgetting.

    side: 1 where errors rise, -1 where they fall, 0 both.
    """

    name = "page_hinkley"
    fresh = {"n": 0.0, "total": 0.0, "up": 0.0, "down": 0.0, "up_min": math.inf, "down_max": -1.0}

    def __init__(
        self, min_rows: float = 30, delta: float = 0.005, threshold: float = 50.0, alpha: float = 0.9999, side: float = BOTH
    ) -> None:
        require(
            min_rows < 1 or threshold <= 0 or not 0 < alpha <= 1, "page_hinkley: needs min_rows >= 1, threshold > 0, 0 < alpha <= 1"
        )
        require(side not in (UP, DOWN, BOTH), "page_hinkley: side must be 1, -1 or 0")
        super().__init__(min_rows=min_rows, delta=delta, threshold=threshold, alpha=alpha, side=side)

    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        n = counted(before["n"], len(x))
        total = running_sum(before["total"], x)
        off = x - total / n
        up = decayed(before["up"], off - self.options["delta"], self.options["alpha"])
        down = decayed(before["down"], off + self.options["delta"], self.options["alpha"])
        up_min = np.minimum.accumulate(np.concatenate([[before["up_min"]], up]))[1:]
        down_max = np.maximum.accumulate(np.concatenate([[before["down_max"]], down]))[1:]
        rose = up - up_min > self.options["threshold"]
        fell = down_max - down > self.options["threshold"]
        side = self.options["side"]
        fire = (n >= self.options["min_rows"]) & (rose if side > 0 else fell if side < 0 else rose | fell)
        state = {"n": n, "total": total, "up": up, "down": down, "up_min": up_min, "down_max": down_max}
        return Block(fire, np.zeros(len(x), dtype=np.bool_), state)
