"""Files as pieces of a replay: tables go straight to columns, Kafka dumps and JSON lines through the decoder.

A Kafka dump has one envelope a line: {"topic", "partition", "offset", "ts", "payload" or "payload_base64"}.
Its partitions keep their names, so that its results are those of the live path.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from detectors.columns import Bools, DictColumn, Ids, Ints
from detectors.ragged import Ragged
from monitor.config import Config
from monitor.config.model import ModelSettings
from monitor.decode.ids import hash_texts
from monitor.decode.settings import DecodeSettings
from monitor.decode.values import Refused
from monitor.decode.vectors import label_pairs
from monitor.events import DeadLetter, Decoded, EventBatch, LabelBatch, PartitionKey, RawBatch
from monitor.replay import ReplayBatch
from monitor.tabular import Reader, find, is_typed, names_of, read_batches, times_in
from monitor.tabular_lists import FileProblem
from monitor.tabular_values import NO_TIME, Refusals, floats_of, ids_of, note, texts_of
from monitor.torn_rows import torn

LINES = 20_000
SOURCE = "replay"
NOT_RECORDED_MS = -1
Pieces = Iterator[ReplayBatch]


def replay_batches(
    path: Path, labels: Path | None, cfg: Config, settings: DecodeSettings, model: str | None
) -> tuple[Pieces, int | None]:
    """Pieces of the event file, then of the label file, and the number of rows where it is known."""
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        first = _first_line(path)
        if "payload" in first or "payload_base64" in first:
            roles: dict[str, str] = {topic: s.carries for s in cfg.sources for topic in s.topics}
            names = {topic: s.name for s in cfg.sources for topic in s.topics}
            pieces = _dump(path, roles, names)
            return (_then(pieces, _label_file(labels)) if labels else pieces), None
        if "event_id" in first and ("features" in first or "prediction" in first):
            pieces = _lines(path, "events", PartitionKey(SOURCE, path.name, 0))
            return (_then(pieces, _label_file(labels)) if labels else pieces), None
    chosen = _model(cfg, model, path)
    names_in_file = names_of(path)
    spec = settings.models[chosen.name]
    reader = Reader(path, names_in_file, spec.schema, spec.segments, chosen.columns, lenient=spec.missing_ok)
    wanted = [*reader.wanted]
    own_label = None
    if labels is None:
        own_label = find(names_in_file, "label", chosen.columns)
        wanted += [c for c in (own_label, find(names_in_file, "label_ts", chosen.columns)) if c]
    _, total = read_batches(path, wanted)
    pieces = _table(path, chosen, reader, wanted, None if own_label is None else chosen.columns, names_in_file, settings.future_ms)
    return (_then(pieces, _label_file(labels)) if labels else pieces), total


def _then(first: Pieces, second: Pieces) -> Pieces:
    yield from first
    yield from second


def _model(cfg: Config, name: str | None, path: Path) -> ModelSettings:
    models = {m.name: m for m in cfg.models}
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if name is None or name not in models:
        problem = "name the model of its rows with --model" if name is None else f"there is no model {name!r}"
        raise FileProblem(f"{path}: {problem}; the config has {', '.join(models)}")
    return models[name]


def _first_line(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                try:
                    parsed = orjson.loads(line)
                except orjson.JSONDecodeError:
                    return {"event_id": "", "features": ""}  # let the decoder refuse it, line by line
                return parsed if isinstance(parsed, dict) else {}
    raise FileProblem(f"{path}: is empty")


def _lines(path: Path, role: str, key: PartitionKey) -> Pieces:
    """JSON lines as messages; offsets are line numbers from 0. Nobody recorded when a label's line came: it must say so itself."""
    now_ms = NOT_RECORDED_MS if role == "labels" else time.time_ns() // 1_000_000
    values: list[bytes | None] = []
    offsets: list[int] = []
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if line.strip():
                values.append(line.strip())
                offsets.append(number)
            if len(values) >= LINES:
                yield ReplayBatch(role, _raw(key, offsets, [now_ms] * len(values), values))
                values, offsets = [], []
    if values:
        yield ReplayBatch(role, _raw(key, offsets, [now_ms] * len(values), values))


