"""The null of a drift score where the reference has one value only: how many of the window's rows have another.

Given that k of all n + m rows have another value, all of them lie in the window with probability C(m, k) / C(n + m, k):
Fisher's exact test (1922) of a table with an empty cell. Each score below is a function of the share k / m, or at most that.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammaln

from detectors.calibrate.null import NullTable
from detectors.calibrate.statistics import OVER_BINS
from detectors.columns import Floats

POINTS = 400  # of the curve, by equal factors of k


@lru_cache(maxsize=1024)
def constant_null(name: str, reference_rows: int, rows: int) -> NullTable:
    """The null of a statistic of OVER_BINS, of ks, kuiper or rank_shift, for n rows of one value and m >= 1 rows of a window."""
    off = np.unique(np.round(np.concatenate([[0.0], np.geomspace(1.0, rows, POINTS)])))
    log = _log_choose(rows, off) - _log_choose(reference_rows + rows, off)
    share = off / rows
    if name in OVER_BINS:
        cells = np.column_stack([1.0 - share, share])
        values = OVER_BINS[name].of(np.array([[1.0, 0.0]]), cells, reference_rows, rows)
    else:
        values = share
    return NullTable.from_survival(np.maximum.accumulate(values), np.minimum(log, 0.0))


def _log_choose(n: int, k: Floats) -> Floats:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))
