"""Rows that lie far from the reference in all features together: Mahalanobis' distance, fitted when the reference is built.

The rows become standardised numbers (detectors/matrix.py); the distance is measured by the inverse covariance of the
reference, directions without any spread left out. A row is an outlier beyond the distance that a share `1 - quantile`
of the reference's own rows exceeds, so that no normal distribution is assumed. Two optional parts:

    outliers     rows, and outliers among them: 16 bytes
    worst_rows   the rows that lie farthest, as a bounded, masked sample like detectors/sample.py's, which is kept as
                 long as that is; off unless the config keeps samples of rows

Size: 17 bytes; and that of a sample of so many rows.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from detectors import frame
from detectors.columns import Columns, Floats, Schema
from detectors.matrix import Encoder
from detectors.sample import PART as SAMPLE
from detectors.sample import RowSample
from detectors.score import Score

FORMAT = 1
PART, WORST_ROWS = "outliers", "worst_rows"
WIDEST = 500  # features: a square of them is fitted, and each row takes as many multiplications
FAR = 1e6  # standard deviations; a row with an infinite value is as far away
LEAST_SPREAD = 1e-9  # of a direction, beside the widest one


@dataclass(frozen=True, slots=True)
class OutlierFit:
    """whiten has shape (d, k): the distance of a row x is the length of (x - mean) @ whiten."""

    encoder: Encoder
    mean: Floats
    whiten: Floats
    limit: float
    quantile: float

    def distances(self, columns: Columns) -> Floats:
        """Of each row, shape (columns.rows,)."""
        found: Floats = np.linalg.norm((_matrix(self.encoder, columns) - self.mean) @ self.whiten, axis=1)
        for feature in self.encoder.numeric:
            if feature in columns.numeric and np.isinf(columns.numeric[feature]).any():
                found[np.isinf(columns.numeric[feature])] = FAR  # whatever the other features say
        # the last bits of a matrix product depend on how many rows it has: a row's distance must not
        return found.astype(np.float32).astype(np.float64)


def _matrix(encoder: Encoder, columns: Columns, own: bool = False) -> Floats:
    """The rows standardised, missing and infinite values at the mean, within FAR of it. own: as Encoder.encode has it."""
    found: Floats = np.clip(encoder.encode(columns, own), -FAR, FAR)
    return found


def fit_outliers(columns: Columns, quantile: float) -> bytes:
    """Raises ValueError for too many features, or for fewer than two rows."""
    if columns.rows < 2:
        raise ValueError("outliers: a reference of one row has no spread; give a file with more rows")
    encoder = Encoder.fit(columns, apart=True)
    if encoder.width > WIDEST:
        raise ValueError(f"outliers: {encoder.width} features, at most {WIDEST}")
    matrix = _matrix(encoder, columns, own=True)
    mean = matrix.mean(axis=0)
    spread, directions = np.linalg.eigh(np.atleast_2d(np.cov(matrix, rowvar=False, ddof=0)))
    kept = spread > LEAST_SPREAD * max(float(spread.max()), 1e-300)
    whiten = directions[:, kept] / np.sqrt(spread[kept])
    limit = float(np.quantile(np.linalg.norm((matrix - mean) @ whiten, axis=1), quantile))
    head = json.dumps([FORMAT, encoder.to_json(), list(whiten.shape), limit, quantile]).encode()
    return frame.join([head, mean.astype("<f8").tobytes(), whiten.astype("<f8").tobytes()])


@lru_cache(16)
def load_outliers(data: bytes) -> OutlierFit:
    """Raises ValueError for a format that this release does not know."""
    head, mean, whiten = frame.split(data)
    form, encoder, shape, limit, quantile = json.loads(head)
    if form != FORMAT:
        raise ValueError(f"outlier fit of format {form}: this release reads format {FORMAT}. Upgrade driftd.")
    arrays = (np.frombuffer(part, dtype="<f8").astype(np.float64) for part in (mean, whiten))
    return OutlierFit(Encoder.from_json(encoder), next(arrays), next(arrays).reshape(shape), limit, quantile)


def _fit_of(profile: Any) -> OutlierFit | None:
    data = None if profile is None else profile.extras.get(PART)
    return None if data is None else load_outliers(data)


@dataclass(slots=True)
class OutlierCount:
    """rows that were measured, and those beyond the limit."""

    rows: int = 0
    beyond: int = 0
    fit: OutlierFit | None = field(default=None, compare=False)

    def bind(self, profile: Any) -> None:
        self.fit = _fit_of(profile)

    def add(self, columns: Columns) -> None:
        if self.fit is not None and columns.rows:
            self.rows += columns.rows
            self.beyond += int((self.fit.distances(columns) > self.fit.limit).sum())

    def merge(self, other: OutlierCount) -> None:
        self.rows += other.rows
        self.beyond += other.beyond

    def to_bytes(self) -> bytes:
        return struct.pack("<Bqq", FORMAT, self.rows, self.beyond)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> OutlierCount:
        """Raises ValueError for a format that this release does not know."""
        if len(data) != 17 or data[0] != FORMAT:
            raise ValueError(
                f"outlier count of format {data[:1]!r}, {len(data)} bytes: this release reads {FORMAT}. Upgrade driftd."
            )
        _, rows, beyond = struct.unpack("<Bqq", data)
        return OutlierCount(rows, beyond)


@dataclass(slots=True)
class WorstRows:
    """The farthest rows: a sample by the smallest of ids, whose first half is the distance's bits turned round."""

    sample: RowSample
    fit: OutlierFit | None = field(default=None, compare=False)

    @staticmethod
    def empty(schema: Schema) -> WorstRows:
        return WorstRows(RowSample.empty(_as_sample(schema)))

    def bind(self, profile: Any) -> None:
        self.fit = _fit_of(profile)

    @property
    def rows(self) -> int:
        return self.sample.rows

    def add(self, columns: Columns) -> None:
        """Raises ValueError for columns without ids."""
        if self.fit is None or columns.rows == 0:
            return
        if columns.ids is None:
            raise ValueError("rows without ids cannot be sampled")
        distances = self.fit.distances(columns)
        far = np.flatnonzero(distances > self.fit.limit)
        chosen = columns.take(far)
        assert chosen.ids is not None
        turned = ~np.ascontiguousarray(distances[far]).view(np.uint64)  # positive floats are ordered as their bits are
        self.sample.add(replace(chosen, ids=np.stack([turned, chosen.ids[:, 0]], axis=1)))

    def merge(self, other: WorstRows) -> None:
        self.sample.merge(other.sample)

    def worst(self) -> tuple[Columns | None, Floats]:
        """The rows, farthest first, and their distances."""
        kept = self.sample.kept
        if kept is None or kept.ids is None:
            return None, np.empty(0)
        return kept, np.ascontiguousarray(~kept.ids[:, 0]).view(np.float64)

    def to_bytes(self) -> bytes:
        return self.sample.to_bytes()

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> WorstRows:
        """Raises ValueError for a format that this release does not know."""
        return WorstRows(RowSample.from_bytes(data, _as_sample(schema)))


@lru_cache(64)
def _options(rows: int, mask: tuple[str, ...]) -> dict[str, Any]:
    return {SAMPLE: {"rows": rows, "mask": mask}}


def _as_sample(schema: Schema) -> Schema:
    """The schema with the options of this part in the place of the sample's."""
    options = schema.parts.get(WORST_ROWS, {})
    return replace(schema, parts=_options(int(options.get("rows", 20)), tuple(options.get("mask", ()))))


def score_outliers(count: OutlierCount, fit: OutlierFit | None, name: str) -> Iterator[Score]:
    """The share of outliers; the reference's own is 1 - quantile. Undefined where the reference was built without."""
    if fit is None:
        why: dict[str, object] = {"reason": "the reference was not built with `outliers`: build it anew, driftd reference build"}
        yield Score("features", "multivariate_outlier_share", math.nan, 0, name, why)
        return
    value = count.beyond / count.rows if count.rows else math.nan
    evidence: dict[str, object] = {"distance_limit": fit.limit, "reference_share": 1.0 - fit.quantile, "outliers": count.beyond}
    yield Score("features", "multivariate_outlier_share", value, count.rows, name, evidence)
