"""PCA reconstruction error: how far rows lie from the plane that the reference's rows lie near.

NannyML's data reconstruction (Jaworski, Bialek): of the standardised matrix the components that hold 65 % of the
variance; a row's error is the length of what they do not explain; a window's, the mean over its rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats

VARIANCE = 0.65


@dataclass(frozen=True, slots=True)
class Plane:
    """components has shape (k, d), orthonormal; mean and std are of the reference's row errors (ddof 1)."""

    center: Floats
    components: Floats
    mean: float
    std: float

    @staticmethod
    def fit(matrix: Floats) -> Plane:
        """Of standardised rows, shape (n, d)."""
        center = matrix.mean(axis=0)
        covariance = (matrix - center).T @ (matrix - center) / max(1, len(matrix) - 1)
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        total = values.sum()
        held = np.cumsum(values) / total if total > 0 else np.ones(len(values))
        k = min(len(values), int(np.searchsorted(held, VARIANCE, side="right")) + 1)
        plane = Plane(center, np.ascontiguousarray(vectors[:, :k].T), 0.0, 0.0)
        errors = plane.errors(matrix)
        return Plane(center, plane.components, float(errors.mean()), float(errors.std(ddof=1)) if len(errors) > 1 else 0.0)

    def errors(self, matrix: Floats) -> Floats:
        """The reconstruction error of each row, shape (n,)."""
        off = matrix - self.center
        rest = off - (off @ self.components.T) @ self.components
        out: Floats = np.sqrt(np.einsum("ij,ij->i", rest, rest))
        return out
