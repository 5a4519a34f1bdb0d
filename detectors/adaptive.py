"""A numeric column counted in adaptive cells, for models that have no reference yet.

A cell is a prefix of the float's own bits, mapped to integers in the same order as the floats. The prefix is
the longest for which at most CAP cells are filled, so that the state depends only on the multiset of values:
it merges exactly, in any order. Few distinct values stay exact; a narrow range far from zero stays fine.

Size: 16 bytes a filled cell, at most 16 kB, and 80 bytes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

import numpy as np

from detectors import kernels as part_in_c
from detectors.buckets import to_keys
from detectors.cells import Cells
from detectors.columns import Floats, Ints
from detectors.moments import SIZE as MOMENTS_SIZE
from detectors.moments import Moments, total

CAP = 1024
PIECE_ROWS = 16_384
SPAN = 65_536  # keys in a narrower range are counted without sorting them
_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_HEAD = struct.Struct("<IBqq")


def from_keys(keys: Ints) -> Floats:
    """The floats that to_keys maps to these."""
    return np.where(keys < 0, keys ^ _SIGN, keys).astype(np.int64).view(np.float64)


@dataclass(slots=True)
class AdaptiveSummary:
    """One numeric column. keys: filled cells, ascending, at `shift` dropped bits."""

    shift: int = 0
    keys: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    counts: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    moments: Moments = field(default_factory=Moments)
    missing: int = 0
    infinite: int = 0

    @property
    def rows(self) -> int:
        return self.moments.n + self.infinite

    def add(self, values: Floats) -> None:
        """Add values, shape (n,), in any order; NaN is missing."""
        if part_in_c.kernels is not None and len(values):
            keys, counts = np.empty(CAP, dtype=np.int64), np.empty(CAP, dtype=np.int64)
            filled, self.shift, tally = part_in_c.kernels.adaptive(
                np.ascontiguousarray(values), self.shift, self.keys, self.counts, keys, counts
            )
            self.keys, self.counts = keys[:filled].copy(), counts[:filled].copy()
            self.missing += tally[0]
            self.infinite += tally[1] + tally[2]
            self.moments.add_tally(tally)
            return
        for at in range(0, len(values), PIECE_ROWS):
            piece = values[at : at + PIECE_ROWS]
            if not math.isfinite(total(piece)):
                missing, finite = int(np.isnan(piece).sum()), piece[np.isfinite(piece)]
                self.missing += missing
                self.infinite += len(piece) - missing - len(finite)
                piece = finite
            if len(piece):
                self.moments.add(piece)
                self._take(*_tally(to_keys(piece) >> self.shift))

    def _take(self, keys: Ints, counts: Ints) -> None:
        keys = np.concatenate([self.keys, keys])
        counts = np.concatenate([self.counts, counts])
        order = np.argsort(keys, kind="stable")
        self.keys, self.counts = _squeeze(keys[order], counts[order])
        if len(self.keys) > CAP:
            drop = _bits_to_drop(self.keys)
            self.shift += drop
            self.keys, self.counts = _squeeze(self.keys >> drop, self.counts)

    def merge(self, other: AdaptiveSummary) -> None:
        mine, theirs = self, other
        shift = max(mine.shift, theirs.shift)
        self.keys, self.counts = _squeeze(mine.keys >> (shift - mine.shift), mine.counts)
        keys, counts = _squeeze(theirs.keys >> (shift - theirs.shift), theirs.counts)
        self.shift = shift
        self._take(keys, counts)
        self.moments.merge(other.moments)
        self.missing += other.missing
        self.infinite += other.infinite

    def cells(self) -> Cells:
        return self.cells_at(self.shift)

    def cells_at(self, shift: int) -> Cells:
        """The filled cells at a coarser resolution, as adjoining cells: gaps become empty cells."""
        keys, counts = _squeeze(self.keys >> (shift - self.shift), self.counts)
        return cells_from_keys(keys, counts, shift)

    def to_bytes(self) -> bytes:
        head = _HEAD.pack(len(self.keys), self.shift, self.missing, self.infinite)
        return head + self.moments.to_bytes() + self.keys.astype("<i8").tobytes() + self.counts.astype("<i8").tobytes()

    @staticmethod
    def from_bytes(data: bytes) -> AdaptiveSummary:
        """Raises ValueError where the length does not fit."""
        k, shift, missing, infinite = _HEAD.unpack_from(data)
        at = _HEAD.size + MOMENTS_SIZE
        if k > CAP or len(data) != at + 16 * k:
            raise ValueError(f"an adaptive summary of {k} cells cannot have {len(data)} bytes")
        keys = np.frombuffer(data, dtype="<i8", count=k, offset=at).astype(np.int64)
        counts = np.frombuffer(data, dtype="<i8", count=k, offset=at + 8 * k).astype(np.int64)
        return AdaptiveSummary(shift, keys, counts, Moments.from_bytes(data[_HEAD.size : at]), missing, infinite)


def common_cells(a: AdaptiveSummary, b: AdaptiveSummary) -> tuple[Cells, Cells]:
    """Two columns on the same cells, at the coarser of their resolutions."""
    shift = max(a.shift, b.shift)
    keys_a, counts_a = _squeeze(a.keys >> (shift - a.shift), a.counts)
    keys_b, counts_b = _squeeze(b.keys >> (shift - b.shift), b.counts)
    keys = np.union1d(keys_a, keys_b)
    full_a = np.zeros(len(keys), dtype=np.int64)
    full_b = np.zeros(len(keys), dtype=np.int64)
    full_a[np.searchsorted(keys, keys_a)] = counts_a
    full_b[np.searchsorted(keys, keys_b)] = counts_b
    return cells_from_keys(keys, full_a, shift), cells_from_keys(keys, full_b, shift)


@np.errstate(over="ignore")  # what lies beyond the greatest float is inf
def cells_from_keys(keys: Ints, counts: Ints, shift: int) -> Cells:
    """Cells from filled prefixes: cell i begins at its prefix and ends where the next one begins."""
    if len(keys) == 0:
        return Cells(np.array([-np.inf, np.inf]), np.zeros(1, dtype=np.int64), np.zeros(1))
    starts = from_keys(keys << shift)
    ends = from_keys(((keys + 1) << shift) - 1)
    middle = starts + (ends - starts) / 2.0
    edges = np.append(starts, np.nextafter(ends[-1], np.inf))
    return Cells(edges, counts, middle * counts)


def _tally(keys: Ints) -> tuple[Ints, Ints]:
    """The distinct keys, ascending, and how often each occurs: by counting where they lie close together."""
    low = int(keys.min())
    span = int(keys.max()) - low
    if span < SPAN:
        tally = np.bincount(keys - low, minlength=span + 1)
        filled = np.flatnonzero(tally)
        return filled + low, tally[filled]
    return _squeeze(np.sort(keys), None)


def _bits_to_drop(keys: Ints) -> int:
    """The fewest low bits to drop so that at most CAP distinct keys remain of these ascending, distinct ones.

    Two neighbours stay apart while the highest bit in which they differ is kept.
    """
    differ = (keys[1:] ^ keys[:-1]).view(np.uint64)
    high = (differ >> np.uint64(32)).astype(np.float64)
    low = (differ & np.uint64(0xFFFF_FFFF)).astype(np.float64)
    lengths = np.where(high > 0, 32 + np.frexp(high)[1], np.frexp(low)[1])
    return int(np.partition(lengths, len(lengths) - CAP)[len(lengths) - CAP])


def _squeeze(keys: Ints, counts: Ints | None) -> tuple[Ints, Ints]:
    """Add up the counts (one each, where None) of equal neighbours in ascending keys."""
    if len(keys) == 0:
        return keys, np.empty(0, dtype=np.int64)
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    if counts is None:
        return keys[first], np.diff(np.append(first, len(keys)))
    return keys[first], np.add.reduceat(counts, first)
