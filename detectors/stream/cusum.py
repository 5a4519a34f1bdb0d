"""CUSUM and the geometric moving average: control charts of the deviation from the running mean.

CUSUM: S_t = max(0, S_(t-1) + x_t - mean_t - delta), drift where S_t > threshold.
GMA:   S_t = alpha S_(t-1) + (1 - alpha) (x_t - mean_t), drift where S_t > threshold.
Page, Biometrika 41, 1954; Roberts, Technometrics 1(3), 1959. They fire where Frouros's `CUSUM` and
`GeometricMovingAverage` do.
"""

from __future__ import annotations

import numpy as np

from detectors.columns import Floats
from detectors.stream.scan import Block, Scan, counted, decayed, require, running_sum


class CUSUM(Scan):
    """min_rows before it may speak; delta: change that is let pass; threshold: in the errors' unit."""

    name = "cusum"
    fresh = {"n": 0.0, "total": 0.0, "walk": 0.0, "lowest": 0.0}

    def __init__(self, min_rows: float = 30, delta: float = 0.005, threshold: float = 50.0) -> None:
        require(min_rows < 1 or threshold <= 0, "cusum: needs min_rows >= 1 and threshold > 0")
        super().__init__(min_rows=min_rows, delta=delta, threshold=threshold)

    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        n = counted(before["n"], len(x))
        total = running_sum(before["total"], x)
        walk = running_sum(before["walk"], x - total / n - self.options["delta"])
        lowest = np.minimum.accumulate(np.concatenate([[before["lowest"]], walk]))[1:]
        # the sum that is cut at 0 is the height of the uncut one above its lowest point
        fire = (n >= self.options["min_rows"]) & (walk - lowest > self.options["threshold"])
        return Block(fire, np.zeros(len(x), dtype=np.bool_), {"n": n, "total": total, "walk": walk, "lowest": lowest})


class GMA(Scan):
    """min_rows before it may speak; alpha: share of the past that is kept; threshold: in the errors' unit."""

    name = "gma"
    fresh = {"n": 0.0, "total": 0.0, "average": 0.0}

    def __init__(self, min_rows: float = 30, alpha: float = 0.99, threshold: float = 1.0) -> None:
        require(min_rows < 1 or threshold <= 0 or not 0 <= alpha < 1, "gma: needs min_rows >= 1, threshold > 0, 0 <= alpha < 1")
        super().__init__(min_rows=min_rows, alpha=alpha, threshold=threshold)

    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        n = counted(before["n"], len(x))
        total = running_sum(before["total"], x)
        alpha = self.options["alpha"]
        average = decayed(before["average"], (1.0 - alpha) * (x - total / n), alpha)
        fire = (n >= self.options["min_rows"]) & (average > self.options["threshold"])
        return Block(fire, np.zeros(len(x), dtype=np.bool_), {"n": n, "total": total, "average": average})
