"""Maximum mean discrepancy by random Fourier features: a distance of distributions whose sums merge.

Gretton et al. 2012, "A Kernel Two-Sample Test": MMD is the distance of the means of k(x, .). Rahimi, Recht 2007,
"Random Features for Large-Scale Kernel Machines": for the Gaussian kernel exp(-|x - y|^2 / (2 sigma^2)) these means
are those of cos(w x) and sin(w x), w normal with standard deviation 1 / sigma. So a window keeps sums of 2 x DIMS
numbers, whatever its rows, and every row has length one, so that the unbiased estimate needs no rows either.

The frequencies follow from a seed that the reference fixes; sigma is the median distance of its rows (the median
heuristic). The null distribution is that of permutations: a part of the reference against the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from detectors.columns import Floats

DIMS = 256  # frequencies: the kernel within about 1 / sqrt(DIMS) for a pair, far closer for means
FIT_ROWS = 4000  # of the reference, for sigma and for the null distribution
MEDIAN_ROWS = 500
PERMUTATIONS = 500
NULL_POINTS = 501


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a reference fixes. mean: of the features over its rows, shape (2 dims,); rows: how many.

    null: quantiles of the biased MMD^2 divided by (1/n + 1/m) under permutation, ascending, shape (NULL_POINTS,).
    """

    seed: int
    width: int
    sigma: float
    mean: Floats
    rows: int
    null: Floats

    @staticmethod
    def fit(matrix: Floats, seed: int) -> Kernel:
        """Of rows of shape (n, width), finite. Raises ValueError for fewer than 20."""
        n, width = matrix.shape
        if n < 20:
            raise ValueError(f"multivariate.mmd: {n} rows of the reference have a value, at least 20 are needed")
        rng = np.random.Generator(np.random.PCG64(seed))
        chosen = matrix if n <= FIT_ROWS else matrix[rng.permutation(n)[:FIT_ROWS]]
        sigma = _median_distance(chosen[:MEDIAN_ROWS])
        kernel = Kernel(seed, width, sigma, np.zeros(2 * DIMS), n, np.zeros(NULL_POINTS))
        mean = kernel.sums(matrix) / n
        features = kernel.features(chosen)
        m = len(chosen)
        part = max(10, m // 4)
        picks = np.zeros((PERMUTATIONS, m))
        for row in picks:
            row[rng.permutation(m)[:part]] = 1.0
        inside = picks @ features
        total = features.sum(axis=0)
        gap = inside / part - (total - inside) / (m - part)
        found = np.einsum("ij,ij->i", gap, gap) / (1.0 / part + 1.0 / (m - part))
        return Kernel(seed, width, sigma, mean, n, np.quantile(found, np.linspace(0, 1, NULL_POINTS)))

    def features(self, matrix: Floats) -> Floats:
        """Shape (n, 2 dims); each row has length one."""
        angle = matrix @ _frequencies(self.seed, self.width) / self.sigma
        out: Floats = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / np.sqrt(DIMS)
        return out

    def sums(self, matrix: Floats, piece: int = 4096) -> Floats:
        """Sums of the features over rows, shape (2 dims,)."""
        out = np.zeros(2 * DIMS)
        for at in range(0, len(matrix), piece):
            out += self.features(matrix[at : at + piece]).sum(axis=0)
        return out

    def compare(self, sums: Floats, rows: int) -> tuple[float, float]:
        """The unbiased MMD^2 of a window from the reference, and its p-value. rows > 1."""
        mean = sums / rows
        own = (rows * float(mean @ mean) - 1.0) / (rows - 1.0)
        other = (self.rows * float(self.mean @ self.mean) - 1.0) / (self.rows - 1.0)
        gap = mean - self.mean
        statistic = float(gap @ gap) / (1.0 / rows + 1.0 / self.rows)
        return own + other - 2.0 * float(mean @ self.mean), self._p(statistic)

    def _p(self, statistic: float) -> float:
        """By the permutations; beyond the greatest of them by the gamma distribution of their mean and spread."""
        above = 1.0 - float(np.interp(statistic, self.null, np.linspace(0, 1, len(self.null))))
        if above > 2.0 / PERMUTATIONS:
            return above
        from scipy.special import gammaincc

        mean, variance = float(self.null.mean()), max(float(self.null.var()), 1e-300)
        tail = float(gammaincc(mean**2 / variance, statistic * mean / variance))
        return min(tail, 2.0 / PERMUTATIONS)


def _median_distance(rows: Floats) -> float:
    from scipy.spatial.distance import pdist

    found = pdist(rows)
    positive = found[found > 0]
    return float(np.median(positive)) if len(positive) else 1.0


@lru_cache(16)
def _frequencies(seed: int, width: int) -> Floats:
    """Standard normals of shape (width, dims): Box-Muller over PCG64's raw stream, which numpy keeps for ever."""
    n = width * DIMS
    raw = np.random.PCG64(seed).random_raw(2 * n)
    uniform = (raw >> np.uint64(11)).astype(np.float64) / 2.0**53
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform[:n]))
    out: Floats = (radius * np.cos(2.0 * np.pi * uniform[n:])).reshape(width, DIMS)
    return out
