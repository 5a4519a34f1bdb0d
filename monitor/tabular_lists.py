"""Lists in the rows of a file: a column a class or quantile, or one column that holds lists.

    prediction.probabilities.CLASS   (or probability_CLASS, proba_CLASS)      numbers, a column each
    prediction.probabilities         (or probabilities)                       a list a row, in the order of `classes`
    prediction.quantiles.0.5         (or quantile_0.5); prediction.quantiles; embedding
    prediction.labels, prediction.items                                       lists of strings
    prediction.item_scores                                                    a list of numbers a row

What is not plainly right is read by the decoder's own rules, and a row that holds what an event may not hold is refused as it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.columns import Matrix, Schema
from detectors.ragged import Ragged
from detectors.sample import LIST_TYPES
from monitor.decode.fast_vectors import check_chances, classes_in, hashes, listed, mark_apart, numbers_in
from monitor.decode.vectors import GREATEST, check_together, columns_of, exact, lists_of, place_of, quantile_names
from monitor.tabular_values import Refusals, floats_of, note


class FileProblem(ValueError):
    """A file that cannot be read; the message names the file, the column and the fix."""


class ListReader:
    """Reads the vectors and lists of one model from batches of one file."""

    def __init__(
        self, names: Any, schema: Schema, find: Callable[[str], str | None], path: Path, lenient: bool, typed: bool
    ) -> None:
        """find: the file's column for a field of the event."""
        self._schema, self._lenient, self._typed = schema, lenient, typed
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

    def read(self, batch: pa.RecordBatch, refused: Refusals) -> tuple[dict[str, Matrix], dict[str, Ragged]]:
        """Vectors and lists; rows whose event the decoder would refuse are noted in refused, and missing here."""
        rows, schema = batch.num_rows, self._schema
        vectors = {name: np.full((rows, length), np.nan, dtype=np.float32) for name, length in schema.vectors.items()}
        lists = {name: Ragged.missing(rows, LIST_TYPES[name]) for name in lists_of(schema)}
        for name in vectors:
            if name in self._apart:
                vectors[name] = self._columns(batch, name, refused)
            elif name in self._whole:
                vectors[name] = self._vector(batch, name, refused)
        for name in lists:
            if name in self._whole:
                lists[name] = self._items(batch, name, refused)
        apart = np.zeros(rows, dtype=np.bool_)
        mark_apart(lists, apart)
        for row in np.flatnonzero(apart).tolist():
            lengths = (lists[name].lengths[row] for name in ("items", "item_scores"))
            note(refused, row, check_together, [[0] * max(0, int(n)) for n in lengths], schema)
        return vectors, lists

    def _columns(self, batch: pa.RecordBatch, name: str, refused: Refusals) -> Matrix:
        """A column a class or quantile; a row without any of them is missing."""
        rows, columns, field = batch.num_rows, self._apart[name], ".".join(place_of(name))
        wide = np.empty((rows, len(columns)))
        for i, column in enumerate(columns):
            wide[:, i] = floats_of(batch.column(column), rows, field, refused, self._lenient, self._typed)
        out = wide.astype(np.float32)
        bad = np.zeros(rows, dtype=np.bool_)
        if name == "probabilities":
            check_chances(out, self._schema.task == "multiclass", bad)
        lacking = np.isnan(wide)
        bad |= ~lacking.all(axis=1) & (lacking.any(axis=1) | (np.abs(np.where(lacking, 0.0, wide)) > GREATEST).any(axis=1))
        parts = self._schema.classes if name == "probabilities" else quantile_names(self._schema)
        found = {}
        for row in np.flatnonzero(bad).tolist():
            raw = [
                batch.column(column)[row].as_py() if np.isnan(v) else v
                for column, v in zip(columns, wide[row].tolist(), strict=True)
            ]
            found[row] = {p: v if isinstance(v, float) and not np.isnan(v) else None for p, v in zip(parts, raw, strict=True)}
        return self._exactly(out, name, found, refused)

    def _vector(self, batch: pa.RecordBatch, name: str, refused: Refusals) -> Matrix:
        rows, length = batch.num_rows, self._schema.vectors[name]
        bad = np.zeros(rows, dtype=np.bool_)
        array, plain = self._array(batch, name)
        if plain is None:
            out = np.full((rows, length), np.nan, dtype=np.float32)
            bad[:] = True
        elif name == "labels":
            out = classes_in(plain, self._schema.classes, bad)
        else:
            out = listed(plain, length, bad)
        if name == "probabilities":
            check_chances(out, self._schema.task == "multiclass", bad)
        return self._exactly(out, name, {row: array[row].as_py() for row in np.flatnonzero(bad).tolist()}, refused)

    def _exactly(self, out: Matrix, name: str, found: dict[int, Any], refused: Refusals) -> Matrix:
        """The matrix with the rows found as the decoder reads them one by one."""
        for row, value in found.items():
            out[row] = np.nan
            kept = note(refused, row, exact, name, value, self._schema, self._lenient)
            if kept is not None:
                out[row] = kept
        return out

    def _items(self, batch: pa.RecordBatch, name: str, refused: Refusals) -> Ragged:
        bad = np.zeros(batch.num_rows, dtype=np.bool_)
        array, plain = self._array(batch, name)
        if plain is None:
            out = Ragged.missing(batch.num_rows, LIST_TYPES[name])
            bad[:] = True
        else:
            out = hashes(plain, bad) if name == "items" else numbers_in(plain, bad)
        at = np.flatnonzero(bad)
        if not len(at):
            return out
        kept = [[note(refused, row, exact, name, array[row].as_py(), self._schema, self._lenient)] for row in at.tolist()]
        order = np.arange(batch.num_rows)
        order[at] = batch.num_rows + np.arange(len(at))
        return Ragged.concat([out, columns_of(kept, [name], self._schema)[1][name]]).take(order)

    def _array(self, batch: pa.RecordBatch, name: str) -> tuple[pa.Array, pa.Array | None]:
        """The column, and the same as plain lists; None where it does not hold lists of that kind."""
        array = batch.column(self._whole[name])
        if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type)):
            return array, None
        inside, text = array.type.value_type, name in ("labels", "items")
        numbers = pa.types.is_integer(inside) or pa.types.is_floating(inside) or pa.types.is_null(inside)
        texts = not pa.types.is_floating(inside) and (numbers or pa.types.is_string(inside) or pa.types.is_large_string(inside))
        if not (texts if text else numbers):
            return array, None
        try:
            return array, array.cast(pa.list_(pa.string() if text else pa.float64()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            return array, None
