"""Rows of parquet, csv and jsonl files as columns: for replay, and for building references.

Column names: the config's `columns` of the model maps fields of the event to columns of the file, for example
{ts: time, event_id: id, prediction.score: p, features.income: INC}. A field that it does not name is looked
for under its own name (`ts`, `prediction.score`, `income`), with dots or underscores.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from detectors.columns import Bools, Columns, DictColumn, Floats, Ints, Matrix, Outcomes, Schema
from detectors.ragged import Ragged
from monitor.decode.vectors import derive, label_pairs
from monitor.payload import has_payload, pack, unpack
from monitor.tabular_lists import FileProblem, ListReader

BATCH_ROWS = 131_072
KINDS = (".parquet", ".csv", ".jsonl", ".ndjson", ".json")


def read_batches(path: Path, columns: list[str] | None = None) -> tuple[Iterator[pa.RecordBatch], int | None]:
    """Batches of a file, and its number of rows where the format knows it. Raises FileProblem."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            file = pq.ParquetFile(path)
            there = set(file.schema_arrow.names)  # made anew whenever it is asked for
            wanted = None if columns is None else [c for c in columns if c in there]
            return _ahead(file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=True)), file.metadata.num_rows
        if suffix == ".csv":
            options = pacsv.ReadOptions(block_size=8 << 20)
            return iter(pacsv.open_csv(path, read_options=options)), None
        if suffix in KINDS:
            table = pajson.read_json(path)
            return iter(_flatten(table).to_batches(BATCH_ROWS)), table.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise FileProblem(f"{path}: {' '.join(str(error).split())[:300]}") from error
    raise FileProblem(f"{path}: {suffix or 'no suffix'} is not supported; allowed: {', '.join(KINDS)}")


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, the next one read on another thread meanwhile."""
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        following = pool.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield batch


def names_of(path: Path) -> dict[str, pa.DataType]:
    """The columns of a file and their types."""
    if path.suffix.lower() == ".parquet":
        schema = pq.read_schema(path)
        return dict(zip(schema.names, schema.types, strict=True))
    batches, _ = read_batches(path)
    first = next(batches, None)
    if first is None:
        raise FileProblem(f"{path}: no rows")
    return dict(zip(first.schema.names, first.schema.types, strict=True))


def _flatten(table: pa.Table) -> pa.Table:
    """Structs become columns `outer.inner`."""
    while any(pa.types.is_struct(f.type) for f in table.schema):
        table = table.flatten()
    return table


def find(names: Any, field: str, mapping: dict[str, str]) -> str | None:
    """The file's column for a field of the event."""
    if field in mapping:
        return mapping[field] if mapping[field] in names else None
    last = field.rpartition(".")[2]
    candidates = [field, field.replace(".", "_")]
    if field.startswith(("features.", "segment.")) or last in ("ts", "event_id"):
        candidates.append(last)
    if field.startswith("prediction.probabilities."):
        cls = field.removeprefix("prediction.probabilities.")
        candidates += [f"probabilities.{cls}", f"probability_{cls}", f"proba_{cls}"]
    elif field.startswith("prediction.quantiles."):
        candidates += [field.removeprefix("prediction."), "quantile_" + field.removeprefix("prediction.quantiles.")]
    elif field in (
        "prediction.probabilities",
        "prediction.quantiles",
        "prediction.labels",
        "prediction.items",
        "prediction.item_scores",
    ):
        candidates.append(last)
    if field == "prediction.score":
        candidates += ["score", "prediction", "prediction.value", "prediction_value"]
    return next((c for c in candidates if c in names), None)


