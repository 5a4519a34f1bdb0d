"""Cells of features that need no reference: a function of the event alone, which its label finds again.

A code of 16 bits a value. Of a number: its sign, its power of two and seven bits behind it (a cell is less than 1 % of the value
wide), in the order of the numbers, from the same bits as detectors/adaptive.py. Of a string: a hash. 0xFFFF: missing, or infinite.

CodeSums holds sums by code, adaptively: codes lose as few low bits as leave at most CAP that were ever seen, so that it is the
same for every split and order of the rows, and a row that is taken back leaves its cell behind. Size: 32 bytes a cell.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from detectors.adaptive import AdaptiveSummary, from_keys
from detectors.buckets import to_keys
from detectors.category import OTHER, CategorySummary
from detectors.coarse_cells import CELLS, MISSING, NAMED, Cutting
from detectors.columns import Bools, Columns, Floats, Ints

FORMAT = 1
NONE = 0xFFFF
CAP = 256
SUMS = 3  # rows, sum of errors, sum of their squares
_CUT = 45  # low bits of the 64: sign, exponent and seven bits stay
_LOW = (1023 - 127) << 7  # powers of two below 2^-127 share a cell on either side of 0, ...
_TOP = (255 << 7) - 1  # ... as do those from 2^127 on
_ZERO = 1 << 15  # the code of 0
_ALIGNED = 14  # bits: so many may be dropped of keys and codes alike


def codes_of(columns: Columns, feature: str) -> Ints:
    """The codes of a feature's values, shape (n,), 0 to NONE."""
    if feature in columns.numeric:
        values = columns.numeric[feature]
        there = np.isfinite(values)
        return _codes(to_keys(np.where(there, values, 0.0)) >> _CUT, there)
    column = columns.categorical[feature]
    table = np.array([code_of(v) for v in column.values] + [NONE], dtype=np.int64)
    found: Ints = table[column.codes]
    return found


def code_of(text: str) -> int:
    """The code of a category."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % NONE


def _codes(prefixes: Ints, there: Bools | bool = True) -> Ints:
    below = prefixes < 0
    size = np.clip(np.where(below, -1 - prefixes, prefixes) - _LOW, 0, _TOP)
    out: Ints = np.where(there, np.where(below, -1 - size, size) + _ZERO, NONE)
    return out


def start_of(code: int) -> float:
    """The least number of a code; minus infinity of the lowest."""
    place = code - _ZERO
    if place <= -1 - _TOP:
        return -np.inf
    size = (-1 - place if place < 0 else place) + _LOW
    prefix = -1 - size if place < 0 else (size if place > 0 else 0)
    return float(from_keys(np.array([prefix << _CUT]))[0])


@dataclass(slots=True)
class CodeSums:
    """keys: codes without their `shift` low bits, ascending; sums: shape (k, SUMS); missing: shape (SUMS,)."""

    shift: int = 0
    keys: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    sums: Floats = field(default_factory=lambda: np.zeros((0, SUMS)))
    missing: Floats = field(default_factory=lambda: np.zeros(SUMS))

    def add(self, rows: Floats) -> None:
        """Rows of shape (n, 1 + SUMS): the code of each, and what it adds to the sums."""
        self.count(rows[:, 0].astype(np.int64), rows[:, 1:].T)

    def count(self, codes: Ints, weights: Floats) -> None:
        """Rows: codes of shape (n,), what each adds to the sums of shape (SUMS, n)."""
        gone = codes == NONE
        if gone.any():
            self.missing = self.missing + weights[:, gone].sum(axis=1)
            codes, weights = codes[~gone], weights[:, ~gone]
        if len(codes):
            keys, sums = _grouped(codes >> self.shift, weights)
            self._take(keys, sums)

    def merge(self, other: CodeSums) -> None:
        shift = max(self.shift, other.shift)
        self._coarsen(shift - self.shift)
        self.missing = self.missing + other.missing
        self._take(other.keys >> (shift - other.shift), other.sums)

    def _take(self, keys: Ints, sums: Floats) -> None:
        if len(keys):
            self._group(np.concatenate([self.keys, keys]), np.concatenate([self.sums, sums]))
            while len(self.keys) > CAP:
                self._coarsen(1)

    def _coarsen(self, by: int) -> None:
        if by:
            self.shift += by
            self._group(self.keys >> by, self.sums)

    def _group(self, keys: Ints, sums: Floats) -> None:
        self.keys, self.sums = _grouped(keys, sums.T)

    def to_bytes(self) -> bytes:
        head = struct.pack("<BBI", FORMAT, self.shift, len(self.keys)) + self.missing.astype("<f8").tobytes()
        return head + self.keys.astype("<i4").tobytes() + self.sums.astype("<f8").tobytes()

    @staticmethod
    def from_bytes(data: bytes) -> CodeSums:
        """Raises ValueError for a format that this release does not know, or where the length does not fit."""
        form, shift, k = struct.unpack_from("<BBI", data)
        if form != FORMAT or len(data) != 6 + 8 * SUMS + k * (4 + 8 * SUMS):
            raise ValueError(f"sums by code of format {form} and {len(data)} bytes: this release reads {FORMAT}. Upgrade driftd.")
        missing = np.frombuffer(data, dtype="<f8", count=SUMS, offset=6).astype(np.float64)
        keys = np.frombuffer(data, dtype="<i4", count=k, offset=6 + 8 * SUMS).astype(np.int64)
        sums = np.frombuffer(data, dtype="<f8", offset=6 + 8 * SUMS + 4 * k).astype(np.float64).reshape(k, SUMS)
        return CodeSums(shift, keys, sums, missing)

    def coarser(self, shift: int) -> CodeSums:
        """The same at a shift that is no less."""
        out = replace(self)
        out._coarsen(shift - self.shift)
        return out


def _grouped(keys: Ints, weights: Floats) -> tuple[Ints, Floats]:
    """The distinct keys, ascending, and the sums of each: shapes (k,) and (k, SUMS). weights: shape (SUMS, n)."""
    low = int(keys.min(initial=NONE))
    span = int(keys.max(initial=low)) - low + 1
    if span > 16 * len(keys):
        found, at = np.unique(keys, return_inverse=True)
    else:  # counted faster than sorted
        there = np.zeros(span, dtype=np.bool_)
        there[keys - low] = True
        found, at = np.flatnonzero(there) + low, (np.cumsum(there) - 1)[keys - low]
    return found, np.stack([np.bincount(at, weights=w, minlength=len(found)) for w in weights], axis=1)


def counts_of(column: AdaptiveSummary | CategorySummary) -> CodeSums | None:
    """The rows of a window's column by code, in the first of the sums; None where its cells are too wide or values share a name."""
    out, weights = CodeSums(), np.zeros((0, SUMS))
    if isinstance(column, CategorySummary):
        if OTHER in column.counts:
            return None
        codes, rows = np.array([code_of(v) for v in column.counts], dtype=np.int64), list(column.counts.values())
        gone = column.missing
    else:
        gone = column.missing + column.infinite
        drop = max(0, column.shift - _CUT)
        if drop > _ALIGNED:
            return None
        keys = column.keys << drop if drop else column.keys >> (_CUT - column.shift)
        codes, rows = _codes(keys), column.counts.tolist()
        out.shift = drop
    weights = np.zeros((len(codes), SUMS))
    weights[:, 0] = rows
    out._take(codes >> out.shift, weights)
    out.missing = np.array([float(gone), 0.0, 0.0])
    return out


