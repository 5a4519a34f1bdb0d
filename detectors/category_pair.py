"""A column of categories of the reference and the same column of a window, side by side: by value, or by the hash of it.

By hash where values are too many to have names on both sides, or too many for the rows of the reference: then cells that were
chosen beforehand, and are filled, keep what chance does to each statistic known. By value it would be which values
happened to be named, and which were missed.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from detectors.category import OTHER, CategorySummary, cell_of
from detectors.columns import Floats, Ints
from detectors.drift import shares

FEWEST_CELLS, MOST_CELLS = 16, 256  # of hashes, into which values fold
FILLED, SPARSE = 5, 0.1  # rows of the reference that fill a cell, and the part of the cells that may have fewer
SURE = 3  # rows of each hash that the reference has: then it has missed none that matters
UNSEEN = 0.02  # of the rows, at most, may have a value that the reference never had, for values to be told apart
EARLIER = "values over the limit were counted by an earlier release, which kept too little of them: build the reference again"


class CategoryPair:
    """n rows of the reference and m of the window, by value, or by the hash of it where values are too many to have names.

    folded: 0, or into how many cells. Values are told apart while both sides have named all of theirs, and the reference has no
    more than MOST_CELLS. Cells are as many as the reference fills. unknown: why the sides cannot be compared.
    """

    def __init__(self, reference: CategorySummary, current: CategorySummary) -> None:
        self.known: dict[object, object] = {}
        self.reference, self.current = reference, current
        self.n, self.m = reference.rows, current.rows
        self.infinite = 0
        self.unknown = EARLIER if reference.partial or current.partial else ""
        whole = reference.rest is None and current.rest is None and _covers(reference)
        self.folded = 0 if whole or self.unknown else _even_cells(reference)

    @property
    def missing(self) -> tuple[int, int]:
        return self.reference.missing, self.current.missing

    @cached_property
    def named(self) -> list[str]:
        return sorted(set(self.reference.counts) | set(self.current.counts))

    def names(self, bins: list[int]) -> dict[int, str]:
        """Of these bins; a cell is called by the value that has most of it, as far as values have names."""
        if not self.folded:
            return {i: self.named[i] for i in bins}
        found = {i: (0.0, f"values of hash {i}" if i < self.folded else "values that the reference never had") for i in bins}
        ref, cur = self.reference.counts, self.current.counts
        for name in ref.keys() | cur.keys():
            cell = cell_of(name) % self.folded
            if cell in found and name != OTHER:
                found[cell] = max(found[cell], (ref.get(name, 0) / max(self.n, 1) + cur.get(name, 0) / max(self.m, 1), name))
        return {cell: name for cell, (_, name) in found.items()}

    @cached_property
    def bins(self) -> tuple[Ints, Ints]:
        """Rows of both sides by value, or by cell; hashes that the reference never had are one more cell where it surely has all."""
        if not self.folded:
            return self.by_value
        known, seen = self._cells
        if int(known[known > 0].min(initial=SURE)) < SURE:
            return known.reshape(-1, self.folded).sum(axis=0), seen.reshape(-1, self.folded).sum(axis=0)
        new = int(seen[known == 0].sum())
        seen = np.where(known > 0, seen, 0)
        return np.append(known.reshape(-1, self.folded).sum(axis=0), 0), np.append(seen.reshape(-1, self.folded).sum(axis=0), new)

    @cached_property
    def bin_shares(self) -> tuple[Floats, Floats]:
        return shares(self.bins[0]), shares(self.bins[1])

    @cached_property
    def by_value(self) -> tuple[Ints, Ints]:
        """Rows of both sides by value, or, where one has values without names, by all the hashes that are kept of them."""
        if self.unknown or (self.reference.rest is None and self.current.rest is None):
            ref, cur = self.reference.counts, self.current.counts
            known = np.array([ref.get(name, 0) for name in self.named], dtype=np.int64)
            return known, np.array([cur.get(name, 0) for name in self.named], dtype=np.int64)
        return self._cells

    @cached_property
    def _cells(self) -> tuple[Ints, Ints]:
        ref, cur = self.reference.cells(), self.current.cells()
        assert ref is not None and cur is not None  # else `unknown` says so
        return ref, cur

    @cached_property
    def fresh(self) -> list[str]:
        """Values of the window that the reference surely never had, as far as they have names."""
        known = self.reference.counts
        if self.reference.rest is not None:
            cells = self._cells[0]
            return sorted(name for name in self.current.counts if name != OTHER and not cells[cell_of(name)])
        return sorted(name for name in self.current.counts if not known.get(name) and (name != OTHER or self.current.rest is None))


def _covers(reference: CategorySummary) -> bool:
    """Whether nearly all rows of another window have a value that it names: those that it has once tell (Good 1953)."""
    rows = list(reference.counts.values())
    return len(rows) <= FEWEST_CELLS or (len(rows) <= MOST_CELLS and rows.count(1) <= UNSEEN * sum(rows))


def _even_cells(reference: CategorySummary) -> int:
    """The most cells of which no more than SPARSE are ill filled by the reference; FEWEST_CELLS where there are none."""
    cells = reference.cells()
    assert cells is not None
    cells = cells.reshape(-1, MOST_CELLS).sum(axis=0)
    while len(cells) > FEWEST_CELLS and np.count_nonzero(cells < FILLED) > SPARSE * len(cells):
        cells = cells.reshape(2, -1).sum(axis=0)
    return len(cells)
