"""Rows of parquet, csv and jsonl files as columns: for replay, and for building references.

Column names: the config's `columns` of the model maps fields of the event to columns of the file, for example
{ts: time, event_id: id, prediction.score: p, features.income: INC}. A field that it does not name is looked
for under its own name (`ts`, `prediction.score`, `income`), with dots or underscores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from detectors.columns import Columns, DictColumn, Floats, Ints, Matrix, Outcomes, Schema
from detectors.ragged import Ragged
from monitor.csv_rows import SKIPPED, csv_batches
from monitor.decode.settings import LABEL_CHARS, TEXT_CHARS
from monitor.decode.vectors import derive, label_pairs
from monitor.json_rows import JsonRows
from monitor.payload import has_payload, pack, unpack
from monitor.tabular_lists import FileProblem, ListReader
from monitor.tabular_values import Refusals, errors_of, floats_of, note, reads_as_time, texts_of, times_of
from monitor.torn_rows import REFUSED, torn

BATCH_ROWS = 131_072
FILE_ERRORS = (pa.ArrowException, OSError)
Read = tuple[Columns, DictColumn, dict[str, DictColumn]]  # columns, versions, segments
KINDS = (".parquet", ".csv", ".jsonl", ".ndjson", ".json")


def is_typed(path: Path) -> bool:
    """Whether the format tells a number from a text that reads as one."""
    return path.suffix.lower() != ".csv"


def read_batches(path: Path, columns: list[str] | None = None) -> tuple[Iterator[pa.RecordBatch], int | None]:
    """Batches of a file, and its number of rows where the format knows it. Raises FileProblem, batches as they are read too."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            file = pq.ParquetFile(path)
            there = flat_names(file.schema_arrow)  # made anew whenever it is asked for
            wanted = None if columns is None else [c for c in columns if c in there]
            batches = _ahead(file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=True))
            nested = any(pa.types.is_struct(kind) for kind in file.schema_arrow.types)
            return _said(path, (_flat_batch(b) for b in batches) if nested else batches), file.metadata.num_rows
        if suffix == ".csv":
            pacsv.open_csv(path, parse_options=SKIPPED).close()
            return _said(path, csv_batches(path)), None
        if suffix in KINDS:
            found = _json(path)
            if isinstance(found, pa.Table):
                return iter(found.to_batches(BATCH_ROWS)), found.num_rows
            return found.batches(), found.rows
    except FILE_ERRORS as error:
        raise _problem(path, error) from error
    raise FileProblem(f"{path}: {suffix or 'no suffix'} is not supported; allowed: {', '.join(KINDS)}")


def _json(path: Path) -> pa.Table | JsonRows:
    try:
        return _flatten(pajson.read_json(path))
    except pa.ArrowInvalid:
        if (found := JsonRows(path)).rows:
            return found
        raise


def _head(path: Path) -> tuple[Iterator[pa.RecordBatch], int | None]:
    """Batches to tell a file's columns by, and its number of rows where the format knows it."""
    if path.suffix.lower() not in KINDS[2:]:
        return read_batches(path)
    try:
        found = _json(path)
    except FILE_ERRORS as error:
        raise _problem(path, error) from error
    if isinstance(found, pa.Table):
        return iter(found.to_batches(BATCH_ROWS)), found.num_rows
    return found.batches(alike=True), found.rows


def _problem(path: Path, error: Exception) -> FileProblem:
    return FileProblem(f"{path}: {' '.join(str(error).split())[:300]}")


