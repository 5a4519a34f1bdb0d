"""What a window keeps of its features together: sums that say how far rows and their means lie from the reference's.

    pca           row errors of reconstruction (reconstruction.py): count, mean, spread
    mahalanobis   the sum of standardised rows and of their products: distances of means and of rows
    mmd           sums of random Fourier features (mmd.py), of the features and of vectors such as embeddings
    pairs         sums of pairs of numeric features (correlation.py)

All of it merges; nothing of it is kept unless the config asks, and the reference was built since. Size: 44 bytes;
8 d (d + 1) of d features (at most WIDEST); 4 kB a kernel; 48 bytes a pair.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from detectors import frame
from detectors.columns import Columns, Floats, Schema
from detectors.correlation import SUMS, Pair, fit_pairs
from detectors.matrix import Encoder
from detectors.mmd import Kernel
from detectors.moments import Moments
from detectors.reconstruction import Plane
from detectors.uneven import Shape, shape_of

FORMAT = 1
FIT_FORMAT = 2
TOGETHER = 1  # the fits' format before: covariance and kernels by shares that count their own rows
PART = "multivariate"
FEATURES = "features"  # the name of the features' own kernel; others are named after their vector
WIDEST = 200  # features of a matrix of products
FIT_ROWS = 200_000
SEED = 20_090_131
FLAT = 1e-9  # of the greatest eigenvalue: directions in which the reference does not vary measure nothing
FAR = 1e9  # a value further from the mean counts as that many standard deviations
FAR_IN_KERNEL = 1e3  # there it lies far from everything at a thousandth of that


@dataclass(frozen=True, slots=True)
class Fit:
    """What a reference holds. Those that the config did not ask for are None or empty.

    plain: the encoder of the plane, as NannyML has it. apart: that of covariance and kernels, see detectors/matrix.py.
    """

    rows: int
    plain: Encoder | None
    apart: Encoder | None
    plane: Plane | None
    covariance: Floats | None
    kernels: dict[str, Kernel]
    pairs: tuple[Pair, ...]
    shapes: dict[str, Shape | None]  # of what is averaged: "plane", "covariance", and pairs by subject; {} in older fits


def fit(columns: Columns, options: dict[str, Any]) -> bytes:
    """Of a reference's rows. options: as monitor/parts.py makes them. Raises ValueError with the reason."""
    if columns.rows > FIT_ROWS:
        keep = np.random.Generator(np.random.PCG64(SEED)).permutation(columns.rows)[:FIT_ROWS]
        columns = columns.take(np.sort(keep))
    head: dict[str, Any] = {"rows": columns.rows, "kernels": [], "plane": None, "covariance": False}
    arrays: list[Floats] = []
    shapes: dict[str, Shape] = {}
    on = list(options.get("mmd", ()))
    if options.get("mahalanobis") or FEATURES in on:
        apart = Encoder.fit(columns, apart=True)
        matrix = _bounded(apart.encode(columns, own=True))
        head["apart"] = apart.to_json()
    if options.get("pca"):
        plain = Encoder.fit(columns)
        head["encoder"] = plain.to_json()
        plane = Plane.fit(_bounded(plain.encode(columns)))
        head["plane"] = [plane.mean, plane.std, *plane.components.shape]
        shapes["plane"] = shape_of(plane.errors(_bounded(plain.encode(columns))))
        arrays += [plane.center, plane.components]
    if options.get("mahalanobis"):
        if matrix.shape[1] > WIDEST:
            raise ValueError(f"multivariate.mahalanobis: {matrix.shape[1]} features, at most {WIDEST}")
        head["covariance"] = True
        arrays.append(np.atleast_2d(np.cov(matrix, rowvar=False, ddof=0)))
        shapes["covariance"] = shape_of(matrix @ whitening(arrays[-1]))
    for name in on:
        if name != FEATURES and name not in columns.vectors:
            raise ValueError(
                f"multivariate.mmd: the rows have no vector {name!r}; there are {', '.join(columns.vectors) or 'none'}"
            )
        rows = np.clip(matrix, -FAR_IN_KERNEL, FAR_IN_KERNEL) if name == FEATURES else _vectors(columns, name)
        kernel = Kernel.fit(rows, SEED)
        head["kernels"].append([name, kernel.seed, kernel.width, kernel.sigma, kernel.rows])
        arrays += [kernel.mean, kernel.null]
    pairs: list[Pair] = []
    if "pairs" in options:
        pairs = fit_pairs(columns, [(x, y) for x, y in options["pairs"]], options["strong"], options["limit"])
    head["shapes"] = shapes | {p.subject: p.shape for p in pairs}
    head["pairs"] = [[p.x, p.y, p.center, p.scale, p.correlation, p.rows, p.spread] for p in pairs]
    return bytes([FIT_FORMAT]) + frame.join([json.dumps(head).encode(), *(a.astype("<f8").tobytes() for a in arrays)])


@lru_cache(16)
def load_fit(data: bytes) -> Fit:
    """Raises ValueError for a format that this release does not know."""
    if not data or data[0] not in (TOGETHER, FIT_FORMAT):
        raise ValueError(
            f"multivariate fit of format {data[:1]!r}: this release reads {TOGETHER} and {FIT_FORMAT}. Upgrade driftd."
        )
    first, *rest = frame.split(data[1:])
    head = json.loads(first)
    arrays = iter(np.frombuffer(part, dtype="<f8").astype(np.float64) for part in rest)
    plain = Encoder.from_json(head["encoder"]) if "encoder" in head else None
    apart = Encoder.from_json(head["apart"]) if "apart" in head else plain if data[0] == TOGETHER else None
    plane = covariance = None
    if head["plane"] is not None:
        mean, std, k, d = head["plane"]
        plane = Plane(next(arrays), next(arrays).reshape(k, d), mean, std)
    if head["covariance"]:
        assert apart is not None
        covariance = next(arrays).reshape(apart.width, apart.width)
    kernels = {
        name: Kernel(seed, width, sigma, next(arrays), rows, next(arrays)) for name, seed, width, sigma, rows in head["kernels"]
    }
    pairs = tuple(Pair(x, y, tuple(c), tuple(s), r, n, spread) for x, y, c, s, r, n, spread in head["pairs"])
    shapes = {name: (skew, kurtosis) for name, (skew, kurtosis) in head.get("shapes", {}).items()}
    return Fit(head["rows"], plain, apart, plane, covariance, kernels, pairs, dict(shapes))


