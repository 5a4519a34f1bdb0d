"""KSWIN: the newest rows against as many drawn from those before them, by the two-sample Kolmogorov-Smirnov test.

Of the last `window` rows the newest `recent` are compared with `recent` drawn without replacement from the others; drift
where the exact p-value is <= alpha and the distance is > 0.1. With equal sizes the p-value depends on the distance alone,
P(D >= h / r) = 2 (C(2r, r - h) - C(2r, r - 2h) + ...) / C(2r, r), so the test is one limit for h.
Raab, Heusinger, Schleif: Reactive Soft Prototype Computing for Concept Drift Streams, Neurocomputing 2020. Fires where
River's `drift.KSWIN` of the same seed does: it draws with Python's generator, row by row (20 us a row).
"""

from __future__ import annotations

import json
import math
import random

import numpy as np

from detectors.columns import Floats, Ints
from detectors.stream.scan import Detector, require

LEAST_DISTANCE = 0.1
BLOCK = 512


class KSWIN(Detector):
    """alpha: of the test. window, recent: rows. seed: of the draws, begun anew after a firing."""

    name = "kswin"

    def __init__(self, alpha: float = 0.005, window: float = 100, recent: float = 30, seed: float = 0) -> None:
        require(not 0 < alpha < 1, "kswin: needs 0 < alpha < 1")
        require(recent < 1 or 2 * recent > window, "kswin: needs recent >= 1 and window >= 2 recent")
        super().__init__(alpha=alpha, window=window, recent=recent, seed=seed)
        self._window, self._recent = int(window), int(recent)
        self._limit = next((h for h in range(1, self._recent + 1) if self._too_far(h)), self._recent + 1)
        self._forget()

    def _forget(self) -> None:
        self._rows: Floats = np.empty(0)
        self._random = random.Random(int(self.options["seed"]))

    def _too_far(self, h: int) -> bool:
        return h / self._recent > LEAST_DISTANCE and kolmogorov_p(self._recent, h) <= self.options["alpha"]

    def _take(self, x: Floats) -> tuple[list[int], list[int]]:
        fired = []
        at, w = 0, self._window
        while at < len(x):
            rows = np.concatenate([self._rows, x[at : at + BLOCK]])
            taken = len(rows) - len(self._rows)
            tests = len(rows) - w + 1
            hit = -1
            if tests > 0:
                # a window that was tested before is still held: the first one is new unless fewer rows were
                skip = 1 if len(self._rows) == w else 0
                windows = np.lib.stride_tricks.sliding_window_view(rows, w)[skip:]
                far = np.flatnonzero(self._distances(windows) >= self._limit)
                if len(far):
                    hit = int(far[0]) + skip + w - 1 - len(self._rows)
            if hit >= 0:
                fired.append(at + hit)
                self._forget()
                at += hit + 1
            else:
                self._rows = rows[-w:].copy()
                at += taken
        return fired, []

    def _distances(self, windows: Floats) -> Ints:
        """The Kolmogorov-Smirnov distance of each window, times the number of rows compared."""
        older, r = self._window - self._recent, self._recent
        places = range(older)
        drawn = np.array([self._random.sample(places, r) for _ in range(len(windows))], dtype=np.int64).reshape(-1, r)
        both = np.concatenate([np.take_along_axis(windows, drawn, axis=1), windows[:, older:]], axis=1)
        order = np.argsort(both, axis=1, kind="stable")
        values = np.take_along_axis(both, order, axis=1)
        gap = np.abs(np.cumsum(np.where(order < r, 1, -1), axis=1))
        last = np.ones(values.shape, dtype=np.bool_)  # of equal values only the last counts
        last[:, :-1] = values[:, 1:] != values[:, :-1]
        return np.asarray(np.where(last, gap, 0).max(axis=1), dtype=np.int64)

    def _save(self) -> list[bytes]:
        version, words, gauss = self._random.getstate()
        head = json.dumps([self._rows.tolist(), version, gauss]).encode()
        return [head, np.array(words, dtype="<u4").tobytes()]

    def _load(self, parts: list[bytes]) -> None:
        rows, version, gauss = json.loads(parts[0])
        self._rows = np.array(rows, dtype=np.float64)
        self._random.setstate((version, tuple(np.frombuffer(parts[1], dtype="<u4").tolist()), gauss))


def kolmogorov_p(n: int, h: int) -> float:
    """P(D >= h / n) of two samples of n rows from one continuous distribution, exactly (Gnedenko and Korolyuk, 1951)."""
    ways = sum(math.comb(2 * n, n - k * h) * (1 if k % 2 else -1) for k in range(1, n // h + 1))
    return 2.0 * ways / math.comb(2 * n, n)
