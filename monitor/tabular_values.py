"""Columns of a file under the rules that the event decoder has for single values (monitor/decode/values.py).

What an event may not hold, a row of a file may not: its first such value is noted by its row, with the decoder's reason and
words, and whoever reads the file refuses the row as the decoder refuses the event. So a file replayed gives what the same
events gave live. NaN in a column of a file is a missing value, as null is. `typed`: whether the format tells 1.5 from "1.5";
csv does not, so there every text that reads as a number is one, and an empty cell is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from detectors.columns import Bools, DictColumn, Floats, Ids, Ints
from monitor.decode import values
from monitor.decode.ids import hash_column
from monitor.decode.settings import ID_BYTES, LABEL_CHARS
from monitor.decode.values import Refused

Refusals = dict[int, Refused]  # by row of the batch: why it cannot be used, the first reason of each
NO_VALUES = frozenset(pacsv.ConvertOptions().null_values)
NO_TIME = -1


def floats_of(
    array: pa.Array | None, rows: int, field: str, refused: Refusals, lenient: bool = False, typed: bool = True
) -> Floats:
    """Numbers, NaN where missing; shape (rows,). lenient: infinite values count as missing (`non_finite: missing`).

    Whole numbers beyond 2**53 become the nearest float, as in events.
    """
    if array is None or pa.types.is_null(array.type):
        return np.full(rows, np.nan)
    array = _plain(array)
    kind = array.type
    found: Floats
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        cast = array if pa.types.is_float64(kind) else array.cast(pa.float64(), safe=False)
        found = cast.to_numpy(zero_copy_only=False)
    else:
        read = (lambda v: values.number(v, field, lenient)) if typed else (lambda v: _number_in(v, field, lenient))
        found = np.full(rows, np.nan)
        for row, value in _there(array):
            kept = note(refused, row, read, value)
            found[row] = np.nan if kept is None else kept
    infinite = np.isinf(found)
    if infinite.any():
        for row in [] if lenient else np.flatnonzero(infinite).tolist():
            note(refused, row, values.number, float(found[row]), field)
        found = np.where(infinite, np.nan, found)
    return found


def texts_of(
    array: pa.Array | None, rows: int, field: str, refused: Refusals, most_chars: int = LABEL_CHARS, typed: bool = True
) -> DictColumn:
    """A column of any type as strings, written as the event decoder writes them; shape (rows,)."""
    if array is None or pa.types.is_null(array.type):
        return DictColumn.missing(rows)
    try:
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        codes, distinct = encoded.indices.cast(pa.int32()), _listed(encoded.dictionary)
        numbers = (codes.fill_null(-1) if codes.null_count else codes).to_numpy(zero_copy_only=False)
    except pa.ArrowNotImplementedError:  # lists, objects
        distinct = _listed(array)
        numbers = np.where([v is None for v in distinct], -1, np.arange(rows)).astype(np.int32)
    texts: list[str | None] = []
    for code, value in enumerate(distinct):
        try:
            texts.append(_text_in(value, field, most_chars, typed))
        except Refused as why:
            texts.append(None)
            for row in np.flatnonzero(numbers == code).tolist():
                refused.setdefault(row, why)
    if None not in texts and len(set(texts)) == len(texts):
        return DictColumn(numbers, [t for t in texts if t is not None])
    merged = DictColumn.from_list([*texts, None])  # the last one is that of code -1
    return DictColumn(merged.codes[numbers], merged.values)


def times_of(array: pa.Array, field: str, refused: Refusals) -> Ints:
    """Timestamps, dates, ISO 8601 strings or ms as ms; NO_TIME where missing or refused. Raises TypeError for a column of no times."""
    rows, array = len(array), _plain(array)
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(rows, NO_TIME, dtype=np.int64)
    if pa.types.is_floating(kind):
        given = array.to_numpy(zero_copy_only=False).astype(np.float64)
        for row in np.flatnonzero(np.isinf(given)).tolist():
            note(refused, row, values.time_ms, float(given[row]), field)
        return np.where(np.abs(given) < 1e18, given, NO_TIME).astype(np.int64)
    if _is_text(kind):
        try:
            array = pc.cast(array, pa.timestamp("us", tz="UTC"))
        except pa.ArrowInvalid:
            found = np.full(rows, NO_TIME, dtype=np.int64)
            for row, value in _there(array):
                kept = note(refused, row, values.time_ms, value, field)
                found[row] = NO_TIME if kept is None else kept
            return found
    elif pa.types.is_boolean(kind):  # of some lines of JSON
        for row, value in _there(array):
            note(refused, row, values.time_ms, value, field)
        return np.full(rows, NO_TIME, dtype=np.int64)
    elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_integer(kind)):
        raise TypeError(f"is {kind}, must be a time: timestamp, ISO 8601 text, or ms")
    if not pa.types.is_integer(array.type):
        array = array.cast(pa.timestamp("ms"), safe=False)
    array = array.cast(pa.int64(), safe=False)
    filled = array.fill_null(NO_TIME) if array.null_count else array
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.int64)


def ids_of(array: pa.Array, refused: Refusals) -> Ids:
    """The hashes of event ids; shape (rows, 2)."""
    rows, array = len(array), _plain(array)
    if pa.types.is_null(array.type) or pa.types.is_nested(array.type):
        array = pa.array([None] * rows, pa.string()) if pa.types.is_null(array.type) else _as_ids(array, refused)
    elif not pa.types.is_string(array.type):
        try:
            array = array.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            array = _as_ids(array, refused)
    filled = array.fill_null("") if array.null_count else array
    lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero((lengths == 0) | (lengths > ID_BYTES)).tolist():
        note(refused, row, values.event_id, filled[row].as_py())
    return hash_column(filled)


def errors_of(array: pa.Array | None, rows: int, field: str, refused: Refusals, typed: bool = True) -> Bools:
    """Which rows failed by their status: not "ok", an HTTP status from 400 on, or false."""
    if array is None or pa.types.is_null(array.type):
        return np.zeros(rows, dtype=np.bool_)
    array = _plain(array)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type):
        return np.asarray(floats_of(array, rows, field, refused) >= 400)
    if pa.types.is_boolean(array.type):
        return np.asarray(~array.fill_null(True).to_numpy(zero_copy_only=False))
    column = texts_of(array, rows, field, refused, sys.maxsize, typed)
    good = np.array([v == "ok" for v in column.values] + [True])
    return np.asarray(good[column.codes] == 0)


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _there(array: pa.Array) -> list[tuple[int, Any]]:
    """(row, value) of what is not null."""
    return [(row, value) for row, value in enumerate(_listed(array)) if value is not None]


def _listed(array: pa.Array) -> list[Any]:
    """The values, times that Python has no object for as text, bytes where they are no UTF-8."""
    try:
        found: list[Any] = array.to_pylist()
    except UnicodeDecodeError:
        found = array.cast(pa.binary()).to_pylist()
    except (ValueError, OverflowError):
        found = array.cast(pa.string()).to_pylist()
    return found


def _number_in(value: Any, field: str, lenient: bool) -> float:
    """A number, or what a text reads as."""
    if isinstance(value, str):
        if value.strip() in NO_VALUES:
            return np.nan
        try:
            value = float(value) if "_" not in value else value
        except ValueError:
            pass
        if isinstance(value, float) and np.isnan(value):
            return np.nan
    return values.number(value, field, lenient)


def _text_in(value: Any, field: str, most_chars: int, typed: bool) -> str | None:
    if value is None or (isinstance(value, float) and np.isnan(value)) or (value == "" and not typed):
        return None
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("undecodable", f"{field} is no UTF-8") from None
    if isinstance(value, bool | int | float | str | list | dict):
        return values.text(value, field, most_chars)
    return values.text(str(value), field, most_chars)  # times, decimals


def _as_ids(array: pa.Array, refused: Refusals) -> pa.Array:
    """Ids of a column that is no text: those of single values that are, the others refused."""
    found = enumerate(_listed(array))
    return pa.array([None if v is None else note(refused, row, values.event_id, v) for row, v in found], pa.string())


def note(refused: Refusals, row: int, read: Callable[..., Any], *given: Any) -> Any:
    """What the decoder reads of a value; None where it refuses it, which is noted."""
    try:
        return read(*given)
    except Refused as why:
        refused.setdefault(row, why)
        return None


def reads_as_time(value: str) -> bool:
    """Whether a string is ISO 8601 with a date."""
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return len(value) >= 10 and value[4:5] == "-"
