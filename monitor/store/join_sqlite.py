"""The join on SQLite: rows go in by executemany; there is one writer, so nothing races."""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.ragged import Ragged
from monitor.store.join import FOUND, HALVES, PAYLOADS, SENT, WIDE, Slots, by_id, statements
from monitor.store.schema import NO_TIME

_SQL = statements("NULL", PAYLOADS)  # null where a half has none


class SqliteJoin:
    """Bound to the open transaction of one sqlite3 connection. payloads: see JoinTable."""

    def __init__(self, connection: sqlite3.Connection, payloads: tuple[str, ...] = PAYLOADS) -> None:
        self._cursor = connection.cursor()
        self._payloads = payloads

    def predictions(
        self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None = None
    ) -> Slots:
        return self._exchange("prediction", "label_ts_ms", ids, columns, payload)

    def labels(self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None = None) -> Slots:
        return self._exchange("label", "ts_ms", ids, columns, payload)

    def _exchange(
        self, kind: str, other: str, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None
    ) -> Slots:
        fields, table = HALVES[kind], f"incoming_{kind}{WIDE}"
        time_at = [n for n, _ in FOUND].index(other)
        names = ", ".join([*(name for name, _ in fields), SENT[kind]])
        self._cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} (id, {names})")
        self._cursor.execute(f"DELETE FROM temp.{table}")
        order = by_id(ids)
        keys = ids[order].astype(">u8").tobytes()
        rows = zip(
            (keys[i : i + 16] for i in range(0, len(keys), 16)),
            *(columns[name][order].tolist() for name, _ in fields),
            [None] * len(order) if payload is None else payload.take(order).to_bytes(),
            strict=True,
        )
        marks = ", ".join("?" * (len(fields) + 2))
        self._cursor.executemany(f"INSERT INTO temp.{table} VALUES ({marks})", rows)
        both = [row for row in self._cursor.execute(_SQL[kind]) if row[time_at] > NO_TIME]
        self._cursor.execute(f"DELETE FROM temp.{table}")
        found = {}
        for i, (name, kind_) in enumerate(FOUND):
            if kind_ == "f8":
                found[name] = np.array([np.nan if r[i] is None else r[i] for r in both], dtype=np.float64)
            else:
                found[name] = np.array([r[i] for r in both], dtype=kind_)
        columns_of = {n: [r[len(FOUND) + i] for r in both] for i, n in enumerate(PAYLOADS) if n in self._payloads}
        return Slots(found, {n: Ragged.of_bytes(p) or Ragged.missing(len(p), np.uint8) for n, p in columns_of.items()})
