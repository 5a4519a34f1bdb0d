"""A column of strings as bounded counts.

The first `limit` values that a summary meets keep their names, the others share `__other__`; merged, the most
frequent (by count, then by name) keep theirs. Below the limit the counts are exact in any order. Above it no row is lost and no
value is counted too high, but which of the rare values keep a name depends on the order of rows and merges.

So what is compared above the limit does not rest on names: rows without one are counted by the hash of their value, and `cells`
adds the named ones to them. A cell's count is that of all rows whose value has its hash: exact, whatever the order, and the same
partition on every side, which no data chose. Size: a value's name and 10 bytes, at most `limit` values, and 16 kB above it.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from detectors.columns import DictColumn, Ints

OTHER = "__other__"
LIMIT = 200
CELLS = 2048  # a power of two, so that cells fold in halves; of 1,000 values a new one has a cell of its own in six of ten cases


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

    rest: rows of values without a name by hash, shape (CELLS,). None where all have names, of shape (0,) where it is not known, as
    releases that did not keep it left it.
    """

    limit: int = LIMIT
    counts: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    rest: Ints | None = field(default=None, compare=False)
    _cells: Ints | None = field(default=None, compare=False, repr=False)

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @property
    def partial(self) -> bool:
        """Whether it is not known which rows the values without a name have."""
        return self.rest is not None and not len(self.rest)

    def add(self, column: DictColumn) -> None:
        """Add a column of shape (n,); code -1 is missing."""
        tally = np.bincount(column.codes + 1, minlength=1)
        self.missing += int(tally[0])
        codes = np.flatnonzero(tally[1:])
        if len(self.counts) + len(codes) > self.limit:  # who comes first gets a name: as if row by row
            present, first = np.unique(column.codes, return_index=True)
            codes = present[np.argsort(first)].astype(np.int64)
            codes = codes[codes >= 0].astype(np.int64)
        counts, room = self.counts, self.limit - len(self.counts) + (OTHER in self.counts)
        spilled: list[tuple[str, int]] = []
        for code, rows in zip(codes.tolist(), tally[codes + 1].tolist(), strict=True):
            name = column.values[code]
            if name in counts:
                counts[name] += rows
            elif room > 0 or name == OTHER:
                counts[name] = rows
                room -= name != OTHER
            else:
                spilled.append((name, rows))
        self._spill(spilled)

    def merge(self, other: CategorySummary) -> None:
        self.missing += other.missing
        for name, rows in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + rows
        if other.rest is not None:
            at = min(len(other.rest), CELLS if self.rest is None else len(self.rest))
            self.rest = other.rest[:at] + (0 if self.rest is None else self.rest[:at])
        named = [item for item in self.counts.items() if item[0] != OTHER]
        if len(named) > self.limit:
            named.sort(key=lambda item: (-item[1], item[0]))
            others = {OTHER: self.counts[OTHER]} if OTHER in self.counts else {}
            self.counts = dict(named[: self.limit]) | others
            self._spill(named[self.limit :])
        self._cells = None

    def _spill(self, values: list[tuple[str, int]]) -> None:
        """Count values and their rows by hash; this is what a stream of a value per row costs, 0.2 µs each."""
        self._cells = None
        if not values:
            return
        self.counts[OTHER] = self.counts.get(OTHER, 0) + sum(rows for _, rows in values)
        if self.rest is None:
            self.rest = np.zeros(CELLS, dtype=np.int64)
        if len(self.rest):
            np.add.at(self.rest, [hash_of(name) for name, _ in values], [rows for _, rows in values])

    def cells(self) -> Ints | None:
        """All rows by the hash of their value, shape (CELLS,). None where it is not known."""
        if self.partial or self._cells is not None:  # of a reference they are asked for again and again
            return self._cells
        out = np.zeros(CELLS, dtype=np.int64) if self.rest is None else self.rest.copy()
        spilled = int(out.sum())
        for name, rows in self.counts.items():  # a stream may have OTHER as a value of its own
            out[cell_of(name)] += rows - spilled if name == OTHER else rows
        self._cells = out
        return out

    def to_bytes(self) -> bytes:
        rest = None if self.rest is None else base64.b64encode(self.rest.astype("<u8").tobytes()).decode()
        more = [rest] if OTHER in self.counts else []
        return json.dumps([self.limit, self.missing, sorted(self.counts.items()), *more]).encode()

    @staticmethod
    def from_bytes(data: bytes) -> CategorySummary:
        limit, missing, pairs, *more = json.loads(data)
        counts = {name: rows for name, rows in pairs}
        if OTHER not in counts or more == [None]:
            return CategorySummary(limit, counts, missing)
        rest = np.frombuffer(base64.b64decode(more[0]), dtype="<u8") if more else np.empty(0)
        return CategorySummary(limit, counts, missing, rest.astype(np.int64))