def _raw(key: PartitionKey, offsets: list[int], times: list[int], values: list[bytes | None]) -> RawBatch:
    return RawBatch(
        key, np.array(offsets, dtype=np.int64), np.array(times, dtype=np.int64), values, offsets[-1] + 1, recorded=False
    )


def _dump(path: Path, roles: dict[str, str], names: dict[str, str]) -> Pieces:
    """The messages of a Kafka dump, a batch of each partition from every 20,000 lines."""
    found: dict[PartitionKey, tuple[list[int], list[int], list[bytes | None]]] = {}
    held = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                envelope = orjson.loads(line)
                topic, offset = envelope["topic"], int(envelope["offset"])
                partition = int(envelope["partition"])
                text, packed = envelope.get("payload"), envelope.get("payload_base64")
                value = base64.b64decode(packed) if packed is not None else None if text is None else text.encode()
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                fix = "each line needs topic, partition, offset and payload"
                raise FileProblem(f"{path}:{number}: not the envelope of a Kafka record ({error}); {fix}") from error
            if topic not in roles:
                raise FileProblem(f"{path}:{number}: no source of the config reads topic {topic!r}")
            key = PartitionKey(names[topic], topic, partition)
            lists = found.setdefault(key, ([], [], []))
            lists[0].append(offset)
            lists[1].append(int(envelope.get("ts", -1)))
            lists[2].append(value)
            held += 1
            if held >= LINES:
                yield from (ReplayBatch(roles[k.topic], _raw(k, *v)) for k, v in sorted(found.items()))
                found, held = {}, 0
    yield from (ReplayBatch(roles[k.topic], _raw(k, *v)) for k, v in sorted(found.items()))


def _table(
    path: Path,
    model: ModelSettings,
    reader: Reader,
    wanted: list[str],
    label_columns: dict[str, str] | None,
    names: object,
    future_ms: int,
) -> Pieces:
    """Rows of a table as events; offsets are row numbers. With label_columns, its labels follow each batch."""
    key = PartitionKey(SOURCE, path.name, 0)
    at = 0
    latest_ms = time.time_ns() // 1_000_000 + future_ms
    batches, _ = read_batches(path, wanted)
    for batch in batches:
        rows = batch.num_rows
        if not rows:
            continue
        offsets = np.arange(at, at + rows, dtype=np.int64)
        refused = torn(batch)
        ts = reader.times(batch, refused)
        _check_times(ts, latest_ms, refused)
        nameless: Refusals = {}
        ids = _ids(batch, reader.fixed["event_id"], offsets, path.name, nameless)
        refused = nameless | refused
        columns, version, segments = reader.read(batch, refused)
        decoded = Decoded(dead=_dead(refused, at, ts, model.name))
        keep = _kept(rows, refused)
        if refused:
            columns, version = columns.take(keep), version.take(keep)
            segments = {s: c.take(keep) for s, c in segments.items()}
        if columns.rows:
            decoded.events.append(EventBatch(model.name, offsets[keep], ts[keep], ids[keep], version, segments, columns))
        raw = RawBatch(key, offsets, np.empty(0, dtype=np.int64), [None] * rows, at + rows)
        yield ReplayBatch("events", raw, decoded)
        if label_columns is not None:
            yield _labels_of(batch, label_columns, names, ids, ts, offsets, path, nameless)
        at += rows


def _check_times(ts: Ints, latest_ms: int, refused: Refusals) -> None:
    """Note the rows whose time no event may have."""
    for row in np.flatnonzero((ts < 0) | (ts > latest_ms)).tolist():
        at = int(ts[row])
        if at == NO_TIME:
            refused.setdefault(row, Refused("missing_field", "ts is missing; write ISO 8601 or milliseconds since 1970"))
        elif at < 0:
            refused.setdefault(row, Refused("wrong_type", f"ts is {at} ms, must lie between 1970 and the year 9999"))
        else:
            refused.setdefault(row, Refused("future", f"ts is {at}, later than now and limits.future"))


def _kept(rows: int, refused: Refusals) -> Bools:
    keep = np.ones(rows, dtype=np.bool_)
    keep[list(refused)] = False
    return keep


