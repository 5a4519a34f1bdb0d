"""DDM: the error rate against the lowest that it was, in standard deviations of a Bernoulli mean.

p_i is the error rate of the rows so far, s_i = sqrt(p_i (1 - p_i) / i), and (p, s) at the least p_i + s_i are kept.
Warning where p_i + s_i > p_min + 2 s_min, drift where p_i + s_i > p_min + 3 s_min.
Gama, Medas, Castillo, Rodrigues: Learning with Drift Detection, SBIA 2004. Fires where River's `drift.binary.DDM` does.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.stream.scan import Block, Scan, counted, held, require, running_sum


class DDM(Scan):
    """warm_start: rows before it may speak. warning, drift: the limits in standard deviations."""

    name = "ddm"
    binary = True
    fresh = {"n": 0.0, "wrong": 0.0, "least": math.inf, "p_min": 0.0, "s_min": 0.0}

    def __init__(self, warm_start: float = 30, warning: float = 2.0, drift: float = 3.0) -> None:
        require(warm_start < 1 or not 0 < warning <= drift, f"{self.name}: needs warm_start >= 1 and 0 < warning <= drift")
        super().__init__(warm_start=warm_start, warning=warning, drift=drift)

    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        n = counted(before["n"], len(x))
        wrong = running_sum(before["wrong"], x)
        p = wrong / n
        s = np.sqrt(p * (1.0 - p) / n)
        awake = n > self.options["warm_start"]
        level = np.where(awake, p + s, math.inf)
        least = np.minimum.accumulate(np.concatenate([[before["least"]], level]))
        lower = awake & (level <= least[:-1])
        p_min, s_min = held(lower, p, before["p_min"]), held(lower, s, before["s_min"])
        fire = awake & (p + s > p_min + self.options["drift"] * s_min)
        warn = awake & (p + s > p_min + self.options["warning"] * s_min)
        return Block(fire, warn, {"n": n, "wrong": wrong, "least": least[1:], "p_min": p_min, "s_min": s_min})
