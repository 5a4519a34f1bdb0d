"""How wrong a model was on the reference by what its features said: a few groups of each feature, with their errors.

A numeric feature has at most GROUPS groups of neighbouring cells of its grid, about equally many rows in each; a category
has its VALUES most frequent values and the rest. What is missing is a group. About 300 bytes a feature.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.category import CategorySummary
from detectors.columns import Bools, Columns, Floats, Ints, Outcomes, Schema
from detectors.numeric import GridSummary, make_grid
from detectors.trace import row_errors

NAME = "feature_errors"
FORMAT = 1
GROUPS = 20
VALUES = 30


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """starts: the first cell of each group (numeric), or names: the value of each (category); missing, then others, follow.

    rows and errors have an entry a group, then one for what is missing, and for a category one for other values.
    """

    starts: Ints
    names: tuple[str, ...]
    rows: Floats
    errors: Floats

    def mix(self, column: GridSummary | CategorySummary) -> Floats:
        """The rows of a window in these groups, shape of rows."""
        out = np.empty(len(self.rows))
        if isinstance(column, CategorySummary):
            named = [column.counts.get(name, 0) for name in self.names]
            out[: len(named)] = named
            out[len(named) :] = column.missing, column.rows - sum(named)
        else:
            out[:-1] = np.add.reduceat(column.counts, self.starts)
            out[-1] = column.missing
        return out


def fit_feature_errors(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    """The groups of all features over the labelled rows; None where there are none."""
    if outcomes is None:
        return None
    there, errors = row_errors(outcomes, schema.task)
    if not there.any():
        return None
    found: dict[str, list[Any]] = {}
    for feature in schema.numeric:
        found[feature] = _numeric(columns.numeric[feature], there, errors)
    for feature in schema.categorical:
        column = columns.categorical[feature]
        rows = np.bincount(column.codes[there] + 1, minlength=len(column.values) + 1)
        wrong = np.bincount(column.codes[there] + 1, weights=errors[there], minlength=len(column.values) + 1)
        top = sorted(range(len(column.values)), key=lambda i: (-rows[i + 1], column.values[i]))[:VALUES]
        order = [i + 1 for i in top]
        rest = [i for i in range(1, len(rows)) if i not in order]
        found[feature] = [
            [], [column.values[i] for i in top],
            [*rows[order].tolist(), int(rows[0]), int(rows[rest].sum())],
            [*wrong[order].tolist(), float(wrong[0]), float(wrong[rest].sum())],
        ]  # fmt: skip
    return bytes([FORMAT]) + zlib.compress(json.dumps(found).encode(), 6)


def read_feature_errors(data: bytes) -> dict[str, Groups]:
    """Raises ValueError for a format that this release does not know."""
    if not data or data[0] != FORMAT:
        raise ValueError(f"errors by feature of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
    plain = json.loads(zlib.decompress(data[1:]))
    return {
        f: Groups(
            np.array(starts, dtype=np.int64), tuple(names), np.array(rows, dtype=np.float64), np.array(errors, dtype=np.float64)
        )
        for f, (starts, names, rows, errors) in plain.items()
    }


def _numeric(values: Floats, there: Bools, errors: Floats) -> list[Any]:
    grid = GridSummary.empty(make_grid(values))
    grid.add(values)
    starts = _starts(grid.counts)
    missing = np.isnan(values)
    cell = np.searchsorted(grid.edges, values, side="right")
    group = np.where(missing, len(starts), np.searchsorted(starts, cell, side="right") - 1)[there]
    rows = np.bincount(group, minlength=len(starts) + 1)
    wrong = np.bincount(group, weights=errors[there], minlength=len(starts) + 1)
    return [starts.tolist(), [], rows.tolist(), wrong.tolist()]


def _starts(counts: Ints) -> Ints:
    """First cells of at most GROUPS runs of cells with about equally many rows."""
    upto = np.cumsum(counts)
    step = max(1.0, float(upto[-1]) / GROUPS)
    number = np.floor((upto - counts / 2.0) / step)
    return np.flatnonzero(np.concatenate([[True], number[1:] > number[:-1]])).astype(np.int64)
