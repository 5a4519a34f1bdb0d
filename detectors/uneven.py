"""Whether the mean of so many rows is normal far enough out for a p-value of it, by the skew and kurtosis of what is averaged.

A p-value by the normal distribution, or by chi-square, is judged with a heavy tail (Student's, 12 degrees): as if a tail of 1e-5 were
57 times as likely. Where the next terms of Edgeworth's series (skew over root n, kurtosis over n; Cramér 1946, ch. 17) are more than that,
nothing is said: of lognormal columns with sigma 1.5, a hundred rows, more than one calm window of a hundred would have alarmed.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtr

from detectors.columns import Floats

TAIL, CHANCE = 4.265, 1e-5  # the normal deviate of this chance
MOST = math.log(float(stdtr(12.0, -TAIL)) / CHANCE)
Shape = tuple[float, float]  # skew and excess kurtosis


def shape_of(values: Floats) -> Shape:
    """Of each column of values, shape (n,) or (n, d), the greatest; 0 of what does not vary."""
    off = np.atleast_2d(values.T) - np.atleast_2d(values.T).mean(axis=1, keepdims=True)
    variance = np.square(off).mean(axis=1)
    there = variance > 0
    if not there.any():
        return 0.0, 0.0
    scaled = off[there] / np.sqrt(variance[there])[:, None]
    squares = scaled * scaled
    return float(np.abs((squares * scaled).mean(axis=1)).max()), float((squares * squares).mean(axis=1).max()) - 3.0


def why_uneven(shape: Shape | None, rows: int, reference_rows: int) -> str:
    """Why a p-value of the means of so many rows says nothing, "" where it does. shape: None where it is not known."""
    if shape is None or rows <= 0 or reference_rows <= 0:
        return ""
    skew, kurtosis = shape
    both = 1.0 / rows + 1.0 / reference_rows
    of_skew = abs(skew) * abs(1.0 / rows**2 - 1.0 / reference_rows**2) / both**1.5 * TAIL**3 / 6.0
    of_tails = max(0.0, kurtosis) * (1.0 / rows**3 + 1.0 / reference_rows**3) / both**2 * TAIL**4 / 24.0
    if of_skew + of_tails <= MOST:
        return ""
    return f"{rows} rows of so uneven values have no known law: mmd and rank_shift say whether they moved"
