"""Rows of mixed columns as one matrix of standardised numbers, as NannyML makes it for its reconstruction error.

Missing numbers become the reference's mean, missing categories its most frequent one; a category becomes its share of
the reference's rows (0 where it had none); every column is then shifted and scaled by the reference's mean and
standard deviation (ddof 0; a constant column by 1).

What is compared with the reference's own rows (covariance, kernels, distances) is fitted `apart`: each of them is left
out of its category's share, as a window's rows are. Else many values alone move a window away from its own source: each
share counts its own row, and by 1,000 values of 20,000 rows the mean moves a fifth of a standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.columns import Columns, DictColumn, Floats

CATEGORIES = 1000  # shares kept a feature, the most frequent ones; the rest encode as 0
COLUMNS = 2000  # more features make no matrix: a square of them is fitted


@dataclass(frozen=True, slots=True)
class Encoder:
    """numeric and categorical are the features in the matrix's order; arrays have shape (d,)."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    fill: Floats  # of numeric features
    shares: dict[str, dict[str, float]]
    mode: dict[str, str | None]
    mean: Floats
    scale: Floats

    @property
    def width(self) -> int:
        return len(self.mean)

    @staticmethod
    @np.errstate(over="ignore", invalid="ignore")  # of great values: the scores that come of it are no numbers
    def fit(columns: Columns, apart: bool = False) -> Encoder:
        """Raises ValueError for too many features, or none. apart: mean and scale are those of rows left out of their share."""
        numeric, categorical = tuple(columns.numeric), tuple(columns.categorical)
        if not 1 <= len(numeric) + len(categorical) <= COLUMNS:
            raise ValueError(f"multivariate: {len(numeric) + len(categorical)} features; 1 to {COLUMNS} make a matrix")
        fill = np.array([_mean(columns.numeric[f]) for f in numeric])
        shares: dict[str, dict[str, float]] = {}
        mode: dict[str, str | None] = {}
        for feature in categorical:
            column = columns.categorical[feature]
            counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
            ordered = sorted(zip(column.values, counts.tolist(), strict=True), key=lambda item: (-item[1], item[0]))
            mode[feature] = ordered[0][0] if ordered and ordered[0][1] else None
            missing = int((column.codes < 0).sum())
            shares[feature] = {
                value: (n + (missing if value == mode[feature] else 0)) / max(1, columns.rows)
                for value, n in ordered[:CATEGORIES]
                if n
            }
        width = len(numeric) + len(categorical)
        raw = Encoder(numeric, categorical, fill, shares, mode, np.zeros(width), np.ones(width)).encode(columns, apart)
        scale = raw.std(axis=0)
        constant = scale <= 1e-12 * np.maximum(1.0, np.abs(raw).max(axis=0, initial=0.0))
        return Encoder(numeric, categorical, fill, shares, mode, raw.mean(axis=0), np.where(constant, 1.0, scale))

    @np.errstate(over="ignore", invalid="ignore")
    def encode(self, columns: Columns, own: bool = False) -> Floats:
        """Rows as a matrix, shape (columns.rows, width). A feature that the columns lack is missing in all rows.

        own: they are all the rows that it was fitted on, and each is left out of its category's share.
        """
        out = np.empty((columns.rows, self.width))
        for i, feature in enumerate(self.numeric):
            values = columns.numeric.get(feature)
            known = np.full(columns.rows, self.fill[i]) if values is None else np.where(np.isfinite(values), values, self.fill[i])
            out[:, i] = known
        for i, feature in enumerate(self.categorical, len(self.numeric)):
            column = columns.categorical.get(feature, DictColumn.missing(columns.rows))
            table = self.shares[feature]
            lookup = np.array([table.get(v, 0.0) for v in column.values] + [table.get(self.mode[feature] or "", 0.0)])
            if own:
                lookup = np.maximum(lookup * columns.rows - 1.0, 0.0) / max(1, columns.rows - 1)
            out[:, i] = lookup[column.codes]  # code -1 indexes the last entry
        out -= self.mean
        out /= self.scale
        return out

    def moved(self, matrix: Floats, other: Encoder) -> Floats:
        """Rows that this one has encoded, as `other`, which differs in mean and scale only, would have."""
        with np.errstate(over="ignore", invalid="ignore"):
            found: Floats = matrix * (self.scale / other.scale) + (self.mean - other.mean) / other.scale
        return found

    def to_json(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name).tolist() for name in ("fill", "mean", "scale")}
        return {"numeric": self.numeric, "categorical": self.categorical, "shares": self.shares, "mode": self.mode, **arrays}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Encoder:
        fill, mean, scale = (np.array(data[name], dtype=np.float64) for name in ("fill", "mean", "scale"))
        return Encoder(tuple(data["numeric"]), tuple(data["categorical"]), fill, data["shares"], data["mode"], mean, scale)


def _mean(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0
