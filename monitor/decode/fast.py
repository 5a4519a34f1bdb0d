"""The fast path: many messages, joined with newlines, parsed at once by pyarrow.json under an explicit schema.

Arrow wants one type a field where JSON has many, so the types of the free fields (ts, version, labels,
categories) are read off a sample message. What does not fit fails as a whole; the caller parses it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from detectors.columns import Bools, DictColumn, Floats, Ints
from monitor.decode.fast_vectors import FastVectors
from monitor.decode.ids import hash_column
from monitor.decode.settings import ID_BYTES, LABEL_CHARS, MAX_TS_MS, DecodeSettings
from monitor.decode.split import EventFields, split
from monitor.events import LabelBatch

LEAST_BLOCK_BYTES = 256 << 10  # a block is parsed by one thread
_TYPES = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
Rows = npt.NDArray[np.intp]


class Unfit(ValueError):
    """These messages do not fit the fast path."""


def _kind(value: Any, allowed: tuple[str, ...], default: str) -> str:
    if isinstance(value, bool):
        found = "boolean"
    elif isinstance(value, int):
        found = "integer"
    elif isinstance(value, str):
        found = "string"
    else:
        return default
    return found if found in allowed else default


_TEXT = ("string", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the fast path made of the messages it was given; left: those that it could not judge."""

    batches: list[Any]
    left: Rows


