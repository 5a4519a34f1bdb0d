"""A column of strings as bounded counts.

The first `limit` values that a summary meets keep their names, the others share `__other__`; merged, the most
frequent (by count, then by name) keep theirs. Below the limit the counts are exact in any order. Above it two merge alike
either way round, no row is lost and no value is counted too high, but which of the rare values keep a name depends on the order in
which three are merged: so panes are always merged in one order (ARCHITECTURE.md), which makes a replay equal.
Size: a value's name and 10 bytes, at most `limit` values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np

from detectors.columns import DictColumn

OTHER = "__other__"
LIMIT = 200


@dataclass(slots=True)
class CategorySummary:
    """Counts by value, at most `limit` of them besides OTHER."""

    limit: int = LIMIT
    counts: dict[str, int] = field(default_factory=dict)
    missing: int = 0

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
            name = column.values[code]
            if name not in self.counts and len(self.counts) - (OTHER in self.counts) >= self.limit:
                name = OTHER
            self.counts[name] = self.counts.get(name, 0) + int(tally[code + 1])

    def merge(self, other: CategorySummary) -> None:
        self.missing += other.missing
        for name, rows in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + rows
        named = [item for item in self.counts.items() if item[0] != OTHER]
        if len(named) > self.limit:
            named.sort(key=lambda item: (-item[1], item[0]))
            spilled = sum(rows for _, rows in named[self.limit :])
            rest = self.counts.get(OTHER, 0) + spilled
            self.counts = dict(named[: self.limit]) | {OTHER: rest}

    def to_bytes(self) -> bytes:
        return json.dumps([self.limit, self.missing, sorted(self.counts.items())]).encode()

    @staticmethod
    def from_bytes(data: bytes) -> CategorySummary:
        limit, missing, counts = json.loads(data)
        return CategorySummary(limit, {name: rows for name, rows in counts}, missing)