class Reader:
    """Turns batches of one file into the columns of one model."""

    def __init__(
        self, path: Path, names: Any, schema: Schema, segments: tuple[str, ...], mapping: dict[str, str], events: bool = True
    ) -> None:
        """events: the rows are events, so that every mapped column must be there; a reference needs features only."""
        for field, column in mapping.items():
            needed = field.startswith("features.") or (events and field.partition(".")[0] not in ("label", "label_ts"))
            if column not in names and needed:
                listed = ", ".join(sorted(names)[:40])
                raise FileProblem(f"{path}: columns.{field} names column {column!r}, the file has {listed}")
        self._path, self._schema, self._segments = path, schema, segments
        self._numeric = {f: find(names, f"features.{f}", mapping) for f in schema.numeric}
        self._categorical = {f: find(names, f"features.{f}", mapping) for f in schema.categorical}
        self._segment = {s: find(names, f"segment.{s}", mapping) for s in segments}
        self.fixed = {
            f: find(names, f, mapping)
            for f in ("event_id", "ts", "version", "prediction.label", "prediction.score", "latency_ms", "status")
        }
        self.label = None if events else find(names, "label", mapping)
        self._numbers = {n: find(names, n, mapping) for n in schema.numbers}
        self._lists = ListReader(names, schema, lambda field: find(names, field, mapping), path)
        self.missing = [f for f, c in {**self._numeric, **self._categorical}.items() if c is None]

    @property
    def wanted(self) -> list[str]:
        found = {*self._numeric.values(), *self._categorical.values(), *self._segment.values(), *self.fixed.values(), self.label}
        found |= {*self._numbers.values(), *self._lists.wanted}
        return sorted(c for c in found if c is not None)

    def columns(self, batch: pa.RecordBatch) -> Columns:
        rows = batch.num_rows
        status = self._array(batch, self.fixed["status"])
        vectors, lists = self._lists.read(batch)
        label, score = self._texts(batch, self.fixed["prediction.label"]), self._floats(batch, self.fixed["prediction.score"])
        label, score, vectors = derive(self._schema, label, score, vectors)
        return Columns(
            rows=rows,
            numeric={f: self._floats(batch, c) for f, c in self._numeric.items()},
            categorical={f: self._texts(batch, c) for f, c in self._categorical.items()},
            score=score,
            label=label,
            latency_ms=self._floats(batch, self.fixed["latency_ms"]),
            error=_errors(status, rows),
            numbers={n: self._floats(batch, c) for n, c in self._numbers.items()},
            vectors=vectors,
            lists=lists,
        )

    def outcomes(self, batch: pa.RecordBatch, columns: Columns) -> Outcomes:
        """The labels that stand beside the rows of a reference; missing ones where it has no column for them."""
        regression = self._schema.task in ("regression", "quantile")
        rows = batch.num_rows
        array = self._array(batch, self.label)
        several = array is not None and (pa.types.is_list(array.type) or pa.types.is_large_list(array.type))
        label = DictColumn.missing(rows) if regression or several else self._texts(batch, self.label)
        return Outcomes(
            predicted_label=columns.label,
            predicted_score=columns.score,
            true_label=label,
            true_value=self._floats(batch, self.label) if regression else np.full(rows, np.nan),
            weight=np.ones(rows, dtype=np.int64),
            vectors=self._label_vectors(columns, array if several else None, label),
        )

    def _label_vectors(self, columns: Columns, several: pa.Array | None, label: DictColumn) -> dict[str, Matrix]:
        if not has_payload(self._schema):
            return {}
        none = Ragged.missing(columns.rows, np.uint8)
        truth = None if several is None else Ragged.of_bytes([None if v is None else label_pairs(v) for v in several.to_pylist()])
        return unpack(self._schema, pack(self._schema, columns) or none, truth or none, label)

    def version(self, batch: pa.RecordBatch) -> DictColumn:
        return self._texts(batch, self.fixed["version"])

    def segments(self, batch: pa.RecordBatch) -> dict[str, DictColumn]:
        return {s: self._texts(batch, c) for s, c in self._segment.items()}

    def times(self, batch: pa.RecordBatch) -> Ints:
        """ts in ms; -1 where it is missing."""
        column = self.fixed["ts"]
        if column is None:
            raise FileProblem(f"{self._path}: no column for ts; name it in the model's `columns`, as in {{ts: time}}")
        return times_of(batch.column(column), self._path, column)

    def _array(self, batch: pa.RecordBatch, column: str | None) -> pa.Array | None:
        at = -1 if column is None else batch.schema.get_field_index(column)  # a list of all names would be made for each
        return None if at < 0 else batch.column(at)

    def _floats(self, batch: pa.RecordBatch, column: str | None) -> Floats:
        array = self._array(batch, column)
        if array is None or pa.types.is_null(array.type):
            return np.full(batch.num_rows, np.nan)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        try:
            if not pa.types.is_float64(array.type):
                array = array.cast(pa.float64(), safe=False)
        except pa.ArrowInvalid as error:
            raise FileProblem(f"{self._path}: column {column!r} is {array.type}, must be numbers: {error}") from error
        values: Floats = array.to_numpy(zero_copy_only=False)
        if np.isinf(values).any():
            values = np.where(np.isinf(values), np.nan, values)
        return values

    def _texts(self, batch: pa.RecordBatch, column: str | None) -> DictColumn:
        array = self._array(batch, column)
        return DictColumn.missing(batch.num_rows) if array is None else texts_of(array)


