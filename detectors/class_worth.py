"""What an event of a multiclass model is expected to be worth on the reference's rows, whatever the config's matrix will say of its cells.

A row that is predicted p and of class t with the calibrated probability q_t is expected to be worth sum over t of q_t worth(p, t). Of a
matrix that is known only when a window is scored, the mean and the scatter of that over rows come from sums over the rows predicted p:

    mean(p, t) = sum q_t / n          product(p, t, u) = sum q_t q_u / n
    value = sum mean(p, t) worth(p, t)
    sigma^2 = sum product(p, t, u) worth(p, t) worth(p, u) - value^2

Products are classes cubed, half of them: 270 kB for PRODUCTS classes. Of more there are none, and sigma is the greatest that the means
allow: that of rows whose class is certain (Jensen's inequality), which is what realised values scatter by.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats, Ints
from detectors.usual import errors_of

PRODUCTS = 40  # classes


def product_sums(row: Ints, probability: Floats) -> Floats:
    """Of rows (n,) of predicted labels, the last of which is any other, and probabilities (n, k): shape (k + 1, k (k + 1) / 2)."""
    k = probability.shape[1]
    out = np.zeros((k + 1, k * (k + 1) // 2))
    if k > PRODUCTS:
        return out[:, :0]
    upper = np.triu_indices(k)
    order = np.argsort(row, kind="stable")
    ends = np.cumsum(np.bincount(row, minlength=k + 1))
    for label, (start, end) in enumerate(zip(ends - np.diff(ends, prepend=0), ends, strict=True)):
        if end > start:
            p = probability[order[start:end]]
            out[label] = (p.T @ p)[upper]
    return out


def usual_worth(means: Floats, products: Floats, money: Floats, rows: int, reference_rows: int) -> tuple[float, float] | None:
    """The reference's value and the standard error of its difference to that of a window of so many rows; None where nothing was summed.

    means: shape (k + 1, k), products: as product_sums gives them, both over the reference's rows; money: what a row is worth, as means.
    """
    if not means.size:
        return None
    value = float((means * money).sum())
    if products.size:
        one, other = np.triu_indices(means.shape[1])
        twice = np.where(one == other, 1.0, 2.0)
        square = float((products * money[:, one] * money[:, other] * twice).sum())
    else:
        square = float((means * money**2).sum())
    sigma = math.sqrt(max(0.0, square - value**2))
    return value, errors_of(sigma, rows, reference_rows)
