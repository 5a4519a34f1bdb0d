"""The join on PostgreSQL: rows go in as binary COPY and come back as one array a column, built and read by numpy.

    1. Ids that the table does not have are copied straight into it, the other half empty: half of an upsert's work.
       Where another writer was first with one of them, all of it is taken back (a savepoint), and 2 has them too. They are
       looked up where most ids were new the last time; most predictions are, most labels are not.
    2. All others are upserted from a table of their own; rows that have both halves now come back.

Either goes in the order of the ids, and 1 before 2: who waits for a new id has locked none that was there.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.errors import UniqueViolation
from psycopg.pq import Format

from detectors.ragged import Ragged
from monitor.store.join import FOUND, HALVES, PAYLOADS, SENT, WIDE, Slots, batches, by_id, statements
from monitor.store.schema import NO_TIME

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
ARRAY_HEADER = 20  # bytes: dimensions, flags, type, length, lower bound; then a length and a value an element
UUID, UUIDS = 2950, 2951  # numbers of the types
_SQL_TYPE = {"i8": "BIGINT", "i4": "INTEGER", "f8": "DOUBLE PRECISION"}
_NOTHING = {n: NO_TIME if n.endswith("ts_ms") else {"i8": 0, "i4": 0, "f8": np.nan}[kind] for n, kind in FOUND}
_ID: list[tuple[Any, ...]] = [("id_length", ">i4"), ("id", ">u8", (2,))]


class Ids:
    """Ids of shape (n, 2) as a parameter of type uuid[]."""

    def __init__(self, ids: npt.NDArray[np.uint64]) -> None:
        self.ids = ids


class IdsDumper(Dumper):
    format = Format.BINARY
    oid = UUIDS

    def dump(self, obj: Ids) -> bytes:
        out = np.empty(len(obj.ids), dtype=_ID)
        out["id_length"], out["id"] = 16, obj.ids
        return struct.pack(">iiiii", 1, 0, UUID, len(out), 1) + out.tobytes()


@cache
def _layout(fields: tuple[tuple[str, str], ...]) -> np.dtype[Any]:
    parts: list[tuple[Any, ...]] = [("fields", ">i2"), *_ID]
    for name, kind in fields:
        parts += [(name + "_length", ">i4"), (name, ">" + kind)]
    return np.dtype(parts)


def pack(fields: tuple[tuple[str, str], ...], ids: Any, columns: dict[str, Any]) -> bytes:
    """Rows as binary COPY, without header and trailer. columns: by name, each of shape (n,) or one value for all."""
    out = np.empty(len(ids), dtype=_layout(fields))
    out["fields"] = len(fields) + 1
    out["id_length"], out["id"] = 16, ids
    for name, kind in fields:
        out[name + "_length"] = int(kind[1])
        out[name] = columns[name]
    return out.tobytes()


def pack_wide(rows: bytes, payload: Ragged) -> bytes:
    """Packed rows with one more field behind the fixed ones: their payload, null where missing."""
    n = payload.rows
    fixed = np.frombuffer(rows, dtype=np.uint8).reshape(n, -1)
    width, held = fixed.shape[1], np.maximum(payload.lengths, 0)
    if n and (payload.lengths == payload.lengths[0]).all():
        alike = np.empty((n, width + 4 + int(held[0])), dtype=np.uint8)
        _one_more(alike, fixed)
        alike[:, width : width + 4] = np.frombuffer(struct.pack(">i", int(payload.lengths[0])), dtype=np.uint8)
        alike[:, width + 4 :] = payload.matrix()
        return alike.tobytes()
    starts = np.cumsum(held + width + 4) - (held + width + 4)
    out = np.empty(int((held + width + 4).sum()), dtype=np.uint8)
    head = np.empty((n, width), dtype=np.uint8)
    if n:
        _one_more(head, fixed)
    out[starts[:, None] + np.arange(width)] = head
    out[(starts + width)[:, None] + np.arange(4)] = payload.lengths.astype(">i4").view(np.uint8).reshape(n, 4)
    out[np.repeat(starts + width + 4, held) + payload.places()] = payload.values
    return out.tobytes()


def _one_more(out: npt.NDArray[np.uint8], fixed: npt.NDArray[np.uint8]) -> None:
    """Write the fixed part of rows, which all have the same number of fields, as of rows with one more."""
    out[:, : fixed.shape[1]] = fixed
    out[:, :2] = np.frombuffer(struct.pack(">h", int.from_bytes(fixed[0, :2].tobytes(), "big") + 1), dtype=np.uint8)


def column_of(array: bytes | None, kind: str) -> npt.NDArray[Any]:
    """A binary array of numbers, none of them null, shape (n,); of nothing, null."""
    if array is None:
        return np.empty(0, dtype=kind)
    return np.frombuffer(array, dtype=[("length", ">i4"), ("value", ">" + kind)], offset=ARRAY_HEADER)["value"].astype("=" + kind)


def texts_of(array: bytes | None) -> Ragged:
    """A binary array of bytes or null: all at once where they are alike, as they mostly are; else each where the last one ends."""
    if array is None:
        return Ragged.missing(0, np.uint8)
    n, first = struct.unpack_from(">i4xi", array, 12)
    held = max(0, first)
    if len(array) == ARRAY_HEADER + n * (4 + held):
        rows = np.frombuffer(array, dtype=np.uint8, offset=ARRAY_HEADER).reshape(n, 4 + held)
        if (rows[:, :4] == rows[0, :4]).all():
            return Ragged.of_rows(rows[:, 4:], np.full(n, first >= 0))
    found: list[bytes | None] = []
    at = ARRAY_HEADER
    for _ in range(n):
        length = int.from_bytes(array[at : at + 4], "big", signed=True)
        at += 4
        found.append(array[at : at + length] if length >= 0 else None)
        at += max(0, length)
    return Ragged.of_bytes(found) or Ragged.missing(n, np.uint8)


class PostgresJoin:
    """Bound to the open transaction of one psycopg connection. payloads: see JoinTable.

    mostly_new: by half, whether most ids of the last exchange were new; it is kept up to date, and changes no result.
    """

    def __init__(
        self, connection: Connection[Any], payloads: tuple[str, ...] = PAYLOADS, mostly_new: dict[str, bool] | None = None
    ) -> None:
        self._mostly_new = {} if mostly_new is None else mostly_new
        self._cursor = connection.cursor(binary=True)
        self._cursor.adapters.register_dumper(Ids, IdsDumper)
        self._payloads = payloads
        self._sql = statements("'NaN'::float8", payloads)

    def predictions(
        self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None = None
    ) -> Slots:
        return self._exchange("prediction", "label_ts_ms", ids, columns, payload)

    def labels(self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None = None) -> Slots:
        return self._exchange("label", "ts_ms", ids, columns, payload)

    def _exchange(
        self, kind: str, other: str, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None
    ) -> Slots:
        rest = by_id(ids)
        rows = len(rest)
        if self._mostly_new.get(kind, True):
            there = self._there(ids[rest])
            if not there.all() and self._copied(kind, rest[~there], ids, columns, payload):
                rest = rest[there]
        found = [self._upserted(kind, other, rest[piece], ids, columns, payload, piece.start == 0) for piece in batches(len(rest))]
        self._mostly_new[kind] = 2 * sum(f.rows for f in found) < rows
        return Slots(
            {name: np.concatenate([np.empty(0, dtype=k), *(f.columns[name] for f in found)]) for name, k in FOUND},
            {n: Ragged.concat([Ragged.missing(0, np.uint8), *(f.payloads[n] for f in found)]) for n in self._payloads},
        )

    def _there(self, ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of these ids the table has, shape (n,). One that only shares half of its id with such a one may be among them."""
        firsts = []
        for piece in batches(len(ids)):
            [array] = self._asked("SELECT array_agg(id) FROM join_slot WHERE id = ANY(%s)", [Ids(ids[piece])])
            if array is not None:
                firsts.append(np.frombuffer(array, dtype=_ID, offset=ARRAY_HEADER)["id"][:, 0].astype(np.uint64))
        return np.isin(ids[:, 0], np.concatenate(firsts)) if firsts else np.zeros(len(ids), dtype=np.bool_)

    def _copied(
        self, kind: str, rows: npt.NDArray[np.intp], ids: npt.NDArray[np.uint64], columns: dict[str, Any], payload: Ragged | None
    ) -> bool:
        """Whether these rows are in the table now; False where another writer was first with one, and none is."""
        self._cursor.execute("SAVEPOINT fresh")
        try:
            for piece in batches(len(rows)):
                self._copy("join_slot", FOUND, kind, rows[piece], ids, columns, payload)
        except UniqueViolation:
            self._cursor.execute("ROLLBACK TO SAVEPOINT fresh")
            return False
        self._cursor.execute("RELEASE SAVEPOINT fresh")
        return True

    def _upserted(
        self,
        kind: str,
        other: str,
        rows: npt.NDArray[np.intp],
        ids: npt.NDArray[np.uint64],
        columns: dict[str, npt.NDArray[Any]],
        payload: Ragged | None,
        first: bool,
    ) -> Slots:
        """Those of these rows that have both halves now."""
        table, typed = f"incoming_{kind}", ", ".join(f"{name} {_SQL_TYPE[t]}" for name, t in HALVES[kind])
        if payload is not None:
            table, typed = table + WIDE, f"{typed}, {SENT[kind]} BYTEA"
        if first:
            self._cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} (id UUID, {typed}) ON COMMIT DELETE ROWS")
        else:
            self._cursor.execute(f"TRUNCATE {table}")
        self._copy(table, HALVES[kind], kind, rows, ids, columns, payload)
        wanted = ", ".join(f"array_agg({name})" for name in (*(n for n, _ in FOUND), *self._payloads))
        arrays = self._asked(f"WITH done AS ({self._sql[kind]}) SELECT {wanted} FROM done WHERE {other} > {NO_TIME}")
        numbers = {name: column_of(array, k) for (name, k), array in zip(FOUND, arrays, strict=False)}
        texts = zip(self._payloads, arrays[len(FOUND) :], strict=True)
        return Slots(numbers, {name: texts_of(array) for name, array in texts})

    def _copy(
        self,
        table: str,
        fields: tuple[tuple[str, str], ...],
        kind: str,
        rows: npt.NDArray[np.intp],
        ids: npt.NDArray[np.uint64],
        columns: dict[str, Any],
        payload: Ragged | None,
    ) -> None:
        """Copy rows into a table, with nothing in the fields that they do not have."""
        body = pack(fields, ids[rows], _NOTHING | {name: values[rows] for name, values in columns.items()})
        names = ["id", *(name for name, _ in fields)]
        if payload is not None:
            body, names = pack_wide(body, payload.take(rows)), [*names, SENT[kind]]
        with self._cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN (FORMAT binary)") as copy:
            copy.write(HEADER + body + TRAILER)

    def _asked(self, query: str, parameters: list[Any] | None = None) -> list[bytes | None]:
        """The one row of a query's answer, as it came."""
        self._cursor.execute(query, parameters)
        answer = self._cursor.pgresult
        assert answer is not None
        return [answer.get_value(0, i) for i in range(answer.nfields)]