def texts_of(array: pa.Array) -> DictColumn:
    """A column of any scalar type as strings, written as the event decoder writes them."""
    if pa.types.is_null(array.type):
        return DictColumn.missing(len(array))
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    values = [_text(v) for v in array.dictionary.to_pylist()]
    codes = array.indices.cast(pa.int32())
    numbers = (codes.fill_null(-1) if codes.null_count else codes).to_numpy(zero_copy_only=False)
    if len(set(values)) == len(values):
        return DictColumn(numbers, values)
    merged = DictColumn.from_list(list(values))
    return DictColumn(np.where(numbers < 0, -1, merged.codes[numbers]).astype(np.int32), merged.values)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return str(value)


def times_of(array: pa.Array, path: Path, column: str) -> Ints:
    """Timestamps, ISO 8601 strings or ms as ms; -1 where missing."""
    kind = array.type
    try:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            array = pc.cast(array, pa.timestamp("us", tz="UTC"))
            kind = array.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            array = array.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        elif pa.types.is_floating(kind):
            array = array.cast(pa.int64(), safe=False)
        elif not pa.types.is_integer(kind):
            raise FileProblem(f"{path}: column {column!r} is {kind}, must be a time: timestamp, ISO 8601 text, or ms")
    except pa.ArrowInvalid as error:
        raise FileProblem(f"{path}: column {column!r}: {' '.join(str(error).split())[:200]}") from error
    filled = array.fill_null(-1) if array.null_count else array
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.int64)


def _errors(status: pa.Array | None, rows: int) -> Bools:
    if status is None or pa.types.is_null(status.type):
        return np.zeros(rows, dtype=np.bool_)
    if pa.types.is_integer(status.type):
        codes = status.fill_null(0).to_numpy(zero_copy_only=False)
        return np.asarray(codes >= 400)
    if pa.types.is_boolean(status.type):
        return np.asarray(~status.fill_null(True).to_numpy(zero_copy_only=False))
    column = texts_of(status)
    good = np.array([v == "ok" for v in column.values] + [True])
    return np.asarray(~good[column.codes])


def infer_schema(path: Path, mapping: dict[str, str], skip: set[str]) -> tuple[dict[str, str], int]:
    """Kinds of a file's columns as features, and its rows, by the first batch: numbers are numeric, but few whole ones (at
    most 12 distinct) a category; times, and strings that all read as ISO 8601, are datetimes; strings of which most differ
    and hold several words are text.
    """
    batches, total = read_batches(path)
    kinds: dict[str, str] = {}
    rows = 0
    inverse = {c: f.removeprefix("features.") for f, c in mapping.items() if f.startswith("features.")}
    for batch in batches:
        if not rows:
            for name, kind in zip(batch.schema.names, batch.schema.types, strict=True):
                feature = inverse.get(name, name.removeprefix("features."))
                if name in skip or name.startswith(("prediction", "segment.")):
                    continue
                if pa.types.is_integer(kind):
                    few = pc.count_distinct(batch.column(name)).as_py() <= 12
                    kinds[feature] = "category" if few else "numeric"
                elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
                    kinds[feature] = "numeric"
                elif pa.types.is_boolean(kind):
                    kinds[feature] = "boolean"
                elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                    kinds[feature] = "datetime"
                elif not pa.types.is_temporal(kind) and not pa.types.is_nested(kind):
                    kinds[feature] = _kind_of_texts(batch.column(name))
        rows += batch.num_rows
        if total is not None:
            return kinds, total
    if not rows:
        raise FileProblem(f"{path}: no rows")
    return kinds, rows


def _kind_of_texts(array: pa.Array) -> str:
    """Of at most 1,000 strings."""
    some = [v for v in array.slice(0, 1000).to_pylist() if isinstance(v, str)]
    if not some:
        return "category"
    if all(_reads_as_time(v) for v in some):
        return "datetime"
    words = sum(len(v.split()) for v in some) / len(some)
    return "text" if len(set(some)) > len(some) / 2 and words >= 3 else "category"


def _reads_as_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return len(value) >= 10 and value[4:5] == "-"