def _said(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; what cannot be read on is a FileProblem."""
    try:
        yield from batches
    except FILE_ERRORS as error:
        raise _problem(path, error) from error


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, the next one read on another thread meanwhile."""
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        following = pool.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield batch


def names_of(path: Path) -> dict[str, pa.DataType]:
    """The columns of a file and their types, those of objects as `outer.inner`. Raises FileProblem, also for two of one name."""
    if path.suffix.lower() == ".parquet":
        try:
            file = pq.ParquetFile(path)
            schema, rows = file.schema_arrow, file.metadata.num_rows
        except FILE_ERRORS as error:
            raise _problem(path, error) from error
        if not rows:
            raise FileProblem(f"{path}: no rows")
    else:
        batches, _ = _head(path)
        first = next(batches, None)
        if first is None:
            raise FileProblem(f"{path}: no rows")
        schema = pa.schema([field for field in first.schema if field.name != REFUSED])
    _check_names(schema.names, path)
    return flat_names(schema)


def _check_names(names: list[str], path: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FileProblem(f"{path}: column {twice[0]!r} stands twice; give each column a name of its own")


def flat_names(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Names and types of the columns, structs as `outer.inner`."""
    out: dict[str, pa.DataType] = {}
    for name, kind in zip(schema.names, schema.types, strict=True):
        inside = flat_names(pa.schema(list(kind))) if pa.types.is_struct(kind) else None
        out |= {name: kind} if inside is None else {f"{name}.{inner}": t for inner, t in inside.items()}
    return out


def _flatten(table: pa.Table) -> pa.Table:
    """Structs become columns `outer.inner`."""
    while any(pa.types.is_struct(f.type) for f in table.schema):
        table = table.flatten()
    return table


def _flat_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    flat = _flatten(pa.Table.from_batches([batch])).combine_chunks()
    arrays = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in flat.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=flat.schema)


def find(names: Any, field: str, mapping: dict[str, str]) -> str | None:
    """The file's column for a field of the event."""
    if field in mapping:
        return mapping[field] if mapping[field] in names else None
    last = field.rpartition(".")[2]
    candidates = [field, field.replace(".", "_")]
    if field.startswith(("features.", "segment.")):
        candidates += [field.partition(".")[2], last]
    elif last in ("ts", "event_id"):
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
        self,
        path: Path,
        names: Any,
        schema: Schema,
        segments: tuple[str, ...],
        mapping: dict[str, str],
        events: bool = True,
        lenient: bool = False,
    ) -> None:
        """events: the rows are events, so that every mapped column must be there; a reference needs features only.
        lenient: the model's `non_finite` is `missing`."""
        for field, column in mapping.items():
            needed = field.startswith("features.") or (events and field.partition(".")[0] not in ("label", "label_ts"))
            if column not in names and needed:
                listed = ", ".join(sorted(names)[:40])
                raise FileProblem(f"{path}: columns.{field} names column {column!r}, the file has {listed}")
        self._names = names
        self._path, self._schema, self._lenient, self._typed = path, schema, lenient, is_typed(path)
        self._numeric = {f: find(names, f"features.{f}", mapping) for f in schema.numeric}
        self._categorical = {f: find(names, f"features.{f}", mapping) for f in schema.categorical}
        self._segment = {s: find(names, f"segment.{s}", mapping) for s in segments}
        self.fixed = {
            f: find(names, f, mapping)
            for f in ("event_id", "ts", "version", "prediction.label", "prediction.score", "latency_ms", "status")
        }
        self.label = None if events else find(names, "label", mapping)
        self._numbers = {n: find(names, n, mapping) for n in schema.numbers}
        self._lists = ListReader(names, schema, lambda field: find(names, field, mapping), path, lenient, self._typed)
        self.missing = [f for f, c in {**self._numeric, **self._categorical}.items() if c is None]

    @property
    def wanted(self) -> list[str]:
        found = {*self._numeric.values(), *self._categorical.values(), *self._segment.values(), *self.fixed.values(), self.label}
        found |= {*self._numbers.values(), *self._lists.wanted}
        return sorted(c for c in found if c is not None)

    def columns(self, batch: pa.RecordBatch) -> Columns:
        """What the rows hold, less what an event may not hold."""
        return self.read(batch, {})[0]

    def read(self, batch: pa.RecordBatch, refused: Refusals) -> Read:
        """Columns, versions and segments; rows that an event's decoder would refuse are noted in refused, in its order of fields."""
        rows, fixed = batch.num_rows, self.fixed
        for row, why in torn(batch).items():
            refused.setdefault(row, why)
        numeric = {f: self._floats(batch, c, f"features.{f}", refused) for f, c in self._numeric.items()}
        categorical = {f: self._texts(batch, c, f"features.{f}", refused) for f, c in self._categorical.items()}
        segments = {s: self._texts(batch, c, f"segment.{s}", refused) for s, c in self._segment.items()}
        version = self._texts(batch, fixed["version"], "version", refused)
        label = self._texts(batch, fixed["prediction.label"], "prediction.label", refused)
        score = self._floats(batch, fixed["prediction.score"], "prediction.score", refused)
        latency = self._floats(batch, fixed["latency_ms"], "latency_ms", refused)
        error = errors_of(self._array(batch, fixed["status"]), rows, "status", refused, self._typed)
        numbers = {n: self._floats(batch, c, n, refused) for n, c in self._numbers.items()}
        vectors, lists = self._lists.read(batch, refused)
        label, score, vectors = derive(self._schema, label, score, vectors)
        columns = Columns(
            rows=rows,
            numeric=numeric,
            categorical=categorical,
            score=score,
            label=label,
            latency_ms=latency,
            error=error,
            numbers=numbers,
            vectors=vectors,
            lists=lists,
        )
        return columns, version, segments

    def outcomes(self, batch: pa.RecordBatch, columns: Columns, refused: Refusals) -> Outcomes:
        """The labels that stand beside the rows of a reference; missing ones where it has no column for them."""
        regression = self._schema.task in ("regression", "quantile")
        rows = batch.num_rows
        array = self._array(batch, self.label)
        several = array is not None and (pa.types.is_list(array.type) or pa.types.is_large_list(array.type))
        if array is not None and several and not has_payload(self._schema):
            _ = texts_of(array, rows, "label", refused)  # lists are no labels of this task: it notes them
        label = DictColumn.missing(rows) if regression or several else self._texts(batch, self.label, "label", refused)
        return Outcomes(
            predicted_label=columns.label,
            predicted_score=columns.score,
            true_label=label,
            true_value=self._floats(batch, self.label, "label", refused) if regression else np.full(rows, np.nan),
            weight=np.ones(rows, dtype=np.int64),
            vectors=self._label_vectors(columns, array if several else None, label, refused),
        )

    def _label_vectors(self, columns: Columns, several: pa.Array | None, label: DictColumn, refused: Refusals) -> dict[str, Matrix]:
        if not has_payload(self._schema):
            return {}
        none = Ragged.missing(columns.rows, np.uint8)
        found = [] if several is None else several.to_pylist()
        pairs = [None if v is None else note(refused, row, label_pairs, v) for row, v in enumerate(found)]
        truth = None if several is None else Ragged.of_bytes(pairs)
        return unpack(self._schema, pack(self._schema, columns) or none, truth or none, label)

    def times(self, batch: pa.RecordBatch, refused: Refusals) -> Ints:
        """ts in ms; NO_TIME where it is missing or refused."""
        column = self.fixed["ts"]
        if column is None:
            listed = ", ".join(sorted(self._names)[:40])
            fix = "name it in the model's `columns`, as in {ts: time}"
            raise FileProblem(f"{self._path}: no column for ts; {fix}; the file has {listed}")
        return times_in(batch, column, "ts", self._path, refused)

    def _array(self, batch: pa.RecordBatch, column: str | None) -> pa.Array | None:
        at = -1 if column is None else batch.schema.get_field_index(column)  # a list of all names would be made for each
        return None if at < 0 else batch.column(at)

    def _floats(self, batch: pa.RecordBatch, column: str | None, field: str, refused: Refusals) -> Floats:
        return floats_of(self._array(batch, column), batch.num_rows, field, refused, self._lenient, self._typed)

    def _texts(self, batch: pa.RecordBatch, column: str | None, field: str, refused: Refusals) -> DictColumn:
        most = TEXT_CHARS if self._schema.kinds.get(field.removeprefix("features.")) == "text" else LABEL_CHARS
        return texts_of(self._array(batch, column), batch.num_rows, field, refused, most, self._typed)


def times_in(batch: pa.RecordBatch, column: str, field: str, path: Path, refused: Refusals) -> Ints:
    """A column's times. Raises FileProblem where its type is none of times."""
    try:
        return times_of(batch.column(column), field, refused)
    except TypeError as error:
        raise FileProblem(
            f"{path}: column {column!r} {error}; name another one in the model's `columns`, as in {{{field}: time}}"
        ) from error


def infer_schema(path: Path, mapping: dict[str, str], skip: set[str]) -> tuple[dict[str, str], int]:
    """Kinds of a file's columns as features, and its rows, by the first batch: numbers are numeric, but few whole ones (at
    most 12 distinct) a category; times, and strings that all read as ISO 8601, are datetimes; strings of which most differ
    and hold several words are text.
    """
    batches, total = _head(path)
    kinds: dict[str, str] = {}
    rows = 0
    inverse = {c: f.removeprefix("features.") for f, c in mapping.items() if f.startswith("features.")}
    for batch in batches:
        if not rows:
            _check_names(batch.schema.names, path)
            for name, kind in zip(batch.schema.names, batch.schema.types, strict=True):
                feature = inverse.get(name, name.removeprefix("features."))
                if name in skip or name == REFUSED or name.startswith(("prediction", "segment.")):
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
                elif not _is_no_feature(kind):
                    kinds[feature] = _kind_of_texts(batch.column(name))
        rows += batch.num_rows
        if total is not None:
            return kinds, total
    if not rows:
        raise FileProblem(f"{path}: no rows")
    return kinds, rows


def no_features(path: Path, skip: set[str]) -> dict[str, pa.DataType]:
    """The columns that could be no feature, whatever their kind, and their types."""
    return {name: kind for name, kind in names_of(path).items() if _is_no_feature(kind) and name not in skip}


def _is_no_feature(kind: pa.DataType) -> bool:
    times = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    return (pa.types.is_temporal(kind) and not times) or bool(pa.types.is_nested(kind))


def _kind_of_texts(array: pa.Array) -> str:
    """Of at most 1,000 strings."""
    some = [v for v in array.slice(0, 1000).to_pylist() if isinstance(v, str)]
    if not some:
        return "category"
    if all(reads_as_time(v) for v in some):
        return "datetime"
    words = sum(len(v.split()) for v in some) / len(some)
    return "text" if len(set(some)) > len(some) / 2 and words >= 3 else "category"
