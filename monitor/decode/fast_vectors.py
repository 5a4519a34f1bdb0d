"""Lists of many events at once, from what pyarrow.json parsed. What is not plainly right is left to the exact path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.columns import Bools, Ints, Matrix, Schema
from detectors.ragged import Ragged
from monitor.decode.ids import hash_column
from monitor.decode.settings import ITEMS, LABEL_CHARS, SUM_TOLERANCE, ModelSchema
from monitor.decode.vectors import GREATEST, RANGE_TOLERANCE, lists_of, place_of, quantile_names


class FastVectors:
    """Which lists the models have, as fields of the parser's schema, and how they become columns."""

    def __init__(self, models: dict[str, ModelSchema]) -> None:
        schemas = [m.schema for m in models.values()]
        self._classes = sorted({c for s in schemas if "probabilities" in s.vectors for c in s.classes})
        self._quantiles = sorted({q for s in schemas if "quantiles" in s.vectors for q in quantile_names(s)})
        self._names = sorted({n for s in schemas for n in (*s.vectors, *lists_of(s))})
        self.any = bool(self._names)
        self._as_list = dict.fromkeys(("probabilities", "quantiles"), False)

    def fields(self, sample: dict[str, Any], where: str) -> list[tuple[str, pa.DataType]]:
        """The fields of the event itself (where is "") or of its prediction."""
        inside = sample.get("prediction") if where else sample
        out = []
        for name in self._names:
            path = place_of(name)
            if (path[0] if len(path) > 1 else "") == where:
                out.append((name, self._type(name, inside.get(name) if isinstance(inside, dict) else None)))
        return out

    def _type(self, name: str, value: Any) -> pa.DataType:
        if name in ("labels", "items"):
            return pa.list_(pa.string())
        if name in ("embedding", "item_scores"):
            return pa.list_(pa.float64())
        if value is not None:
            self._as_list[name] = isinstance(value, list)
        if self._as_list[name]:
            return pa.list_(pa.float64())
        return pa.struct([(n, pa.float64()) for n in (self._classes if name == "probabilities" else self._quantiles)])

    def read(self, table: pa.Table, prediction: pa.ChunkedArray) -> dict[str, pa.Array]:
        """The arrays of all fields."""
        out = {}
        for name in self._names:
            path = place_of(name)
            found = pc.struct_field(prediction, name) if len(path) > 1 else table.column(name)
            out[name] = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
            if isinstance(out[name], pa.ChunkedArray):
                out[name] = pa.concat_arrays(out[name].chunks)
        return out

    def of(self, schema: Schema, raw: dict[str, pa.Array], bad: Bools) -> tuple[dict[str, Matrix], dict[str, Ragged]]:
        """A model's vectors and lists, of all rows; those that only the exact path can judge are marked in bad."""
        vectors: dict[str, Matrix] = {}
        for name, length in schema.vectors.items():
            array = raw[name]
            if name == "labels":
                vectors[name] = classes_in(array, schema.classes, bad)
            elif pa.types.is_struct(array.type):
                names = schema.classes if name == "probabilities" else quantile_names(schema)
                vectors[name] = _named(array, names, name == "quantiles", bad)
            else:
                vectors[name] = listed(array, length, bad)
            if name == "probabilities":
                check_chances(vectors[name], schema.task == "multiclass", bad)
        lists = {name: (hashes if name == "items" else numbers_in)(raw[name], bad) for name in lists_of(schema)}
        mark_apart(lists, bad)
        return vectors, lists


def _named(array: pa.StructArray, names: tuple[str, ...], all_needed: bool, bad: Bools) -> Matrix:
    """Rows of an object of numbers, in the order of names; one that is not there is 0, or refused."""
    out = np.empty((len(array), len(names)))
    for i, name in enumerate(names):
        column = pc.struct_field(array, name)
        if column.null_count:
            if all_needed:
                bad |= _nulls(column) & ~_nulls(array)
            column = column.fill_null(0.0)
        out[:, i] = column.to_numpy(zero_copy_only=False)
    return _finished(out, ~_nulls(array), bad)


