"""A column of strings as bounded counts.

The first `limit` values that a summary meets keep their names, the others share `__other__`; merged, the most
frequent (by count, then by name) keep theirs. Below the limit the counts are exact in any order. Above it no row is lost and no
value is counted too high, but which of the rare values keep a name depends on the order of rows and merges.

So what is compared above the limit does not rest on names: rows without one are counted by the hash of their value, and `cells`
adds the named ones to them. A cell's count is that of all rows whose value has its hash: exact, whatever the order, and the same
partition on every side, which no data chose. Size: a value's name and 10 bytes, at most `limit` values, and CELLS counts above it.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from detectors.columns import DictColumn, Ints

OTHER = "__other__"
LIMIT = 200
CELLS = 256  # a power of two, so that cells fold in halves


def hash_of(name: str) -> int:
    """The cell of a value, 0 to CELLS - 1: part of the stored format."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % CELLS


@lru_cache(maxsize=16_384)
def cell_of(name: str) -> int:
    """As `hash_of`, of names that are asked for again and again."""
    return hash_of(name)


@dataclass(slots=True)
class CategorySummary:
    """Counts by value, at most `limit` of them besides OTHER.

    rest: rows of values without a name by hash, CELLS of them. None where all have names, empty where it is not known, as
    releases that did not keep it left it.
    """

    limit: int = LIMIT
    counts: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    rest: list[int] | None = None

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    def add(self, column: DictColumn) -> None:
        """Add a column of shape (n,); code -1 is missing."""
        tally = np.bincount(column.codes + 1, minlength=1)
        self.missing += int(tally[0])
        codes = np.flatnonzero(tally[1:])
        if len(self.counts) + len(codes) > self.limit:  # who comes first gets a name: as if row by row
            present, first = np.unique(column.codes, return_index=True)
            codes = present[np.argsort(first)].astype(np.int64)
            codes = codes[codes >= 0].astype(np.int64)
        for code in codes.tolist():
            name, rows = column.values[code], int(tally[code + 1])
            if name not in self.counts and len(self.counts) - (OTHER in self.counts) >= self.limit:
                self._spill(name, rows)
            else:
                self.counts[name] = self.counts.get(name, 0) + rows

    def merge(self, other: CategorySummary) -> None:
        self.missing += other.missing
        for name, rows in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + rows
        if other.rest is not None:
            self.rest = list(other.rest) if self.rest is None else [a + b for a, b in zip(self.rest, other.rest, strict=False)]
        named = [item for item in self.counts.items() if item[0] != OTHER]
        if len(named) > self.limit:
            named.sort(key=lambda item: (-item[1], item[0]))
            others = {OTHER: self.counts[OTHER]} if OTHER in self.counts else {}
            self.counts = dict(named[: self.limit]) | others
            for name, rows in named[self.limit :]:
                self._spill(name, rows)

    def _spill(self, name: str, rows: int) -> None:
        self.counts[OTHER] = self.counts.get(OTHER, 0) + rows
        if self.rest is None:
            self.rest = [0] * CELLS
        if self.rest:
            self.rest[hash_of(name)] += rows

    def cells(self) -> Ints | None:
        """All rows by the hash of their value, shape (CELLS,). None where it is not known."""
        if self.rest == []:
            return None
        out = np.zeros(CELLS, dtype=np.int64) if self.rest is None else np.array(self.rest, dtype=np.int64)
        spilled = int(out.sum())
        for name, rows in self.counts.items():  # a stream may have OTHER as a value of its own
            out[cell_of(name)] += rows - spilled if name == OTHER else rows
        return out

    def to_bytes(self) -> bytes:
        rest = [self.rest] if OTHER in self.counts else []
        return json.dumps([self.limit, self.missing, sorted(self.counts.items()), *rest]).encode()

    @staticmethod
    def from_bytes(data: bytes) -> CategorySummary:
        limit, missing, pairs, *more = json.loads(data)
        counts = {name: rows for name, rows in pairs}
        rest = more[0] if more else [] if OTHER in counts else None
        return CategorySummary(limit, counts, missing, rest)
