"""The labels that have come for some rows, by the hashes of their event ids: for what looks at a sample of rows."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import bindparam, text

from detectors.columns import DictColumn, Ids, Schema
from detectors.ragged import Ragged
from detectors.relevance import relevances
from monitor.payload import unpack
from monitor.store.schema import NO_TIME
from monitor.waiting_cells import split_cells, split_heads
from monitor.waiting_requests import MAGIC as REQUEST_MAGIC

_LABELS = text(
    """SELECT j.id, t.text AS label, j.true_value AS number, j.payload, j.true_payload
    FROM join_slot j LEFT JOIN term t ON t.id = j.true_label
    WHERE j.id IN :ids AND j.ts_ms > :none AND j.label_ts_ms > :none AND j.label_ts_ms - j.ts_ms <= :wait"""
).bindparams(bindparam("ids", expanding=True))
PIECE = 500


def labels_of(store: Any, ids: Ids, wait_ms: int, schema: Schema) -> list[Any]:
    """The last label of each row of ids, shape (n, 2), None where none came in time.

    Its text; its number where the task is regression or quantile; what relevances() says where it is ranking.
    """
    keys = [row.tobytes() for row in ids.astype(">u8")]
    postgres = store.engine.dialect.name == "postgresql"
    found: dict[bytes, Any] = {}
    for at in range(0, len(keys), PIECE):
        wanted = [uuid.UUID(bytes=k) if postgres else k for k in keys[at : at + PIECE]]
        rows = store.rows(_LABELS.bindparams(ids=wanted, none=NO_TIME, wait=wait_ms))
        came = [row["id"].bytes if isinstance(row["id"], uuid.UUID) else bytes(row["id"]) for row in rows]
        found |= dict(zip(came, _values(rows, schema), strict=True))
    return [found.get(key) for key in keys]


def _values(rows: list[Any], schema: Schema) -> list[Any]:
    if schema.task == "ranking":
        lists, truth = (
            Ragged.of_bytes([None if row[name] is None else bytes(row[name]) for row in rows])
            for name in ("payload", "true_payload")
        )
        missing = Ragged.missing(len(rows), "u1")
        label = DictColumn.from_list([row["label"] for row in rows])
        lists, _ = split_heads(lists or missing, REQUEST_MAGIC)
        lists, *_ = split_cells(lists)
        return list(relevances(unpack(schema, lists, truth or missing, label))) if rows else []
    if schema.task in ("regression", "quantile"):
        return [None if row["number"] is None or row["number"] != row["number"] else row["number"] for row in rows]
    return [row["label"] for row in rows]