class FastParser:
    """Parses messages that each hold one JSON object in one line. Keeps no state but the last guess of types."""

    def __init__(self, settings: DecodeSettings) -> None:
        self._settings = settings
        self._future_ms = settings.future_ms
        numeric = {f for m in settings.models.values() for f in m.schema.numeric}
        categorical = {f for m in settings.models.values() for f in m.schema.categorical}
        self.usable = not numeric & categorical  # one name, two types: only the exact path can tell them apart
        self._numeric, self._categorical = sorted(numeric), sorted(categorical)
        self._segments = sorted({s for m in settings.models.values() for s in m.segments})
        self._others = sorted({n for m in settings.models.values() for n in m.schema.numbers})
        self._vectors = FastVectors(settings.models)
        self.reads_lists = self._vectors.any  # what the scanner leaves
        self._guess: dict[str, str] = {"ts": "integer"}

    def events(self, values: list[bytes], offsets: Ints, record_ts_ms: Ints) -> Parsed:
        """Raises Unfit if the messages do not parse under one schema."""
        table = self._read(values, self._event_schema(values[0]))
        ids = _column(table, "event_id")
        ts, ts_bad = _times(_column(table, "ts"))
        id_bad, hashes = _ids(ids)
        bad = id_bad | ts_bad | (ts < 0) | (ts >= MAX_TS_MS)
        bad |= (record_ts_ms >= 0) & (ts > record_ts_ms + self._future_ms)
        model = _texts(_column(table, "model"), bad)
        features, prediction, segment = (table.column(n) for n in ("features", "prediction", "segment"))
        numeric: dict[str, Floats] = {}
        for name in self._numeric:
            numeric[name] = _numbers(_field(features, name), bad)
        categorical = {name: _texts(_field(features, name), bad) for name in self._categorical}
        segments = {name: _texts(_field(segment, name), bad) for name in self._segments}
        version = _texts(_column(table, "version"), bad)
        label = _texts(_field(prediction, "label"), bad)
        value, score = _numbers(_field(prediction, "value"), bad), _numbers(_field(prediction, "score"), bad)
        score = np.where(np.isnan(value), score, value)
        latency = _numbers(_column(table, "latency_ms"), bad)
        error = _errors(_column(table, "status"))
        raw = self._vectors.read(table, prediction)
        fields = EventFields(
            offsets=offsets, ts_ms=ts, ids=hashes, model=model, version=version, numeric=numeric, categorical=categorical,
            segments=segments, label=label, score=score, latency_ms=latency, error=error,
            numbers={name: _numbers(_column(table, name), bad) for name in self._others},
            lists=lambda schema, unclear: self._vectors.of(schema, raw, unclear),
        )  # fmt: skip
        batches = split(fields, bad, self._settings)
        return Parsed(batches, np.flatnonzero(bad))

    def labels(self, values: list[bytes], offsets: Ints, record_ts_ms: Ints) -> Parsed:
        """Raises Unfit if the messages do not parse under one schema."""
        sample = self._sample(values[0])
        kind = "number" if isinstance(sample.get("label"), float) else self._of(sample, "label", _TEXT, "string")
        fields = [
            ("event_id", pa.string()),
            ("label", _TYPES[kind]),
            ("label_ts", _TYPES[self._of(sample, "label_ts", ("string", "integer"), "integer")]),
        ]
        table = self._read(values, pa.schema(fields))
        bad, hashes = _ids(_column(table, "event_id"))
        raw = _column(table, "label")
        bad |= _nulls(raw)
        if kind == "number":
            value = _numbers(raw)
            if bool((value == np.floor(value)).any()):  # whole numbers are written without a point: exactly, elsewhere
                raise Unfit("whole numbers among fractions")
            label = DictColumn.from_list([repr(v) for v in value.tolist()])
            bad |= ~np.isfinite(value)
        else:
            label = _texts(raw, bad)
            value = _numbers(raw) if kind == "integer" else np.full(len(values), np.nan)
        given = _column(table, "label_ts")
        ts, ts_bad = _times(given)
        absent = _nulls(given)
        ts = np.where(absent, record_ts_ms, ts)
        bad |= (ts_bad & ~absent) | (ts < 0) | (ts >= MAX_TS_MS)
        keep: Any = slice(None) if not bad.any() else np.flatnonzero(~bad)
        batch = LabelBatch(offsets[keep], hashes[keep], label.take(keep), value[keep], ts[keep])
        return Parsed([batch] if len(batch.label_ts_ms) else [], np.flatnonzero(bad))

    def _read(self, values: list[bytes], schema: pa.Schema) -> pa.Table:
        joined = b"\n".join(values)
        block = max(LEAST_BLOCK_BYTES, len(joined) // (2 * pa.cpu_count()) + 1)
        try:
            table = pj.read_json(
                pa.BufferReader(joined),
                read_options=pj.ReadOptions(use_threads=True, block_size=block),
                parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise Unfit(str(error)) from error
        if table.num_rows != len(values):
            raise Unfit("a message holds more than one object")
        return table.combine_chunks()

    def _sample(self, value: bytes) -> dict[str, Any]:
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def _of(self, where: dict[str, Any], name: str, allowed: tuple[str, ...], default: str, prefix: str = "") -> str:
        """The type of a free field in the sample; where it is absent, the last type seen."""
        known = self._guess.get(prefix + name, default)
        found = self._guess[prefix + name] = _kind(where.get(name), allowed, known if known in allowed else default)
        return found

    def _event_schema(self, first: bytes) -> pa.Schema:
        sample = self._sample(first)
        parts = {n: sample[n] if isinstance(sample.get(n), dict) else {} for n in ("features", "prediction", "segment")}
        features = []
        for name in self._numeric:
            boolean = self._of(parts["features"], name, ("boolean", "integer"), "integer", "f.") == "boolean"
            features.append((name, pa.bool_() if boolean else pa.float64()))
        for name in self._categorical:
            features.append((name, _TYPES[self._of(parts["features"], name, _TEXT, "string", "f.")]))
        label = self._of(parts["prediction"], "label", _TEXT, "string", "p.")
        segments = [(s, _TYPES[self._of(parts["segment"], s, _TEXT, "string", "s.")]) for s in self._segments]
        prediction = [("label", _TYPES[label]), ("score", pa.float64()), ("value", pa.float64())]
        prediction += self._vectors.fields(sample, "prediction")
        return pa.schema(
            [
                ("event_id", pa.string()),
                ("ts", _TYPES[self._of(sample, "ts", ("string", "integer"), "integer")]),
                ("model", pa.string()),
                ("version", _TYPES[self._of(sample, "version", ("string", "integer"), "string")]),
                ("features", pa.struct(features)),
                ("prediction", pa.struct(prediction)),
                ("segment", pa.struct(segments)),
                ("latency_ms", pa.float64()),
                ("status", _TYPES[self._of(sample, "status", ("string", "integer"), "string")]),
                *((name, pa.float64()) for name in self._others),
                *self._vectors.fields(sample, ""),
            ]
        )


def _single(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column


def _column(table: pa.Table, name: str) -> pa.Array:
    return _single(table.column(name))


def _field(struct: pa.ChunkedArray, name: str) -> pa.Array:
    return _single(pc.struct_field(struct, name))


def _nulls(array: pa.Array) -> Bools:
    if array.null_count == 0:
        return np.zeros(len(array), dtype=np.bool_)
    out: Bools = array.is_null().to_numpy(zero_copy_only=False)
    return out


def _numbers(array: pa.Array, bad: Bools | None = None) -> Floats:
    """Floats, NaN where null; booleans as 0 and 1. Rows that say NaN or Infinity are marked in `bad`."""
    if array.null_count == len(array):
        return np.full(len(array), np.nan)
    if not pa.types.is_floating(array.type):
        array = array.cast(pa.float64(), safe=False)
    values: Floats = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    if bad is not None and not (array.null_count == 0 and np.isfinite(values.sum())):
        bad |= ~np.isfinite(values) & ~_nulls(array)
    return values


def _times(array: pa.Array) -> tuple[Ints, Bools]:
    """Times in ms and which of them are null."""
    bad = _nulls(array)
    if pa.types.is_string(array.type):
        try:
            array = array.cast(pa.timestamp("us", tz="UTC"))
        except pa.ArrowInvalid as error:
            raise Unfit(str(error)) from error
        ms = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False) // 1000
    else:
        ms = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return ms.astype(np.int64, copy=False), bad


def _ids(array: pa.Array) -> tuple[Bools, Any]:
    """Which ids are absent, empty or too long, and the hashes of all."""
    bad = _nulls(array)
    filled = array.fill_null("") if array.null_count else array
    lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False)
    bad = bad | (lengths == 0) | (lengths > ID_BYTES)
    if bool((lengths > ID_BYTES).any()):
        filled = pa.array(["" if b else t for t, b in zip(filled.to_pylist(), bad, strict=True)], type=pa.string())
    return bad, hash_column(filled)


def _texts(array: pa.Array, bad: Bools) -> DictColumn:
    """Codes of a free text column. Rows with a text that is too long are marked in `bad`."""
    if not pa.types.is_string(array.type):
        array = array.cast(pa.string())
    encoded = array.dictionary_encode()
    codes = encoded.indices
    numbers = (codes.fill_null(-1) if codes.null_count else codes).to_numpy(zero_copy_only=False)
    values = encoded.dictionary.to_pylist()
    numbers = numbers.astype(np.int32, copy=False)
    for code, value in enumerate(values):
        if len(value) > LABEL_CHARS:
            bad |= numbers == code
    return DictColumn(numbers, values)


def _errors(array: pa.Array) -> Bools:
    if pa.types.is_integer(array.type):
        codes = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
        return np.asarray(codes >= 400)
    unlike = pc.not_equal(array, "ok")
    filled = unlike.fill_null(False) if unlike.null_count else unlike
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.bool_)
