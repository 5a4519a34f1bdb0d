"""The join on PostgreSQL: rows go in and come back as binary COPY, built and read by numpy.

Every field has a fixed width, so a batch is one structured array: a field count, then length and value of each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from monitor.store.join import FOUND, LABEL, PREDICTION, Slots, batches, by_id, statements
from monitor.store.schema import NO_TIME

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_SQL_TYPE = {"i8": "BIGINT", "i4": "INTEGER", "f8": "DOUBLE PRECISION"}
_PREDICTION_SQL, _LABEL_SQL = statements("'NaN'::float8")


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


def unpack(data: bytes) -> Slots:
    """Rows of binary COPY with fields FOUND."""
    body = np.frombuffer(data, dtype=_FOUND, offset=len(HEADER), count=(len(data) - len(HEADER)) // _FOUND.itemsize)
    return Slots({name: body[name].astype("=" + kind) for name, kind in FOUND})


class PostgresJoin:
    """Bound to the open transaction of one psycopg connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._cursor = connection.cursor()

    def predictions(self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]]) -> Slots:
        only_full = f"label_ts_ms > {NO_TIME}"
        return self._exchange("prediction", PREDICTION, _PREDICTION_SQL, only_full, ids, columns)

    def labels(self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]]) -> Slots:
        only_full = f"ts_ms > {NO_TIME}"
        return self._exchange("label", LABEL, _LABEL_SQL, only_full, ids, columns)

    def _exchange(
        self,
        kind: str,
        fields: tuple[tuple[str, str], ...],
        upsert: str,
        condition: str,
        ids: npt.NDArray[np.uint64],
        columns: dict[str, npt.NDArray[Any]],
    ) -> Slots:
        table = f"incoming_{kind}"
        typed = ", ".join(f"{name} {_SQL_TYPE[t]}" for name, t in fields)
        self._cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} (id UUID, {typed}) ON COMMIT DELETE ROWS")
        order = by_id(ids)
        found = []
        for piece in batches(len(order)):
            chosen = order[piece]
            body = pack(fields, _LAYOUT[kind], ids[chosen], {n: columns[n][chosen] for n, _ in fields})
            with self._cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
                copy.write(HEADER + body + TRAILER)
            query = f"WITH done AS ({upsert}) SELECT * FROM done WHERE {condition}"
            with self._cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
                found.append(unpack(b"".join(bytes(part) for part in copy)))
            if piece.stop < len(order):
                self._cursor.execute(f"TRUNCATE {table}")
        return Slots({name: np.concatenate([f.columns[name] for f in found]) for name, _ in FOUND})
