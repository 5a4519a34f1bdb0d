"""The errors of outcomes by the request that they answer, bounded: what pairs the rows of two versions exactly.

    key     64-bit hash of the request's id (vectors["request"], shape (n, 2): its upper and lower half; NaN where it has none)
    pane    number of the pane in which the prediction lies; rows, errors: outcomes of that request there, and their errors;
    more: the sums of other losses (detectors/losses.py) that the options name, NaN where an outcome has none

Kept are requests whose hash lies under 2^(64 - level). The level begins at 0 and rises by one whenever more than `requests`
entries have ever been kept, so that what is kept depends on no order, split or correction (a retracted outcome leaves its
entry behind, empty). To both versions the threshold is the same hash, so a thinned one still pairs with the other: pairs are
a simple random sample, of which comparisons stay true and only get slower.

Size: 32 bytes an entry and 8 for each other loss, at most `requests` entries; about 16 bytes each where stored.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors import frame
from detectors.columns import Floats, Ints, Outcomes, Schema
from detectors.losses import row_loss
from detectors.trace import row_errors

PART = "request_errors"
VECTOR = "request"
FORMAT, WITH_LOSSES = 1, 2
_HEAD = struct.Struct("<qqi")
Hashes = npt.NDArray[np.uint64]


def halves(hashes: Hashes) -> npt.NDArray[np.float64]:
    """Hashes as outcomes carry them, shape (n, 2): floats hold 32 bits exactly."""
    return np.column_stack([hashes >> np.uint64(32), hashes & np.uint64(0xFFFF_FFFF)]).astype(np.float64)


@dataclass(slots=True)
class RequestErrors:
    """Entries in the order of (key, pane): keys, panes, rows, errors and each of more, all of shape (k,)."""

    schema: Schema
    pane_ms: int
    limit: int
    level: int = 0
    keys: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    panes: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rows: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    errors: Floats = field(default_factory=lambda: np.empty(0))
    more: dict[str, Floats] = field(default_factory=dict)

    @staticmethod
    def empty(schema: Schema) -> RequestErrors:
        options = schema.parts[PART]
        more = {key: np.empty(0) for key, _, _ in options.get("losses", ())}
        return RequestErrors(schema, int(options["pane_ms"]), int(options["requests"]), more=more)

    def add(self, outcomes: Outcomes) -> None:
        """Outcomes of shape (n,) with the times of their predictions; those without a request are not counted."""
        request: Any = outcomes.vectors.get(VECTOR)
        if request is None or outcomes.ts_ms is None:
            return
        there, errors = row_errors(outcomes, self.schema.task)
        there = there & ~np.isnan(request[:, 0])
        if there.any():
            upper, lower = request[there].astype(np.uint64).T
            weight = outcomes.weight[there]
            wanted = self.schema.parts[PART].get("losses", ())
            more = {key: row_loss(metric, outcomes, self.schema, worth)[there] * weight for key, metric, worth in wanted}
            self._take(upper << np.uint64(32) | lower, outcomes.ts_ms[there] // self.pane_ms, weight, errors[there] * weight, more)

    def merge(self, other: RequestErrors) -> None:
        self.level = max(self.level, other.level)
        self._take(other.keys, other.panes, other.rows, other.errors, other.more)

    def _take(self, keys: Hashes, panes: Ints, rows: Ints, errors: Floats, more: Mapping[str, Floats]) -> None:
        nothing = np.full(len(keys), np.nan)
        sums = [np.concatenate([self.errors, errors]), *(np.concatenate([v, more.get(k, nothing)]) for k, v in self.more.items())]
        keys, panes = np.concatenate([self.keys, keys]), np.concatenate([self.panes, panes])
        rows = np.concatenate([self.rows, rows])
        order = np.lexsort((panes, keys))
        order = order[_under(keys[order], self.level)]
        keys, panes, rows, sums = keys[order], panes[order], rows[order], [s[order] for s in sums]
        if len(keys):
            first = np.ones(len(keys), dtype=np.bool_)
            first[1:] = (keys[1:] != keys[:-1]) | (panes[1:] != panes[:-1])
            begins = np.flatnonzero(first)
            keys, panes = keys[begins], panes[begins]
            rows, sums = np.add.reduceat(rows, begins), [np.add.reduceat(s, begins) for s in sums]
        while len(keys) > self.limit and self.level < 63:
            self.level += 1
            keep = _under(keys, self.level)
            keys, panes, rows, sums = keys[keep], panes[keep], rows[keep], [s[keep] for s in sums]
        self.keys, self.panes, self.rows, self.errors = keys, panes, rows, sums[0]
        self.more = dict(zip(self.more, sums[1:], strict=True))

    def by_request(self, level: int, loss: str | None = None) -> tuple[Hashes, Ints, Ints, Floats]:
        """Of requests under a level that is not lower than the own one: key, newest pane, rows and errors, shape (m,).

        loss: the key of another loss, instead of the errors.
        """
        sums = self.errors if loss is None else self.more.get(loss, np.full(len(self.keys), np.nan))
        keep = _under(self.keys, level) & (self.rows > 0)
        keys, at = np.unique(self.keys[keep], return_inverse=True)
        newest = np.full(len(keys), np.iinfo(np.int64).min)
        np.maximum.at(newest, at, self.panes[keep])
        rows = np.zeros(len(keys), dtype=np.int64)
        np.add.at(rows, at, self.rows[keep])
        return keys, newest, rows, np.bincount(at, weights=sums[keep], minlength=len(keys)).astype(np.float64)

    def to_bytes(self) -> bytes:
        steps = np.diff(self.keys, prepend=np.uint64(0))
        parts = [_HEAD.pack(self.pane_ms, self.limit, self.level), steps.astype("<u8").tobytes()]
        parts += [a.astype("<i8").tobytes() for a in (self.panes, self.rows)] + [self.errors.astype("<f8").tobytes()]
        if not self.more:
            return bytes([FORMAT]) + zlib.compress(frame.join(parts), 1)
        parts += [json.dumps(list(self.more)).encode(), *(v.astype("<f8").tobytes() for v in self.more.values())]
        return bytes([WITH_LOSSES]) + zlib.compress(frame.join(parts), 1)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> RequestErrors:
        """Raises ValueError for a format that this release does not know, or for damaged bytes."""
        if not data or data[0] not in (FORMAT, WITH_LOSSES):
            raise ValueError(
                f"errors by request of format {data[:1]!r}: this release reads {FORMAT} and {WITH_LOSSES}. Upgrade driftd."
            )
        try:
            head, steps, panes, rows, errors, *others = frame.split(zlib.decompress(data[1:]))
        except zlib.error as error:
            raise ValueError(f"damaged errors by request: {error}") from error
        out = RequestErrors(schema, *_HEAD.unpack(head))
        out.keys = np.cumsum(np.frombuffer(steps, dtype="<u8").astype(np.uint64), dtype=np.uint64)
        out.panes, out.rows = (np.frombuffer(a, dtype="<i8").astype(np.int64) for a in (panes, rows))
        out.errors = np.frombuffer(errors, dtype="<f8").astype(np.float64)
        names = json.loads(others[0]) if others else []
        known = {name: np.frombuffer(v, dtype="<f8").astype(np.float64) for name, v in zip(names, others[1:], strict=True)}
        wanted = [key for key, _, _ in schema.parts[PART].get("losses", ())]
        out.more = {key: known.get(key, np.full(len(out.keys), np.nan)) for key in wanted}
        return out


def _under(keys: Hashes, level: int) -> npt.NDArray[np.bool_]:
    return np.asarray(keys >> np.uint64(64 - level) == 0) if level else np.ones(len(keys), dtype=np.bool_)
