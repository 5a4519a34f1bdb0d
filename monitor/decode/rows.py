"""Events as Python rows become columns: the exact path, for messages that the fast path passes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors.columns import Columns, DictColumn
from detectors.ragged import Ragged
from monitor.decode import values, vectors
from monitor.decode.ids import hash_texts
from monitor.decode.settings import LABEL_CHARS, TEXT_CHARS, DecodeSettings, ModelSchema
from monitor.decode.values import Refused
from monitor.events import DeadLetter, EventBatch, LabelBatch


@dataclass(slots=True)
class Rows:
    """Rows of one model, field by field."""

    spec: ModelSchema
    offsets: list[int] = field(default_factory=list)
    ts_ms: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    version: list[str | None] = field(default_factory=list)
    label: list[str | None] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    error: list[bool] = field(default_factory=list)
    numeric: list[list[float]] = field(default_factory=list)
    categorical: list[list[str | None]] = field(default_factory=list)
    segments: list[list[str | None]] = field(default_factory=list)
    numbers: list[list[float]] = field(default_factory=list)
    lists: list[list[Any]] = field(default_factory=list)  # what monitor/decode/vectors.py reads

    def add(self, offset: int, event: dict[str, Any], ts_ms: int) -> None:
        """Raises Refused and adds nothing."""
        schema, lenient = self.spec.schema, self.spec.missing_ok
        event_id = values.event_id(event.get("event_id"))
        features = values.section(event.get("features"), "features")
        prediction = values.section(event.get("prediction"), "prediction")
        segment = values.section(event.get("segment"), "segment")
        numeric = [values.number(features.get(f), f"features.{f}", lenient) for f in schema.numeric]
        categorical = [
            values.text(features.get(f), f"features.{f}", TEXT_CHARS if schema.kinds.get(f) == "text" else LABEL_CHARS)
            for f in schema.categorical
        ]
        segments = [values.text(segment.get(s), f"segment.{s}") for s in self.spec.segments]
        version = values.text(event.get("version"), "version")
        label = values.text(prediction.get("label"), "prediction.label")
        written = "value" if prediction.get("value") is not None else "score"
        score = values.number(prediction.get(written), f"prediction.{written}", lenient)
        latency = values.number(event.get("latency_ms"), "latency_ms", lenient)
        error = values.is_error(event.get("status"))
        numbers = [values.number(event.get(n), n, lenient) for n in schema.numbers]
        lists = [vectors.exact(n, v, schema, lenient) for n, v in vectors.places(event, prediction, schema)]
        vectors.check_together(lists, schema)
        self.offsets.append(offset)
        self.ts_ms.append(ts_ms)
        self.ids.append(event_id)
        self.version.append(version)
        self.label.append(label)
        self.score.append(score)
        self.latency_ms.append(latency)
        self.error.append(error)
        self.numeric.append(numeric)
        self.categorical.append(categorical)
        self.segments.append(segments)
        self.numbers.append(numbers)
        self.lists.append(lists)

    def batch(self, model: str) -> EventBatch:
        rows = len(self.offsets)
        schema = self.spec.schema
        matrix = np.array(self.numeric, dtype=np.float64).reshape(rows, len(schema.numeric)).T
        numbers = np.array(self.numbers, dtype=np.float64).reshape(rows, len(schema.numbers)).T
        named = [*schema.vectors, *vectors.lists_of(schema)]
        found, lists = vectors.columns_of(self.lists, named, schema)
        label, score = DictColumn.from_list(self.label), np.array(self.score, dtype=np.float64)
        label, score, found = vectors.derive(schema, label, score, found)
        return EventBatch(
            model=model,
            offsets=np.array(self.offsets, dtype=np.int64),
            ts_ms=np.array(self.ts_ms, dtype=np.int64),
            ids=hash_texts(self.ids),
            version=DictColumn.from_list(self.version),
            segments={s: DictColumn.from_list([r[i] for r in self.segments]) for i, s in enumerate(self.spec.segments)},
            columns=Columns(
                rows=rows,
                numeric={f: np.ascontiguousarray(matrix[i]) for i, f in enumerate(schema.numeric)},
                categorical={f: DictColumn.from_list([r[i] for r in self.categorical]) for i, f in enumerate(schema.categorical)},
                score=score,
                label=label,
                latency_ms=np.array(self.latency_ms, dtype=np.float64),
                error=np.array(self.error, dtype=np.bool_),
                numbers={f: np.ascontiguousarray(numbers[i]) for i, f in enumerate(schema.numbers)},
                vectors=found,
                lists=lists,
            ),
        )


class EventRows:
    """Collects events of any model, and what is refused."""

    def __init__(self, settings: DecodeSettings) -> None:
        self._settings = settings
        self._models: dict[str, Rows] = {}
        self.dead: list[DeadLetter] = []

    def add(self, offset: int, index: int, record_ts_ms: int, event: Any, excerpt: bytes) -> None:
        """One event of a message. What is refused becomes a dead letter."""
        ts = -1
        try:
            if not isinstance(event, dict):
                raise Refused("wrong_type", f"the event is {values.kind(event)}, must be an object")
            model = event.get("model")
            if model is None:
                raise Refused("missing_field", "model is missing; write the name of a model of the config")
            if not isinstance(model, str):
                raise Refused("wrong_type", f"model is {values.kind(model)}, must be a string")
            spec = self._settings.models.get(model)
            if spec is None:
                known = ", ".join(sorted(self._settings.models))
                raise Refused("unknown_model", f"model {model[:100]!r} is not in the config, which has {known}")
            ts = values.time_ms(event.get("ts"), "ts")
            if record_ts_ms >= 0 and ts > record_ts_ms + self._settings.future_ms:
                ahead = ts - record_ts_ms
                raise Refused("future", f"ts is {ahead} ms ahead of the record; limits.future allows {self._settings.future_ms}")
            rows = self._models.get(model)
            if rows is None:
                rows = self._models[model] = Rows(spec)
            rows.add(offset, event, ts)
        except Refused as refused:
            model = event.get("model") if isinstance(event, dict) else None
            known = model if isinstance(model, str) and model in self._settings.models else ""
            self.dead.append(DeadLetter(offset, index, refused.reason, refused.detail, excerpt, ts, known))

    def batches(self) -> list[EventBatch]:
        return [rows.batch(model) for model, rows in self._models.items() if rows.offsets]


@dataclass(slots=True)
class LabelRows:
    """Collects labels, and what is refused."""

    offsets: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    label: list[str | None] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    label_ts_ms: list[int] = field(default_factory=list)
    payload: list[bytes | None] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)

    def add(self, offset: int, index: int, record_ts_ms: int, item: Any, excerpt: bytes) -> None:
        """One label of a message. What is refused becomes a dead letter."""
        try:
            if not isinstance(item, dict):
                raise Refused("wrong_type", f"the label is {values.kind(item)}, must be an object")
            event_id = values.event_id(item.get("event_id"))
            raw = item.get("label")
            if raw is None:
                raise Refused("missing_field", "label is missing; write the true class or value")
            several = isinstance(raw, list | dict)
            payload = vectors.label_pairs(raw) if several else None
            label = None if several else values.text(raw, "label")
            is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
            value = values.number(raw, "label") if is_number else math.nan
            given = item.get("label_ts")
            ts = record_ts_ms if given is None else values.time_ms(given, "label_ts")
            if ts < 0:
                raise Refused("missing_field", "label_ts is missing, and the record has no time of its own")
        except Refused as refused:
            self.dead.append(DeadLetter(offset, index, refused.reason, refused.detail, excerpt))
            return
        self.offsets.append(offset)
        self.ids.append(event_id)
        self.label.append(label)
        self.value.append(value)
        self.label_ts_ms.append(ts)
        self.payload.append(payload)

    def batches(self) -> list[LabelBatch]:
        if not self.offsets:
            return []
        return [
            LabelBatch(
                np.array(self.offsets, dtype=np.int64),
                hash_texts(self.ids),
                DictColumn.from_list(self.label),
                np.array(self.value, dtype=np.float64),
                np.array(self.label_ts_ms, dtype=np.int64),
                Ragged.of_bytes(self.payload),
            )
        ]


def in_log_order(batches: list[EventBatch]) -> list[EventBatch]:
    """One batch a model, its rows in the order of the log, however they were parsed."""
    by_model: dict[str, list[EventBatch]] = {}
    for batch in batches:
        by_model.setdefault(batch.model, []).append(batch)
    return [parts[0] if len(parts) == 1 else _merge(parts) for parts in by_model.values()]


def _merge(parts: list[EventBatch]) -> EventBatch:
    order = np.argsort(np.concatenate([p.offsets for p in parts]), kind="stable")
    return EventBatch(
        model=parts[0].model,
        offsets=np.concatenate([p.offsets for p in parts])[order],
        ts_ms=np.concatenate([p.ts_ms for p in parts])[order],
        ids=np.concatenate([p.ids for p in parts])[order],
        version=DictColumn.concat([p.version for p in parts]).take(order),
        segments={s: DictColumn.concat([p.segments[s] for p in parts]).take(order) for s in parts[0].segments},
        columns=Columns.concat([p.columns for p in parts]).take(order),
    )