def listed(array: pa.ListArray, length: int, bad: Bools) -> Matrix:
    lengths = _lengths(array)
    flat = array.flatten()
    fits = lengths == length
    bad |= (lengths >= 0) & ~fits
    owners = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
    if flat.null_count:
        bad[owners[_nulls(flat)]] = True
    numbers = flat.fill_null(0.0).to_numpy(zero_copy_only=False)
    out = np.zeros((len(lengths), length))
    out[fits] = numbers[fits[owners]].reshape(-1, length)
    return _finished(out, fits, bad)


def _finished(found: Any, there: Bools, bad: Bools) -> Matrix:
    if not np.isfinite(found.sum()) or np.abs(found).max(initial=0.0) > GREATEST:
        bad |= there & ~(np.abs(found) <= GREATEST).all(axis=1)
        found[bad] = 0.0
    out: Matrix = found.astype(np.float32)
    if not there.all():
        out[~there] = np.nan
    return out


def check_chances(found: Matrix, exclusive: bool, bad: Bools) -> None:
    """float32 may round across a bound: what is near one is left to the exact path."""
    with np.errstate(invalid="ignore"):
        bad |= ((found < 0) | (found > 1)).any(axis=1)
        if exclusive:
            bad |= np.abs(found.astype(np.float64).sum(axis=1) - 1.0) > SUM_TOLERANCE - RANGE_TOLERANCE


def classes_in(array: pa.ListArray, classes: tuple[str, ...], bad: Bools) -> Matrix:
    """1 for each class that a row lists."""
    lengths = _lengths(array)
    owners = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
    flat = array.flatten()
    place = pc.index_in(flat, value_set=pa.array(classes, type=pa.string()))
    codes = place.fill_null(-1).to_numpy(zero_copy_only=False)
    bad[owners[codes < 0]] = True
    out = np.zeros((len(lengths), len(classes)), dtype=np.float32)
    out[owners[codes >= 0], codes[codes >= 0]] = 1.0
    out[lengths < 0] = np.nan
    return out


def hashes(array: pa.ListArray, bad: Bools) -> Ragged:
    lengths = _lengths(array)
    owners = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
    flat = array.flatten()
    if flat.null_count:
        bad[owners[_nulls(flat)]] = True
        flat = flat.fill_null("")
    sizes = pc.binary_length(flat).to_numpy(zero_copy_only=False)
    if len(sizes) and int(sizes.max()) > LABEL_CHARS:
        bad[owners[sizes > LABEL_CHARS]] = True
    out = Ragged(lengths, hash_column(flat)[:, 0].copy())
    _mark_repeats(out, bad)
    return out.head(ITEMS + 1)


def numbers_in(array: pa.ListArray, bad: Bools) -> Ragged:
    """Lists of numbers of any length."""
    lengths = _lengths(array)
    owners = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
    flat = array.flatten()
    numbers = flat.fill_null(np.nan).to_numpy(zero_copy_only=False)
    bad[owners[~(np.abs(numbers) <= GREATEST)]] = True
    return Ragged(lengths, np.array(numbers, dtype=np.float64)).head(ITEMS + 1)


def mark_apart(lists: dict[str, Ragged], bad: Bools) -> None:
    """Rows whose scores are not as many as their items."""
    if "item_scores" in lists:
        scores = lists["item_scores"].lengths
        bad |= (scores >= 0) & (scores != np.maximum(lists["items"].lengths, 0))


def _mark_repeats(items: Ragged, bad: Bools) -> None:
    """Rows that have an item twice, and few that only seem to: one sort of all rows' items together."""
    owners = items.owners()
    with np.errstate(over="ignore"):
        keys = items.values ^ (owners.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    ordered = np.sort(keys)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        bad[owners[np.isin(keys, twice)]] = True


def _lengths(array: pa.ListArray) -> Ints:
    """Lengths of the lists, -1 where null."""
    return np.asarray(array.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _nulls(array: pa.Array) -> Bools:
    if array.null_count == 0:
        return np.zeros(len(array), dtype=np.bool_)
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
