"""Features of the items that a ranking model recommends, as a reference keeps them: for statistics that ask what items are like."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors import frame
from detectors.columns import DictColumn, Floats, Ints

FORMAT = 1
PART = "items"  # the name of the reference's frame
MOST_ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Items in the order of their hashes, each once; features by name, NaN and code -1 where missing.

    Size: 12 bytes an item and its name, 8 bytes a number, 4 a category.
    """

    hashes: npt.NDArray[np.uint64]
    names: list[str]
    numeric: dict[str, Floats]
    categorical: dict[str, DictColumn]

    @staticmethod
    def build(
        hashes: npt.NDArray[np.uint64], names: list[str], numeric: dict[str, Floats], categorical: dict[str, DictColumn]
    ) -> Catalogue:
        """Of items in any order. Raises ValueError for an item that stands there twice, and for too many."""
        if len(names) > MOST_ITEMS:
            raise ValueError(f"{len(names)} items, at most {MOST_ITEMS} are kept")
        order = np.argsort(hashes, kind="stable")
        twice = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        if len(twice):
            raise ValueError(f"item {names[int(order[twice[0] + 1])]!r} stands there twice")
        return Catalogue(
            hashes[order],
            [names[i] for i in order.tolist()],
            {f: v[order] for f, v in numeric.items()},
            {f: c.take(order) for f, c in categorical.items()},
        )

    def find(self, hashes: npt.NDArray[np.uint64]) -> Ints:
        """The numbers of items, -1 where they are unknown."""
        if not len(self.hashes):
            return np.full(len(hashes), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[at] == hashes, at, -1).astype(np.int64)

    def to_bytes(self) -> bytes:
        head = [self.names, list(self.numeric), [[f, c.values] for f, c in self.categorical.items()]]
        parts = [json.dumps(head).encode(), self.hashes.astype("<u8").tobytes()]
        parts += [v.astype("<f8").tobytes() for v in self.numeric.values()]
        parts += [c.codes.astype("<i4").tobytes() for c in self.categorical.values()]
        return bytes([FORMAT]) + frame.join(parts)

    @staticmethod
    def from_bytes(data: bytes) -> Catalogue:
        """Raises ValueError for a format that this release does not know."""
        if data[:1] != bytes([FORMAT]):
            raise ValueError(f"items of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        head, hashes, *columns = frame.split(data[1:])
        names, numeric, categorical = json.loads(head)
        parts = iter(columns)
        return Catalogue(
            np.frombuffer(hashes, dtype="<u8").astype(np.uint64),
            names,
            {f: np.frombuffer(next(parts), dtype="<f8").astype(np.float64) for f in numeric},
            {f: DictColumn(np.frombuffer(next(parts), dtype="<i4").astype(np.int32), table) for f, table in categorical},
        )
