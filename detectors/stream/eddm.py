"""EDDM: the distance between two errors against the greatest that it was; finds slow drifts earlier than DDM.

Of the distances between neighbouring errors, m' is the mean and s' the standard deviation. With M the greatest m' + 2 s'
so far: warning where (m' + 2 s') / M < alpha, drift where it is < beta. Judged at errors only.
Baena-Garcia and others: Early Drift Detection Method, 2006. Fires where River's `drift.binary.EDDM` does.
"""

from __future__ import annotations

import numpy as np

from detectors.columns import Floats
from detectors.stream.scan import Block, Scan, counted, held, require, running_sum


class EDDM(Scan):
    """warm_start: rows, and errors, before it may speak. alpha, beta: shares of the greatest distance, beta <= alpha."""

    name = "eddm"
    binary = True
    fresh = {"n": 0.0, "errors": 0.0, "last": 0.0, "squares": 0.0, "greatest": -1.0, "warned": 0.0}

    def __init__(self, warm_start: float = 30, alpha: float = 0.95, beta: float = 0.9) -> None:
        require(warm_start < 1 or not 0 < beta <= alpha < 1, "eddm: needs warm_start >= 1 and 0 < beta <= alpha < 1")
        super().__init__(warm_start=warm_start, alpha=alpha, beta=beta)

    def _block(self, x: Floats, before: dict[str, float]) -> Block:
        n = counted(before["n"], len(x))
        wrong = x == 1.0
        errors = running_sum(before["errors"], x)
        last = held(wrong, n, before["last"])
        distance = np.where(wrong, n - np.concatenate([[before["last"]], last[:-1]]), 0.0)
        squares = running_sum(before["squares"], distance * distance)
        k = np.maximum(errors, 1.0)
        mean = last / k  # the distances add up to the last error's place
        spread = np.sqrt(np.maximum(0.0, (k * squares - last * last) / (k * np.maximum(k - 1.0, 1.0))))
        level = mean + 2.0 * spread
        awake = wrong & (n > self.options["warm_start"])
        greatest = np.maximum.accumulate(np.concatenate([[before["greatest"]], np.where(awake, level, -1.0)]))
        judged = awake & (level <= greatest[:-1]) & (errors > self.options["warm_start"])
        share = level / np.where(judged, greatest[1:], 1.0)
        fire = judged & (share < self.options["beta"])
        warned = held(judged, (share < self.options["alpha"]).astype(np.float64), before["warned"])
        state = {"n": n, "errors": errors, "last": last, "squares": squares, "greatest": greatest[1:], "warned": warned}
        return Block(fire, warned > 0, state)