@dataclass(slots=True)
class Multivariate:
    """Sums of `rows` rows. arrays: "sum" (d,), "products" (d, d), "pairs" (p, 6), "kernel:NAME" (2 dims + 1,), rows last."""

    schema: Schema
    fitted: int = 0  # of what reference, as a checksum; 0: of none, then nothing is counted
    rows: int = 0
    errors: Moments = field(default_factory=Moments)
    arrays: dict[str, Floats] = field(default_factory=dict)
    _fit: Fit | None = None

    @staticmethod
    def empty(schema: Schema) -> Multivariate:
        return Multivariate(schema)

    def bind(self, profile: Any) -> None:
        """Count as a reference fitted; without one, or one built before the config asked for it, nothing is counted."""
        data = None if profile is None else profile.extras.get(PART)
        if data is None:
            return
        checksum = zlib.crc32(data) or 1
        if self.fitted not in (0, checksum):
            self.rows, self.errors, self.arrays = 0, Moments(), {}
        self.fitted, self._fit = checksum, load_fit(data)

    def add(self, columns: Columns) -> None:
        """Add rows."""
        fit = self._fit
        if fit is None or columns.rows == 0:
            return
        self.rows += columns.rows
        encoder = fit.plain or fit.apart
        if encoder is not None:
            matrix = encoder.encode(columns)
            if fit.plane is not None:
                self.errors.add(fit.plane.errors(_bounded(matrix)))
            if fit.apart is not None:
                matrix = _bounded(matrix if encoder is fit.apart else encoder.moved(matrix, fit.apart))
            if fit.covariance is not None:
                self._sum("sum", matrix.sum(axis=0))
                self._sum("products", matrix.T @ matrix)
            if FEATURES in fit.kernels:
                self._kernel(fit.kernels[FEATURES], FEATURES, np.clip(matrix, -FAR_IN_KERNEL, FAR_IN_KERNEL))
        for name, kernel in fit.kernels.items():
            if name != FEATURES and name in columns.vectors:
                self._kernel(kernel, name, _vectors(columns, name))
        if fit.pairs:
            self._sum("pairs", np.stack([pair.sums(columns) for pair in fit.pairs]))

    def _kernel(self, kernel: Kernel, name: str, rows: Floats) -> None:
        if len(rows) and rows.shape[1] == kernel.width:
            self._sum(f"kernel:{name}", np.append(kernel.sums(rows), len(rows)))

    def _sum(self, name: str, values: Floats) -> None:
        self.arrays[name] = self.arrays[name] + values if name in self.arrays else values

    def merge(self, other: Multivariate) -> None:
        """Raises ValueError for sums of another reference."""
        if other.rows == 0:
            return
        if self.rows and self.fitted != other.fitted:
            raise ValueError("sums of two references do not merge")
        self.fitted, self._fit = other.fitted, other._fit or self._fit
        self.rows += other.rows
        self.errors.merge(other.errors)
        for name, values in other.arrays.items():
            self._sum(name, values)

    def to_bytes(self) -> bytes:
        shapes = [[name, values.shape] for name, values in sorted(self.arrays.items())]
        head = json.dumps([self.fitted if self.rows else 0, self.rows, shapes]).encode()
        body = [values.astype("<f8").tobytes() for _, values in sorted(self.arrays.items())]
        return bytes([FORMAT]) + frame.join([head, self.errors.to_bytes(), *body])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> Multivariate:
        """Raises ValueError for a format that this release does not know."""
        if not data or data[0] != FORMAT:
            raise ValueError(f"multivariate sums of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        head, errors, *body = frame.split(data[1:])
        fitted, rows, shapes = json.loads(head)
        arrays = {
            name: np.frombuffer(part, dtype="<f8").astype(np.float64).reshape(shape)
            for (name, shape), part in zip(shapes, body, strict=True)
        }
        return Multivariate(schema, fitted, rows, Moments.from_bytes(errors), arrays)

    def kernel_sums(self, name: str) -> tuple[Floats, int]:
        """Sums of a kernel's features, and of how many rows."""
        found = self.arrays.get(f"kernel:{name}")
        return (np.zeros(0), 0) if found is None else (found[:-1], int(found[-1]))

    def pair_sums(self) -> Floats:
        return self.arrays.get("pairs", np.zeros((0, SUMS)))


def whitening(covariance: Floats) -> Floats:
    """Directions by which rows have the covariance 1, shape (d, rank); those in which the reference does not vary are left out."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > FLAT * max(float(values[-1]), 1e-300)
    found: Floats = vectors[:, kept] / np.sqrt(values[kept])
    return found


def _bounded(matrix: Floats) -> Floats:
    out: Floats = np.clip(matrix, -FAR, FAR)
    return out


def _vectors(columns: Columns, name: str) -> Floats:
    """The rows that have a whole vector."""
    rows = columns.vectors[name].astype(np.float64)
    out: Floats = rows[np.isfinite(rows).all(axis=1)]
    return out
