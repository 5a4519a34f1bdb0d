"""ADWIN: whether any cut of the rows since the last firing gives two halves whose means differ too much.

The rows stand in an exponential histogram: at most `buckets` buckets of 1, 2, 4, ... rows each. Every `clock` rows each
boundary between buckets is a cut into n0 older and n1 newer rows. With W rows of variance v, d' = ln(2 ln W / delta) and
m = 1 / (n0 - min_rows + 1) + 1 / (n1 - min_rows + 1), drift where |mean0 - mean1| > sqrt(2 m v d') + 2/3 d' m.
Bifet, Gavalda: Learning from Time-Changing Data with Adaptive Windowing, SDM 2007. Fires where River's `drift.ADWIN`
does, which starts afresh after a firing (the paper drops the older rows only).
"""

from __future__ import annotations

import json
import math

import numpy as np

from detectors.columns import Floats
from detectors.stream.scan import Detector, require


class ADWIN(Detector):
    """delta: confidence. clock: rows between two looks. min_rows: least rows on either side. grace: rows before the first."""

    name = "adwin"

    def __init__(self, delta: float = 0.002, clock: float = 32, buckets: float = 5, min_rows: float = 5, grace: float = 10) -> None:
        require(not 0 < delta < 1, "adwin: needs 0 < delta < 1")
        require(min(clock, buckets, min_rows) < 1 or buckets < 2, "adwin: needs clock >= 1, buckets >= 2 and min_rows >= 1")
        super().__init__(delta=delta, clock=clock, buckets=buckets, min_rows=min_rows, grace=grace)
        self._clock = int(clock)
        self._forget()

    def _forget(self) -> None:
        self._rest: Floats = np.empty(0)  # rows since the last look
        self._levels: list[list[float]] = []  # sums of the buckets of 2^level rows, the oldest first
        self._n, self._mean, self._m2 = 0, 0.0, 0.0

    def _take(self, x: Floats) -> tuple[list[int], list[int]]:
        fired = []
        at = 0
        while at < len(x):
            end = at + self._clock - len(self._rest)
            rows = x[at:end] if not len(self._rest) else np.concatenate([self._rest, x[at:end]])
            if len(rows) < self._clock:
                self._rest = rows.copy()
                break
            self._rest = np.empty(0)
            self._add(rows)
            if self._n > self.options["grace"] and self._cut():
                fired.append(end - 1)
                self._forget()
            at = end
        return fired, []

    def _add(self, rows: Floats) -> None:
        """Chan's merge of the moments; full levels hand the sums of their two oldest buckets on."""
        k, mean = len(rows), float(rows.mean())
        gap = mean - self._mean
        total = self._n + k
        self._m2 += float(((rows - mean) ** 2).sum()) + gap * gap * self._n * k / total
        self._mean += gap * k / total
        self._n = total
        keep = int(self.options["buckets"]) - 1
        arriving = rows.tolist()
        level = 0
        while arriving:
            if level == len(self._levels):
                self._levels.append([])
            buckets = self._levels[level]
            buckets += arriving
            merged = (len(buckets) - keep) // 2 if len(buckets) > keep + 1 else 0
            arriving = [buckets[i] + buckets[i + 1] for i in range(0, 2 * merged, 2)]
            del buckets[: 2 * merged]
            level += 1

    def _cut(self) -> bool:
        sums = np.array([b for level in reversed(self._levels) for b in level])
        sizes = np.repeat(2.0 ** np.arange(len(self._levels) - 1, -1, -1), [len(level) for level in reversed(self._levels)])
        n0, u0 = np.cumsum(sizes)[:-1], np.cumsum(sums)
        n1, u1 = self._n - n0, u0[-1] - u0[:-1]
        least = self.options["min_rows"]
        enough = (n0 >= least) & (n1 >= least)
        n0, n1 = n0[enough], n1[enough]
        spread = math.log(2.0 * math.log(self._n) / self.options["delta"])
        m = 1.0 / (n0 - least + 1.0) + 1.0 / (n1 - least + 1.0)
        bound = np.sqrt(2.0 * m * (self._m2 / self._n) * spread) + 2.0 / 3.0 * spread * m
        return bool((np.abs(u0[:-1][enough] / n0 - u1[enough] / n1) > bound).any())

    def _save(self) -> list[bytes]:
        return [json.dumps([self._rest.tolist(), self._levels, self._n, self._mean, self._m2]).encode()]

    def _load(self, parts: list[bytes]) -> None:
        rest, self._levels, self._n, self._mean, self._m2 = json.loads(parts[0])
        self._rest = np.array(rest, dtype=np.float64)
