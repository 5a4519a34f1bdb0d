"""A csv file as batches of typed columns. Rows of more or fewer values than the header has are told, not read (monitor/torn_rows.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from monitor.decode.values import Refused
from monitor.tabular_values import Refusals
from monitor.torn_rows import check_most, with_refused

BLOCK_BYTES = 8 << 20
SKIPPED = pacsv.ParseOptions(invalid_row_handler=lambda row: "skip")
UNEVEN = "Expected "  # how the parser says it


def csv_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The type of a column is that of its first block; where a later one is of another, it is read on as text. Raises ArrowException,
    and FileProblem where too many rows are uneven."""
    types: dict[str, pa.DataType] = {}
    done, uneven = 0, False
    while True:
        at, names = 0, list[str]()
        try:
            with _Blocks(path, types, uneven) as blocks:
                names = blocks.names
                for batch in blocks:
                    at += batch.num_rows
                    if at > done:
                        yield batch.slice(max(0, batch.num_rows - (at - done)))
                        done = at
            return
        except pa.ArrowInvalid as error:
            if not uneven and UNEVEN in str(error):
                uneven = True
                continue
            found = re.search(r"CSV column #(\d+):.* conversion error", str(error))
            name = names[int(found[1])] if found and int(found[1]) < len(names) else None
            if name is None or name in types:
                raise
            types[name] = pa.string()


class _Blocks:
    """The batches of one reading. uneven: with uneven rows in their places, on one thread, for only so their numbers are known."""

    def __init__(self, path: Path, types: dict[str, pa.DataType], uneven: bool) -> None:
        self._path, self._bad = path, list[tuple[int, str]]()
        self._reader = pacsv.open_csv(
            path,
            read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES, use_threads=not uneven),
            parse_options=pacsv.ParseOptions(invalid_row_handler=self._note) if uneven else None,
            convert_options=pacsv.ConvertOptions(column_types=types),
        )
        self.names: list[str] = self._reader.schema.names

    def __enter__(self) -> _Blocks:
        return self

    def __exit__(self, *error: object) -> None:
        self._reader.close()

    def _note(self, row: pacsv.InvalidRow) -> str:
        text = row.text if len(row.text) <= 40 else f"{row.text[:40]}..."
        why = f"Expected {row.expected_columns} columns, got {row.actual_columns}: {text}"
        self._bad.append((row.number - 2, why))  # after the header, from 0
        return "skip"

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        at = told = 0
        for batch in self._reader:
            places: list[int | None] = []
            refused: Refusals = {}
            rows = 0
            while rows < batch.num_rows:
                if told < len(self._bad) and self._bad[told][0] <= at + len(places):
                    refused[len(places)] = Refused("undecodable", self._bad[told][1])
                    places.append(None)
                    told += 1
                    continue
                until = (
                    batch.num_rows if told == len(self._bad) else min(batch.num_rows, rows + self._bad[told][0] - at - len(places))
                )
                places += range(rows, until)
                rows = until
            at += len(places)
            self._check(told, at)
            yield with_refused(batch.take(pa.array(places, pa.int64())), refused) if refused else batch
        rest = {i: Refused("undecodable", why) for i, (_, why) in enumerate(self._bad[told:])}
        if rest:
            self._check(len(self._bad), at + len(rest))
            nothing = pa.RecordBatch.from_arrays(
                [pa.nulls(len(rest), f.type) for f in self._reader.schema], schema=self._reader.schema
            )
            yield with_refused(nothing, rest)

    def _check(self, bad: int, rows: int) -> None:
        if bad:
            check_most(self._path, bad, rows, *self._bad[0])
