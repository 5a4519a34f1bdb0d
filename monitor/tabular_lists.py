"""Lists in the rows of a file: a column a class or quantile, or one column that holds lists.

    prediction.probabilities.CLASS   (or probability_CLASS, proba_CLASS)      numbers, a column each
    prediction.probabilities         (or probabilities)                       a list a row, in the order of `classes`
    prediction.quantiles.0.5         (or quantile_0.5); prediction.quantiles; embedding
    prediction.labels, prediction.items                                       lists of strings
    prediction.item_scores                                                    a list of numbers a row

A row that holds what an event may not hold counts as missing; a column of another type is a FileProblem.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.columns import Bools, Matrix, Schema
from detectors.ragged import Ragged
from detectors.sample import LIST_TYPES
from monitor.decode.fast_vectors import check_chances, classes_in, hashes, listed, mark_apart, numbers_in
from monitor.decode.vectors import lists_of, place_of, quantile_names


class FileProblem(ValueError):
    """A file that cannot be read; the message names the file, the column and the fix."""


class ListReader:
    """Reads the vectors and lists of one model from batches of one file."""

    def __init__(self, names: Any, schema: Schema, find: Callable[[str], str | None], path: Path) -> None:
        """find: the file's column for a field of the event."""
        self._schema, self._path = schema, path
        self._whole: dict[str, str] = {}
        self._apart: dict[str, list[str | None]] = {}
        for name in (*schema.vectors, *lists_of(schema)):
            field = ".".join(place_of(name))
            column = find(field)
            if column is not None:
                self._whole[name] = column
            elif name in ("probabilities", "quantiles"):
                parts = schema.classes if name == "probabilities" else quantile_names(schema)
                found = [find(f"{field}.{part}") for part in parts]
                lacking = [p for p, c in zip(parts, found, strict=True) if c is None]
                if len(lacking) < len(parts):
                    if lacking:
                        raise FileProblem(f"{path}: there is no column for {field}.{lacking[0]}; name it in the model's `columns`")
                    self._apart[name] = found

    @property
    def wanted(self) -> set[str]:
        return {*self._whole.values(), *(c for columns in self._apart.values() for c in columns if c is not None)}

    def read(self, batch: pa.RecordBatch) -> tuple[dict[str, Matrix], dict[str, Ragged]]:
        rows, schema = batch.num_rows, self._schema
        vectors: dict[str, Matrix] = {}
        for name, length in schema.vectors.items():
            bad = np.zeros(rows, dtype=np.bool_)
            if name in self._apart:
                vectors[name] = self._columns(batch, name)
            elif name not in self._whole:
                vectors[name] = np.full((rows, length), np.nan, dtype=np.float32)
            elif name == "labels":
                vectors[name] = classes_in(self._array(batch, name, pa.string()), schema.classes, bad)
            else:
                vectors[name] = listed(self._array(batch, name, pa.float64()), length, bad)
            if name == "probabilities":
                check_chances(vectors[name], schema.task == "multiclass", bad)
            vectors[name][bad] = np.nan
        lists = {}
        for name in lists_of(schema):
            lists[name] = self._items(batch, name) if name in self._whole else Ragged.missing(rows, LIST_TYPES[name])
        apart = np.zeros(rows, dtype=np.bool_)
        mark_apart(lists, apart)
        return vectors, {name: _without(found, apart) if name == "item_scores" else found for name, found in lists.items()}

    def _columns(self, batch: pa.RecordBatch, name: str) -> Matrix:
        out = np.empty((batch.num_rows, len(self._apart[name])), dtype=np.float32)
        for i, column in enumerate(self._apart[name]):
            array = batch.column(column)
            try:
                out[:, i] = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            except pa.ArrowInvalid as error:
                raise FileProblem(f"{self._path}: column {column!r} is {array.type}, must be numbers: {error}") from error
        out[~np.isfinite(out).all(axis=1)] = np.nan
        return out

    def _items(self, batch: pa.RecordBatch, name: str) -> Ragged:
        bad = np.zeros(batch.num_rows, dtype=np.bool_)
        if name == "items":
            return _without(hashes(self._array(batch, name, pa.string()), bad), bad)
        return _without(numbers_in(self._array(batch, name, pa.float64()), bad), bad)

    def _array(self, batch: pa.RecordBatch, name: str, kind: pa.DataType) -> Any:
        array = batch.column(self._whole[name])
        try:
            return array.cast(pa.list_(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            column = self._whole[name]
            raise FileProblem(f"{self._path}: column {column!r} is {array.type}, must hold lists of {kind}s") from error


def _without(found: Ragged, bad: Bools) -> Ragged:
    """The same rows, missing where bad."""
    return Ragged(np.where(bad, -1, found.lengths), found.values[~bad[found.owners()]]) if bad.any() else found
