"""The errors and losses of outcomes by the request that they answer (detectors/request_table.py): pairs of two versions, once labels came.

A request is the 64-bit hash of its id: vectors["request"], shape (n, 2), its upper and lower half; NaN where an outcome has none.
The sums are "error" and the losses (detectors/losses.py) that the options name.

Size: 32 bytes an entry and 8 for each other loss, at most `requests` entries; about 16 bytes each where stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.columns import Hashes, Outcomes, Schema
from detectors.losses import row_loss
from detectors.request_table import RequestTable
from detectors.trace import row_errors

PART = "request_errors"
VECTOR = "request"
ERROR = "error"


def halves(hashes: Hashes) -> npt.NDArray[np.float64]:
    """Hashes as outcomes carry them, shape (n, 2): floats hold 32 bits exactly."""
    return np.column_stack([hashes >> np.uint64(32), hashes & np.uint64(0xFFFF_FFFF)]).astype(np.float64)


@dataclass(slots=True)
class RequestErrors(RequestTable):
    """Of outcomes; a corrected label is taken back with weight -1."""

    @staticmethod
    def empty(schema: Schema) -> RequestErrors:
        options = schema.parts[PART]
        names = [ERROR, *(key for key, _, _ in options.get("losses", ()))]
        return RequestErrors(schema, int(options["pane_ms"]), int(options["requests"]), {name: np.empty(0) for name in names})

    def add(self, rows: Outcomes) -> None:
        """Outcomes of shape (n,) with the times of their predictions; those without a request are not counted."""
        request: Any = rows.vectors.get(VECTOR)
        if request is None or rows.ts_ms is None:
            return
        there, errors = row_errors(rows, self.schema.task)
        there = there & ~np.isnan(request[:, 0])
        if there.any():
            upper, lower = request[there].astype(np.uint64).T
            weight = rows.weight[there]
            wanted = self.schema.parts[PART].get("losses", ())
            sums = {key: row_loss(metric, rows, self.schema, worth)[there] * weight for key, metric, worth in wanted}
            keys, panes = upper << np.uint64(32) | lower, rows.ts_ms[there] // self.pane_ms
            self._take(keys, panes, weight, {ERROR: errors[there] * weight, **sums})

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> RequestErrors:
        """Raises ValueError for a format that this release does not know, or for damaged bytes."""
        out = RequestErrors.empty(schema)
        out._restore(data)
        return out
