"""A numeric column counted on the reference's own fine quantile grid.

A value's cell is found by a table (detectors/buckets.py), and the result is integer counts: they merge exactly
and in any order. With the sum of each cell, Wasserstein's
distance is exact but for cells in which the two distribution functions cross.

Size: 16 bytes a cell (count and sum), and 56 bytes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors import kernels as part_in_c
from detectors.buckets import table_for
from detectors.cells import Cells
from detectors.columns import Floats, Ints
from detectors.moments import SIZE as MOMENTS_SIZE
from detectors.moments import Moments, total

PIECE_ROWS = 16_384  # a piece and what is made of it stay in the second-level cache
FINER_TAILS = (1 / 512, 1 / 1024, 1 / 2048, 1 / 4096, 1 / 16384)
EXTREMES = 32  # the least and greatest values are edges themselves: in heavy tails they carry the distance
OUTER_STEPS = tuple(2.0**e for e in range(-2, 11))  # in standard deviations beyond the reference's range
ATOM_CELLS = 4  # a value with the rows of so many cells is kept apart from its neighbours
_HEAD = struct.Struct("<Iqqq")


@np.errstate(over="ignore", invalid="ignore")  # sums of great values: such edges are left out
def make_grid(values: Floats, cells: int = 512) -> Floats:
    """Interior edges of a grid for values (NaN and infinities are left out): shape (k,), ascending, finite.

    A column of at most `cells` distinct values gets a cell for each of them; else cells of equal share, finer
    in the tails, and some beyond the range, so that a shift outwards is measured and not just counted.
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return np.zeros(1)
    distinct = np.unique(finite)
    if len(distinct) <= cells:
        edges = distinct
        between = (distinct[1:] + distinct[:-1]) / 2.0
        edges = np.concatenate([distinct, between]) if len(distinct) <= cells // 2 else distinct
    else:
        levels = np.concatenate([np.linspace(0, 1, cells + 1), FINER_TAILS, 1.0 - np.array(FINER_TAILS)])
        quantiles, times = np.unique(np.quantile(finite, levels), return_counts=True)
        atoms = np.nextafter(quantiles[times >= ATOM_CELLS], np.inf)  # a frequent value gets a cell of its own
        edges = np.concatenate([quantiles, atoms, distinct[:EXTREMES], distinct[-EXTREMES:]])
    low, high = float(distinct[0]), float(distinct[-1])
    std = float(finite.std()) or max(abs(high), 1.0) * 1e-3
    outer = std * np.array(OUTER_STEPS)
    edges = np.unique(np.concatenate([edges, low - outer, high + outer, [np.nextafter(high, np.inf)]]))
    return edges[np.isfinite(edges)]


@dataclass(slots=True)
class GridSummary:
    """One numeric column on a grid. infinite counts +inf and -inf: they lie in the outer cells, not in sums."""

    edges: Floats  # interior, shape (k,)
    counts: Ints  # shape (k + 1,)
    sums: Floats  # shape (k + 1,)
    moments: Moments
    missing: int = 0
    infinite: int = 0
    known: dict[object, Any] = field(default_factory=dict, init=False, compare=False, repr=False)  # what was made of it as it is

    @staticmethod
    def empty(edges: Floats) -> GridSummary:
        k = len(edges) + 1
        return GridSummary(edges, np.zeros(k, dtype=np.int64), np.zeros(k), Moments())

    @property
    def rows(self) -> int:
        """Values that are there, infinities among them."""
        return self.moments.n + self.infinite

    def add(self, values: Floats) -> None:
        """Add values, shape (n,), in any order; NaN is missing."""
        self.known.clear()
        table = table_for(self.edges) if part_in_c.kernels is not None else None
        if table is not None and part_in_c.kernels is not None and len(values):
            tally = part_in_c.kernels.grid(
                np.ascontiguousarray(values), table.edges, table.by_bits, *table.bits(), table.origin, table.scale, table.base,
                table.single, table.crowded, self.counts, self.sums,
            )  # fmt: skip
            self.missing += tally[0]
            self.infinite += tally[1] + tally[2]
            self.counts[0] += tally[1]
            self.counts[-1] += tally[2]
            self.moments.add_tally(tally)
            return
        for at in range(0, len(values), PIECE_ROWS):
            piece = values[at : at + PIECE_ROWS]
            if not math.isfinite(total(piece)):
                piece = self._only_finite(piece)
            self._add_piece(piece)

    def _only_finite(self, values: Floats) -> Floats:
        """Count what is missing or infinite, and return the rest."""
        missing = int(np.isnan(values).sum())
        below, above = int((values == -np.inf).sum()), int((values == np.inf).sum())
        self.missing += missing
        self.infinite += below + above
        self.counts[0] += below
        self.counts[-1] += above
        return values[np.isfinite(values)] if missing + below + above else values

    def _add_piece(self, values: Floats) -> None:
        self.moments.add(values)
        self._count(values)

    def _count(self, finite: Floats) -> None:
        """Add to counts and sums of the cells that finite values lie in."""
        table = table_for(self.edges)
        k = len(self.counts)
        if table is not None:
            cells = table.cells(finite)
            self.counts += np.bincount(cells, minlength=k)
            self.sums += np.bincount(cells, weights=finite, minlength=k)
            return
        ordered = np.sort(finite)
        bounds = np.concatenate([[0], np.searchsorted(ordered, self.edges, side="left"), [len(ordered)]])
        self.counts += np.diff(bounds)
        # reduceat needs indices inside the array and gives the element itself for empty cells
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if len(filled):
            with np.errstate(over="ignore"):
                self.sums[filled] += np.add.reduceat(ordered, bounds[:-1][filled])

    def merge(self, other: GridSummary) -> None:
        """Raises ValueError for a summary of another grid."""
        if len(self.edges) != len(other.edges):
            raise ValueError(f"grids of {len(self.edges)} and {len(other.edges)} edges do not merge")
        self.known.clear()
        self.counts += other.counts
        self.sums += other.sums
        self.moments.merge(other.moments)
        self.missing += other.missing
        self.infinite += other.infinite

    def cells(self) -> Cells:
        edges = np.concatenate([[-np.inf], self.edges, [np.inf]])
        return Cells(edges, self.counts, self.sums)

    def to_bytes(self) -> bytes:
        head = _HEAD.pack(len(self.counts), self.missing, self.infinite, 0)
        return head + self.moments.to_bytes() + self.counts.astype("<i8").tobytes() + self.sums.astype("<f8").tobytes()

    @staticmethod
    def from_bytes(data: bytes, edges: Floats) -> GridSummary:
        """Raises ValueError where the length or the grid does not fit."""
        k, missing, infinite, _ = _HEAD.unpack_from(data)
        at = _HEAD.size + MOMENTS_SIZE
        if k != len(edges) + 1 or len(data) != at + 16 * k:
            raise ValueError(f"a grid summary of {k} cells and {len(data)} bytes does not fit {len(edges)} edges")
        counts = np.frombuffer(data, dtype="<i8", count=k, offset=at).astype(np.int64)
        sums = np.frombuffer(data, dtype="<f8", count=k, offset=at + 8 * k).astype(np.float64)
        return GridSummary(edges, counts, sums, Moments.from_bytes(data[_HEAD.size : at]), missing, infinite)
