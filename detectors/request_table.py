"""Sums by the request that rows answer, bounded: what pairs the rows of two versions exactly.

    key     64-bit hash of the request's id
    pane    number of the pane in which the row lies; rows: how many answered that request there
    sums    of what the rows cost, by name; NaN where a row has none of it

Kept are requests whose hash lies under 2^(64 - level). The level begins at 0 and rises by one whenever more than `limit`
entries have ever been kept, so that what is kept depends on no order, split or correction (a retracted row leaves its
entry behind, empty). To both versions the threshold is the same hash, so a thinned one still pairs with the other: pairs are
a simple random sample, of which comparisons stay true and only get slower.

Size: 24 bytes an entry and 8 for each sum, at most `limit` entries; about 16 bytes an entry where stored, and 8 for each sum more.
"""

from __future__ import annotations

import json
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors import frame
from detectors.columns import Floats, Hashes, Ints, Schema

FORMAT = 3
OF_OLD = {1: "error", 2: "error"}  # formats in which the first sum had no name
_HEAD = struct.Struct("<qqi")


@dataclass(slots=True)
class RequestTable(ABC):
    """Entries in the order of (key, pane): keys, panes, rows and each of the sums, all of shape (k,)."""

    schema: Schema
    pane_ms: int
    limit: int
    sums: dict[str, Floats]
    level: int = 0
    keys: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    panes: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rows: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @abstractmethod
    def add(self, rows: Any) -> None:
        """Count what rows cost; those without a request are not counted."""

    def merge(self, other: RequestTable) -> None:
        self.level = max(self.level, other.level)
        self._take(other.keys, other.panes, other.rows, other.sums)

    def _take(self, keys: Hashes, panes: Ints, rows: Ints, sums: Mapping[str, Floats]) -> None:
        nothing = np.full(len(keys), np.nan)
        values = [np.concatenate([own, sums.get(name, nothing)]) for name, own in self.sums.items()]
        keys, panes = np.concatenate([self.keys, keys]), np.concatenate([self.panes, panes])
        rows = np.concatenate([self.rows, rows])
        order = np.lexsort((panes, keys))
        order = order[_under(keys[order], self.level)]
        keys, panes, rows, values = keys[order], panes[order], rows[order], [v[order] for v in values]
        if len(keys):
            first = np.ones(len(keys), dtype=np.bool_)
            first[1:] = (keys[1:] != keys[:-1]) | (panes[1:] != panes[:-1])
            begins = np.flatnonzero(first)
            keys, panes = keys[begins], panes[begins]
            rows, values = np.add.reduceat(rows, begins), [np.add.reduceat(v, begins) for v in values]
        while len(keys) > self.limit and self.level < 63:
            self.level += 1
            keep = _under(keys, self.level)
            keys, panes, rows, values = keys[keep], panes[keep], rows[keep], [v[keep] for v in values]
        self.keys, self.panes, self.rows = keys, panes, rows
        self.sums = dict(zip(self.sums, values, strict=True))

    def by_request(self, level: int, name: str) -> tuple[Hashes, Ints, Ints, Floats]:
        """Of requests under a level that is not lower than the own one: key, newest pane, rows and one sum, shape (m,)."""
        sums = self.sums.get(name, np.full(len(self.keys), np.nan))
        keep = _under(self.keys, level) & (self.rows > 0)
        keys, at = np.unique(self.keys[keep], return_inverse=True)
        newest = np.full(len(keys), np.iinfo(np.int64).min)
        np.maximum.at(newest, at, self.panes[keep])
        rows = np.zeros(len(keys), dtype=np.int64)
        np.add.at(rows, at, self.rows[keep])
        return keys, newest, rows, np.bincount(at, weights=sums[keep], minlength=len(keys)).astype(np.float64)

    def to_bytes(self) -> bytes:
        steps = np.diff(self.keys, prepend=np.uint64(0))
        parts = [
            _HEAD.pack(self.pane_ms, self.limit, self.level),
            json.dumps(list(self.sums)).encode(),
            steps.astype("<u8").tobytes(),
        ]
        parts += [a.astype("<i8").tobytes() for a in (self.panes, self.rows)]
        return bytes([FORMAT]) + zlib.compress(frame.join([*parts, *(v.astype("<f8").tobytes() for v in self.sums.values())]), 1)

    def _restore(self, data: bytes) -> None:
        """Fill an empty table; a sum that was not kept is NaN.

        Raises ValueError for a format that this release does not know, or for damaged bytes.
        """
        if not data or data[0] not in (FORMAT, *OF_OLD):
            raise ValueError(f"sums by request of format {data[:1]!r}: this release reads {[*OF_OLD, FORMAT]}. Upgrade driftd.")
        try:
            parts = frame.split(zlib.decompress(data[1:]))
        except zlib.error as error:
            raise ValueError(f"damaged sums by request: {error}") from error
        self.pane_ms, self.limit, self.level = _HEAD.unpack(parts[0])
        if data[0] in OF_OLD:
            steps, panes, rows, first, *others = parts[1:]
            names, values = [OF_OLD[data[0]], *(json.loads(others[0]) if others else [])], [first, *others[1:]]
        else:
            names, (steps, panes, rows, *values) = json.loads(parts[1]), parts[2:]
        self.keys = np.cumsum(np.frombuffer(steps, dtype="<u8").astype(np.uint64), dtype=np.uint64)
        self.panes, self.rows = (np.frombuffer(a, dtype="<i8").astype(np.int64) for a in (panes, rows))
        known = {name: np.frombuffer(v, dtype="<f8").astype(np.float64) for name, v in zip(names, values, strict=True)}
        self.sums = {name: known.get(name, np.full(len(self.keys), np.nan)) for name in self.sums}


def _under(keys: Hashes, level: int) -> npt.NDArray[np.bool_]:
    return np.asarray(keys >> np.uint64(64 - level) == 0) if level else np.ones(len(keys), dtype=np.bool_)
