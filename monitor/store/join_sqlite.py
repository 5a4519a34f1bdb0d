"""The join on SQLite: rows go in by executemany; there is one writer, so nothing races."""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.ragged import Ragged
from monitor.store.join import FOUND, LABEL, PAYLOADS, PREDICTION, WIDE, Slots, by_id, statements
from monitor.store.schema import NO_TIME

_PREDICTION_SQL, _LABEL_SQL = statements("NULL", True)


class SqliteJoin:
    """Bound to the open transaction of one sqlite3 connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._cursor = connection.cursor()

    def predictions(
        self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None = None
    ) -> Slots:
        label_ts = [n for n, _ in FOUND].index("label_ts_ms")
        return self._exchange("prediction", PREDICTION, _PREDICTION_SQL, label_ts, ids, columns, payload)

    def labels(self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None = None) -> Slots:
        return self._exchange("label", LABEL, _LABEL_SQL, 0, ids, columns, payload)

    def _exchange(
        self,
        kind: str,
        fields: tuple[tuple[str, str], ...],
        upsert: str,
        time_at: int,
        ids: npt.NDArray[np.uint64],
        columns: dict[str, npt.NDArray[Any]],
        payload: Ragged | None,
    ) -> Slots:
        table = f"incoming_{kind}{WIDE}"
        names = ", ".join([*(name for name, _ in fields), PAYLOADS[0] if kind == "prediction" else PAYLOADS[1]])
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
        both = [row for row in self._cursor.execute(upsert) if row[time_at] > NO_TIME]
        self._cursor.execute(f"DELETE FROM temp.{table}")
        found = {}
        for i, (name, kind_) in enumerate(FOUND):
            if kind_ == "f8":
                found[name] = np.array([np.nan if r[i] is None else r[i] for r in both], dtype=np.float64)
            else:
                found[name] = np.array([r[i] for r in both], dtype=kind_)
        if payload is None:
            return Slots(found)
        columns_of = {name: [r[len(FOUND) + i] for r in both] for i, name in enumerate(PAYLOADS)}
        return Slots(found, {n: Ragged.of_bytes(p) or Ragged.missing(len(p), np.uint8) for n, p in columns_of.items()})
