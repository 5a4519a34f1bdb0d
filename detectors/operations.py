"""Other numbers of the events, such as queue_ms, tokens_in, tokens_out, cost_usd: totals and quantiles, an optional part.

Each is counted in the log-spaced cells of detectors/latency.py, so that a quantile is within 1 % of the value;
money in millionths, which reaches from a thousand-millionth of a dollar to a hundred dollars an event.

Size: 12 bytes a filled cell, at most 16 kB a number, 30 bytes for one that no event has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detectors import frame
from detectors.columns import Columns, Schema
from detectors.latency import LEAST, LatencySummary
from detectors.score import Score

FORMAT = 1
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
MONEY_SCALE = 1e6


@dataclass(slots=True)
class NumberSummary:
    """numbers: a summary for each of schema.numbers."""

    numbers: dict[str, LatencySummary]
    rows: int = 0

    @staticmethod
    def empty(schema: Schema) -> NumberSummary:
        return NumberSummary({name: LatencySummary() for name in schema.numbers})

    def add(self, columns: Columns) -> None:
        """Add rows; NaN is missing, zero and less share the lowest cell."""
        self.rows += columns.rows
        for name, summary in self.numbers.items():
            values = columns.numbers.get(name)
            if values is None or np.isnan(values).all():
                summary.missing += columns.rows
            else:
                summary.add(values * _scale(name))

    def merge(self, other: NumberSummary) -> None:
        self.rows += other.rows
        for name, summary in self.numbers.items():
            if name in other.numbers:
                summary.merge(other.numbers[name])

    def total(self, name: str) -> float:
        """The sum over the events that have the number; 0 where none has."""
        summary = self.numbers.get(name)
        return 0.0 if summary is None else summary.total / _scale(name)

    def quantile(self, name: str, q: float) -> float:
        """Within 1 %; 0 in the lowest cell, NaN without values."""
        found = self.numbers[name].quantile(q)
        return 0.0 if found < LEAST * 1.03 else found / _scale(name)

    def to_bytes(self) -> bytes:
        head = json.dumps([FORMAT, self.rows, list(self.numbers)]).encode()
        return frame.join([head, *(summary.to_bytes() for summary in self.numbers.values())])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> NumberSummary:
        """Numbers that the schema has lost are dropped, new ones are empty. Raises ValueError for an unknown format."""
        head, *parts = frame.split(data)
        form, rows, names = json.loads(head)
        if form != FORMAT:
            raise ValueError(f"number summary of format {form}: this release reads format {FORMAT}. Upgrade driftd.")
        out = NumberSummary.empty(schema)
        out.rows = rows
        for name, part in zip(names, parts, strict=True):
            if name in out.numbers:
                out.numbers[name] = LatencySummary.from_bytes(part)
        return out


def _scale(name: str) -> float:
    return MONEY_SCALE if name.endswith("_usd") else 1.0


def score_numbers(part: NumberSummary, window_seconds: float) -> Iterator[Score]:
    """Total, mean, quantiles and rate of each number that any event has; subject `event:NAME`."""
    for name, summary in part.numbers.items():
        rows = summary.rows
        if rows == 0:
            continue
        subject, total = f"event:{name}", part.total(name)
        yield Score(subject, "mean", total / rows, rows)
        for label, q in QUANTILES.items():
            yield Score(subject, label, part.quantile(name, q), rows)
        if not name.endswith("_ms"):  # the sum of waiting times is of no use
            yield Score(subject, "total", total, rows)
            yield Score(subject, "per_second", total / window_seconds, rows)