def _dead(refused: Refusals, at: int, ts: Ints, model: str) -> list[DeadLetter]:
    """The rows refused as dead letters. at: the number of the batch's first row."""
    found = sorted(refused.items())
    return [DeadLetter(at + row, 0, why.reason, why.detail, b"", int(ts[row]), model) for row, why in found]


def _labels_of(
    batch: pa.RecordBatch,
    mapping: dict[str, str],
    names: object,
    ids: Ids,
    ts: Ints,
    offsets: Ints,
    path: Path,
    refused: Refusals,
) -> ReplayBatch:
    """The labels that stand beside the events, known at label_ts or else at once. refused: rows whose id is none."""
    column, time_column = find(names, "label", mapping), find(names, "label_ts", mapping)
    assert column is not None
    label_ts = ts if time_column is None else times_in(batch, time_column, "label_ts", path, refused)
    label_ts = np.where(label_ts < 0, ts, label_ts)
    labels = _label_batch(batch.column(column), offsets, ids, label_ts, refused, is_typed(path))
    key = PartitionKey(SOURCE, f"{path.name}#labels", 0)
    raw = RawBatch(key, offsets, np.empty(0, dtype=np.int64), [None] * len(offsets), int(offsets[-1]) + 1)
    dead = _dead(refused, int(offsets[0]), label_ts, "")
    return ReplayBatch("labels", raw, Decoded(labels=[labels] if labels.rows else [], dead=dead))


def _label_batch(array: pa.Array, offsets: Ints, ids: Ids, ts: Ints, refused: Refusals, typed: bool) -> LabelBatch:
    """The labels of a column; a row without one has none yet. What is no label is noted."""
    rows = len(ids)
    if pa.types.is_nested(array.type):
        found = [note(refused, row, label_pairs, v) if v is not None else None for row, v in enumerate(array.to_pylist())]
        there = np.array([v is not None for v in found], dtype=np.bool_) & _kept(rows, refused)
        payload = Ragged.of_bytes([v for v, kept in zip(found, there.tolist(), strict=True) if kept])
        count = int(there.sum())
        return LabelBatch(offsets[there], ids[there], DictColumn.missing(count), np.full(count, np.nan), ts[there], payload)
    text = texts_of(array, rows, "label", refused, typed=typed)
    kind = array.type
    is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    value = floats_of(array, rows, "label", refused) if is_number else np.full(rows, np.nan)
    keep = (text.codes >= 0) & (ts >= 0) & _kept(rows, refused)
    return LabelBatch(offsets[keep], ids[keep], text.take(keep), value[keep], ts[keep])


def _ids(batch: pa.RecordBatch, column: str | None, offsets: Ints, name: str, refused: Refusals) -> Ids:
    if column is None:  # a file without ids: a row's number is its identity
        return hash_texts([f"{name}:{n}" for n in offsets.tolist()])
    return ids_of(batch.column(column), refused)


def _label_file(path: Path) -> Pieces:
    """Labels of a file: JSON lines as messages, or a table with event_id, label and label_ts."""
    key = PartitionKey(SOURCE, f"{path.name}#labels", 0)
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        yield from _lines(path, "labels", key)
        return
    at = 0
    batches, _ = read_batches(path)
    for batch in batches:
        for needed in ("event_id", "label", "label_ts"):
            if needed not in batch.schema.names:
                raise FileProblem(f"{path}: no column {needed!r}; a label file needs event_id, label and label_ts")
        offsets = np.arange(at, at + batch.num_rows, dtype=np.int64)
        refused = torn(batch)
        ids, ts = _ids(batch, "event_id", offsets, path.name, refused), times_in(batch, "label_ts", "label_ts", path, refused)
        labels = _label_batch(batch.column("label"), offsets, ids, ts, refused, is_typed(path))
        for row in np.flatnonzero(np.isin(offsets, labels.offsets, invert=True)).tolist():
            lacking = "label_ts" if ts[row] < 0 else "label"
            refused.setdefault(row, Refused("missing_field", f"{lacking} is missing; each row of a label file needs one"))
        raw = RawBatch(key, offsets, np.empty(0, dtype=np.int64), [None] * batch.num_rows, at + batch.num_rows)
        yield ReplayBatch("labels", raw, Decoded(labels=[labels] if labels.rows else [], dead=_dead(refused, at, ts, "")))
        at += batch.num_rows
