"""Rows of a file that are none: too short a line of csv, a line of no JSON. Batches hold them as nulls, with the reason beside.

So each keeps its number in the file, and whoever reads it refuses it as it refuses any other. A file of which half is so is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from monitor.decode.values import Refused
from monitor.tabular_lists import FileProblem
from monitor.tabular_values import Refusals

REFUSED = "\0refused"  # the column of reasons, in batches that have such rows


def with_refused(batch: pa.RecordBatch, refused: Mapping[int, Refused]) -> pa.RecordBatch:
    """A batch with the reasons of its rows that are none."""
    if not refused:
        return batch
    told = [None if (why := refused.get(row)) is None else f"{why.reason}\0{why.detail}" for row in range(batch.num_rows)]
    return pa.RecordBatch.from_arrays([*batch.columns, pa.array(told, pa.string())], names=[*batch.schema.names, REFUSED])


def torn(batch: pa.RecordBatch) -> Refusals:
    """The rows of a batch that are none, and why."""
    at = batch.schema.get_field_index(REFUSED)
    if at < 0:
        return {}
    return {row: Refused(*why.split("\0", 1)) for row, why in enumerate(batch.column(at).to_pylist()) if why is not None}


def check_most(path: Path, bad: int, rows: int, first: int, why: str) -> None:
    """Raises FileProblem where half of so many rows, or more, are none. first: the number of the first of them, from 0."""
    if 2 * bad >= rows and bad:
        fix = "correct the file, or give the format that it has"
        raise FileProblem(f"{path}: {bad} of the first {rows} rows cannot be read, the first is row {first}: {why}; {fix}")
