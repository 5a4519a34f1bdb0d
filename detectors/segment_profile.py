"""The reference's rows of one segment, so that the segment is compared with its own kind: counts in the cells of all rows.

A segment's columns are kept as short bytes and opened one by one when they are asked for: of 1,000 features by 100 segments
are then never more in memory than what is looked at. A numeric column keeps counts and moments; the mean of a cell's values is taken
to be that of all rows, which is off by less than the cell is wide. About 500 bytes a numeric column, whatever its rows.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

import numpy as np

from detectors import frame
from detectors.category import CategorySummary
from detectors.columns import Columns
from detectors.moments import SIZE as MOMENTS_SIZE
from detectors.moments import Moments
from detectors.numeric import GridSummary

FORMAT = 1
_HEAD = struct.Struct("<qq")
Column = TypeVar("Column")


class Stored(Mapping[str, Column]):
    """Columns by name, as bytes that are opened when they are read."""

    def __init__(self, stored: dict[str, bytes]) -> None:
        self._stored = stored

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


class Numeric(Stored[GridSummary]):
    """Numeric columns of a segment by name, opened as they are read. grids: the same columns of all rows."""

    def __init__(self, stored: dict[str, bytes], grids: Mapping[str, GridSummary]) -> None:
        super().__init__(stored)
        self._grids = grids
        self._last: tuple[str, GridSummary] | None = None  # scores ask for a column several times in a row

    def __getitem__(self, name: str) -> GridSummary:
        if self._last is None or self._last[0] != name:
            self._last = name, self._open(name)
        return self._last[1]

    def _open(self, name: str) -> GridSummary:
        data, grid = zlib.decompress(self._stored[name]), self._grids[name]
        missing, infinite = _HEAD.unpack_from(data)
        at = _HEAD.size + MOMENTS_SIZE
        counts = np.frombuffer(data, dtype="<u4", offset=at).astype(np.int64)
        sums = counts * (grid.sums / np.maximum(grid.counts, 1))
        return GridSummary(grid.edges, counts, sums, Moments.from_bytes(data[_HEAD.size : at]), missing, infinite)


class Categorical(Stored[CategorySummary]):
    """Columns of categories of a segment by name, opened as they are read."""

    def __getitem__(self, name: str) -> CategorySummary:
        return CategorySummary.from_bytes(zlib.decompress(self._stored[name]))


def pack_segment(columns: Columns, grids: Mapping[str, GridSummary], prediction: str) -> bytes:
    """A segment's rows as bytes. grids: the columns of all rows, whose edges they count in; `prediction` names the scores."""
    numeric = []
    for name, grid in grids.items():
        found = GridSummary.empty(grid.edges)
        found.add(columns.score if name == prediction else columns.numeric[name])
        head = _HEAD.pack(found.missing, found.infinite) + found.moments.to_bytes()
        numeric.append(zlib.compress(head + found.counts.astype("<u4").tobytes(), 6))
    categorical = []
    for column in columns.categorical.values():
        counts = CategorySummary()
        counts.add(column)
        categorical.append(zlib.compress(counts.to_bytes(), 6))
    label = CategorySummary()
    label.add(columns.label)
    names = json.dumps([columns.rows, list(grids), list(columns.categorical)]).encode()
    return bytes([FORMAT]) + frame.join([names, label.to_bytes(), *numeric, *categorical])


def open_segment(data: bytes, grids: Mapping[str, GridSummary]) -> tuple[int, Numeric, Categorical, CategorySummary]:
    """Rows, numeric columns, categories and predicted labels. Raises ValueError for a format that this release does not know."""
    if not data or data[0] != FORMAT:
        raise ValueError(f"a reference's segment of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
    head, label, *columns = frame.split(data[1:])
    rows, numeric, categorical = json.loads(head)
    k = len(numeric)
    return (
        rows,
        Numeric(dict(zip(numeric, columns[:k], strict=True)), grids),
        Categorical(dict(zip(categorical, columns[k:], strict=True))),
        CategorySummary.from_bytes(label),
    )