def cut_numbers(total: CodeSums, most: int = CELLS - 1) -> tuple[Cutting, Ints]:
    """At most `most` cells with about equally many rows, and the key at which each but the first begins."""
    rows = np.maximum(total.sums[:, 0], 0.0)
    upto = np.cumsum(rows)
    if not len(upto) or upto[-1] <= 0:
        return Cutting(np.empty(0)), np.empty(0, dtype=np.int64)
    number = np.floor((upto - rows / 2.0) / (upto[-1] / most))
    begin = 1 + np.flatnonzero(number[1:] > number[:-1])
    starts = total.keys[begin]
    return Cutting(np.array([start_of(int(key) << total.shift) for key in starts])), starts


def cut_names(total: CodeSums, names: dict[str, int]) -> tuple[Cutting, Ints]:
    """The most frequent names (name -> rows) with a cell of their own, and their keys; those whose hashes collide have none."""
    keys = [code_of(name) >> total.shift for name in names]
    alone = [name for name, key in zip(names, keys, strict=True) if keys.count(key) == 1 and name != OTHER]
    top = sorted(alone, key=lambda name: (-names[name], name))[:NAMED]
    return Cutting(None, tuple(top)), np.array([code_of(name) >> total.shift for name in top], dtype=np.int64)


def in_cells(sums: CodeSums, cutting: Cutting, keys: Ints) -> Floats:
    """Sums by cell of a cutting, shape (CELLS, SUMS). keys: as cut_numbers and cut_names give them, at the sums' own shift."""
    out = np.zeros((CELLS, SUMS))
    if cutting.edges is not None:
        cell = np.searchsorted(keys, sums.keys, side="right")
    else:
        cell = np.full(len(sums.keys), NAMED, dtype=np.int64)
        for at, key in enumerate(keys.tolist()):
            cell[sums.keys == key] = at
    np.add.at(out, cell, sums.sums)
    out[MISSING] += sums.missing
    return out
