"""The law of Kolmogorov's one-sample distance of n rows, fast enough for every feature of every window.

    far out, n <= SUMMED         twice the one-sided law (Smirnov 1939): both sides at once are rarer than 1e-6 of it
    n <= DURBIN rows             exact: the matrix power of Durbin 1968, as Marsaglia, Tsang and Wang 2003 have it
    more                         Pelz and Good 1976, as Simard and L'Ecuyer 2011 print it: within 2e-6, and 2e-3 of itself
    very far out                 the limit law at a corrected argument (Vrbik 2018): within 12 % of itself

scipy.stats.kstwo, which this is held to, takes 0.3 to 5 ms a value up to a few hundred rows, and 4 ms and more from 10,000 on.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import kolmogorov, smirnov

from detectors.columns import Floats

FAR, VERY_FAR = 2.2, 7.5  # n d^2
DURBIN = 200
SUMMED = 300
TERMS = 8
_ODD = 2.0 * np.arange(TERMS) + 1.0
_EVEN = np.arange(1.0, TERMS + 1.0)
_ROOT = math.sqrt(2.0 * math.pi)


@lru_cache(maxsize=16_384)  # features of so many rows as each other have few distances between them
def survival(distance: float, n: int) -> float:
    """The chance of so great a distance, or a greater one, of n >= 1 rows whose law is continuous."""
    if distance <= 0.5 / n:
        return 1.0
    if distance >= 1.0:
        return 0.0
    square = n * distance**2
    if n <= SUMMED and (square >= FAR or distance >= 0.5):
        found = 2.0 * float(smirnov(n, distance))
    elif n <= DURBIN:
        found = 1.0 - _durbin(distance, n)
    elif square < VERY_FAR:
        found = 1.0 - _pelz_good(distance, n)
    else:
        x = math.sqrt(square)
        found = float(kolmogorov(x + 1.0 / (6.0 * math.sqrt(n)) + (x - 1.0) / (4.0 * n)))
    return min(1.0, max(0.0, found))


def _durbin(d: float, n: int) -> float:
    k = int(n * d) + 1
    h, m = k - n * d, 2 * k - 1
    matrix, parts = _durbin_base(m)
    off = h ** np.arange(1.0, m + 1.0) * parts
    matrix = matrix.copy()
    matrix[:, 0] -= off
    matrix[-1, :] -= off[::-1]
    matrix[-1, 0] += max(0.0, 2.0 * h - 1.0) ** m * parts[-1]
    power = np.linalg.matrix_power(matrix, n)
    return float(power[k - 1, k - 1]) * math.exp(math.lgamma(n + 1.0) + n - n * math.log(n))


@lru_cache(maxsize=256)
def _durbin_base(m: int) -> tuple[Floats, Floats]:
    """The matrix (m, m) where all of it is of whole steps, and 1 / i! (m,), both over e: n! / n^n is about e^-n, nothing overflows."""
    apart = np.arange(m)[:, None] - np.arange(m)[None, :] + 1
    factorial = np.cumprod(np.concatenate([[1.0], np.arange(1.0, m + 1.0)]))
    return np.where(apart >= 0, 1.0 / factorial[np.maximum(apart, 0)], 0.0) / math.e, 1.0 / (factorial[1:] * math.e)


def _pelz_good(d: float, n: int) -> float:
    """The limit law and three terms in 1 / sqrt(n), each as a theta function that converges where d is small."""
    z2 = n * d * d
    z = math.sqrt(z2)
    a, e = (math.pi * _ODD / 2.0) ** 2, (math.pi * _EVEN) ** 2
    odd, even = np.exp(-a / (2.0 * z2)), np.exp(-e / (2.0 * z2))
    k0 = odd.sum() / z
    k1 = ((a - z2) * odd).sum() / (6.0 * z2**2)
    second = 6.0 * z2**3 + 2.0 * z2**2 + (2.0 * z2**2 - 5.0 * z2) * a + (1.0 - 2.0 * z2) * a**2
    k2 = (second * odd).sum() / (72.0 * z**7) - (e * even).sum() / (36.0 * z**3)
    third = (-30.0 * z2**3 - 90.0 * z2**4 + (135.0 * z2**2 - 96.0 * z2**3) * a
             + (212.0 * z2**2 - 60.0 * z2) * a**2 + (5.0 - 30.0 * z2) * a**3)  # fmt: skip
    k3 = (third * odd).sum() / (6480.0 * z2**5) + ((3.0 * z2 - e) * e * even).sum() / (216.0 * z2**3)
    root = math.sqrt(n)
    return float(_ROOT * (k0 + k1 / root + k2 / n + k3 / (n * root)))
