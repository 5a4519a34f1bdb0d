"""Mean and spread of those numbers of the events by which versions that got different rows are compared: an optional part.

Quantile cells (detectors/operations.py) know positive numbers alone; a difference of means needs the spread of any.
Size: 40 bytes a number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from detectors import frame
from detectors.columns import Columns, Schema
from detectors.moments import Moments
from detectors.request_numbers import in_steps

PART = "number_moments"
FORMAT = 1


@dataclass(slots=True)
class NumberMoments:
    """numbers: of each that the options name, over the events that have it."""

    numbers: dict[str, Moments]

    @staticmethod
    def empty(schema: Schema) -> NumberMoments:
        return NumberMoments({name: Moments() for name in schema.parts[PART]["numbers"]})

    def add(self, rows: Columns) -> None:
        for name, moments in self.numbers.items():
            values = rows.numbers.get(name)
            if values is not None:
                moments.add(in_steps(name, values[np.isfinite(values)]))

    def merge(self, other: NumberMoments) -> None:
        for name, moments in self.numbers.items():
            if name in other.numbers:
                moments.merge(other.numbers[name])

    def to_bytes(self) -> bytes:
        return frame.join([json.dumps([FORMAT, list(self.numbers)]).encode(), *(m.to_bytes() for m in self.numbers.values())])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> NumberMoments:
        """Numbers that nobody asks for any more are dropped, new ones are empty. Raises ValueError for an unknown format."""
        head, *parts = frame.split(data)
        form, names = json.loads(head)
        if form != FORMAT:
            raise ValueError(f"number moments of format {form}: this release reads format {FORMAT}. Upgrade driftd.")
        out = NumberMoments.empty(schema)
        out.numbers.update({name: Moments.from_bytes(p) for name, p in zip(names, parts, strict=True) if name in out.numbers})
        return out
