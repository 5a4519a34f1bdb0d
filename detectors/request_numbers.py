"""What events took by the request that they answer (detectors/request_table.py): latency, failures, other numbers of two versions in pairs.

The sums are those of the numbers that the options name: "latency" in ms, "error_share" (1 where the status was not ok), or one of
schema.numbers in its own unit. They are whole multiples of 2^-20, money of 2^-36, and at most 2^32 and 2^16 either way, so
that sums of repeated answers are exact, in whatever order they come.

Size: 24 bytes an entry and 8 for each number, at most `requests` entries; about 16 bytes an entry where stored, and 8 for each number more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.columns import Columns, Floats, Schema
from detectors.request_table import RequestTable

PART = "request_numbers"
STEP, MONEY_STEP = 2.0**-20, 2.0**-36
MOST_STEPS = 2.0**52


@dataclass(slots=True)
class RequestNumbers(RequestTable):
    """Of events, before any label."""

    @staticmethod
    def empty(schema: Schema) -> RequestNumbers:
        options = schema.parts[PART]
        sums = {name: np.empty(0) for name in options["numbers"]}
        return RequestNumbers(schema, int(options["pane_ms"]), int(options["requests"]), sums)

    def add(self, rows: Columns) -> None:
        """Events of shape (n,) with their times; those without a request are not counted."""
        if rows.requests is None or rows.ts_ms is None:
            return
        there = rows.requests != 0
        if there.any():
            sums = {name: in_steps(name, _numbers(name, rows)[there]) for name in self.sums}
            keys = rows.requests[there]
            self._take(keys, rows.ts_ms[there] // self.pane_ms, np.ones(len(keys), dtype=np.int64), sums)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> RequestNumbers:
        """Raises ValueError for a format that this release does not know, or for damaged bytes."""
        out = RequestNumbers.empty(schema)
        out._restore(data)
        return out


def _numbers(name: str, rows: Columns) -> Floats:
    if name == "latency":
        return rows.latency_ms
    if name == "error_share":
        return rows.error.astype(np.float64)
    return rows.numbers.get(name, np.full(rows.rows, np.nan))


def in_steps(name: str, values: Floats) -> Floats:
    """A number's values as whole steps, within bounds; NaN where they are not finite."""
    step = MONEY_STEP if name.endswith("_usd") else STEP
    counted = np.clip(np.round(np.where(np.isfinite(values), values, np.nan) / step), -MOST_STEPS, MOST_STEPS)
    return np.asarray(counted * step)
