"""The join on PostgreSQL: rows go in and come back as binary COPY, built and read by numpy.

Every field has a fixed width, so a batch is one structured array: a field count, then length and value of each.
Only rows with a payload end in fields whose width they say themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from detectors.ragged import Ragged
from monitor.store.join import FOUND, LABEL, PAYLOADS, PREDICTION, WIDE, Slots, batches, by_id, statements
from monitor.store.schema import NO_TIME

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_SQL_TYPE = {"i8": "BIGINT", "i4": "INTEGER", "f8": "DOUBLE PRECISION"}
_NAN = "'NaN'::float8"
_SQL = {wide: dict(zip(("prediction", "label"), statements(_NAN, wide), strict=True)) for wide in (False, True)}


def _layout(fields: tuple[tuple[str, str], ...], with_id: bool) -> np.dtype[Any]:
    parts: list[tuple[Any, ...]] = [("fields", ">i2")]
    if with_id:
        parts += [("id_length", ">i4"), ("id", ">u8", (2,))]
    for name, kind in fields:
        parts += [(name + "_length", ">i4"), (name, ">" + kind)]
    return np.dtype(parts)


_LAYOUT = {"prediction": _layout(PREDICTION, True), "label": _layout(LABEL, True)}
_FOUND = _layout(FOUND, False)


def pack(fields: tuple[tuple[str, str], ...], layout: np.dtype[Any], ids: Any, columns: dict[str, Any]) -> bytes:
    """Rows as binary COPY, without header and trailer."""
    out = np.empty(len(ids), dtype=layout)
    out["fields"] = len(fields) + 1
    out["id_length"], out["id"] = 16, ids
    for name, kind in fields:
        out[name + "_length"] = int(kind[1])
        out[name] = columns[name]
    return out.tobytes()


def pack_wide(rows: bytes, payload: Ragged) -> bytes:
    """Packed rows with one more field behind the fixed ones: their payload, null where missing."""
    n = payload.rows
    fixed = np.frombuffer(rows, dtype=np.uint8).reshape(n, -1).copy()
    fixed[:, :2] = (fixed[:, :2].copy().view(">i2") + 1).astype(">i2").view(np.uint8)
    if n and (payload.lengths == payload.lengths[0]).all():
        length = np.frombuffer(int(payload.lengths[0]).to_bytes(4, "big", signed=True), dtype=np.uint8)
        return np.concatenate([fixed, np.broadcast_to(length, (n, 4)), payload.matrix()], axis=1).tobytes()
    width, held = fixed.shape[1], np.maximum(payload.lengths, 0)
    starts = np.cumsum(held + width + 4) - (held + width + 4)
    out = np.empty(int((held + width + 4).sum()), dtype=np.uint8)
    out[starts[:, None] + np.arange(width)] = fixed
    out[(starts + width)[:, None] + np.arange(4)] = payload.lengths.astype(">i4").view(np.uint8).reshape(n, 4)
    out[np.repeat(starts + width + 4, held) + payload.places()] = payload.values
    return out.tobytes()


def unpack(data: bytes) -> Slots:
    """Rows of binary COPY with fields FOUND."""
    body = np.frombuffer(data, dtype=_FOUND, offset=len(HEADER), count=(len(data) - len(HEADER)) // _FOUND.itemsize)
    return Slots({name: body[name].astype("=" + kind) for name, kind in FOUND})


def unpack_wide(data: bytes) -> Slots:
    """Rows of binary COPY with fields FOUND and PAYLOADS: all at once where their payloads are alike, as they mostly are; else
    each row is read where the one before it ends."""
    return _unpack_alike(data) or _unpack_each(data)


def _unpack_alike(data: bytes) -> Slots | None:
    """Rows of one width; None where they differ."""
    size = len(data) - len(HEADER) - len(TRAILER)
    if size <= 0:
        return None
    parts, at = [], len(HEADER) + _FOUND.itemsize
    for name in PAYLOADS:
        length = int.from_bytes(data[at : at + 4], "big", signed=True)
        parts.append((name, length, at + 4 - len(HEADER)))
        at += 4 + max(0, length)
    row = at - len(HEADER)
    if size % row:
        return None
    rows = np.frombuffer(data, dtype=np.uint8, offset=len(HEADER), count=size).reshape(-1, row)
    count = np.frombuffer(len(FOUND + PAYLOADS).to_bytes(2, "big"), dtype=np.uint8)
    if not (rows[:, :2] == count).all() or any((rows[:, at - 4 : at] != rows[0, at - 4 : at]).any() for _, _, at in parts):
        return None
    body = np.ascontiguousarray(rows[:, : _FOUND.itemsize]).view(_FOUND)[:, 0]
    every = np.ones(len(rows), dtype=np.bool_)
    payloads = {name: Ragged.of_rows(rows[:, at : at + max(0, n)], every & (n >= 0)) for name, n, at in parts}
    return Slots({name: body[name].astype("=" + kind) for name, kind in FOUND}, payloads)


def _unpack_each(data: bytes) -> Slots:
    fixed: list[bytes] = []
    payloads: dict[str, list[bytes | None]] = {name: [] for name in PAYLOADS}
    at, end = len(HEADER), len(data) - len(TRAILER)
    while at < end:
        fixed.append(data[at : at + _FOUND.itemsize])
        at += _FOUND.itemsize
        for name in PAYLOADS:
            length = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
            payloads[name].append(data[at : at + length] if length >= 0 else None)
            at += max(0, length)
    body = np.frombuffer(b"".join(fixed), dtype=_FOUND)
    columns = {name: body[name].astype("=" + kind) for name, kind in FOUND}
    return Slots(columns, {n: Ragged.of_bytes(p) or Ragged.missing(len(p), np.uint8) for n, p in payloads.items()})


class PostgresJoin:
    """Bound to the open transaction of one psycopg connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._cursor = connection.cursor()

    def predictions(
        self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None = None
    ) -> Slots:
        return self._exchange("prediction", PREDICTION, f"label_ts_ms > {NO_TIME}", ids, columns, payload)

    def labels(self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None = None) -> Slots:
        return self._exchange("label", LABEL, f"ts_ms > {NO_TIME}", ids, columns, payload)

    def _exchange(
        self,
        kind: str,
        fields: tuple[tuple[str, str], ...],
        only_full: str,
        ids: npt.NDArray[np.uint64],
        columns: dict[str, npt.NDArray[Any]],
        payload: Ragged | None,
    ) -> Slots:
        wide = payload is not None
        table, typed = f"incoming_{kind}", ", ".join(f"{name} {_SQL_TYPE[t]}" for name, t in fields)
        if wide:
            table, typed = table + WIDE, f"{typed}, {PAYLOADS[0] if kind == 'prediction' else PAYLOADS[1]} BYTEA"
        self._cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} (id UUID, {typed}) ON COMMIT DELETE ROWS")
        order = by_id(ids)
        found = []
        for piece in batches(len(order)):
            chosen = order[piece]
            body = pack(fields, _LAYOUT[kind], ids[chosen], {n: columns[n][chosen] for n, _ in fields})
            if payload is not None:
                body = pack_wide(body, payload.take(chosen))
            with self._cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
                copy.write(HEADER + body + TRAILER)
            query = f"WITH done AS ({_SQL[wide][kind]}) SELECT * FROM done WHERE {only_full}"
            with self._cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
                data = b"".join(bytes(part) for part in copy)
            found.append(unpack_wide(data) if wide else unpack(data))
            if piece.stop < len(order):
                self._cursor.execute(f"TRUNCATE {table}")
        payloads = {n: Ragged.concat([f.payloads[n] for f in found]) for n in PAYLOADS} if wide else {}
        return Slots({name: np.concatenate([f.columns[name] for f in found]) for name, _ in FOUND}, payloads)
