"""The labels that have come for some rows, by the hashes of their event ids: for what looks at a sample of rows."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import bindparam, text

from detectors.columns import Ids
from monitor.store.schema import NO_TIME

_LABELS = text(
    """SELECT j.id, t.text AS label, j.true_value AS number FROM join_slot j LEFT JOIN term t ON t.id = j.true_label
    WHERE j.id IN :ids AND j.ts_ms > :none AND j.label_ts_ms > :none AND j.label_ts_ms - j.ts_ms <= :wait"""
).bindparams(bindparam("ids", expanding=True))
PIECE = 500


def labels_of(store: Any, ids: Ids, wait_ms: int, numbers: bool) -> list[Any]:
    """The last label of each row of ids, shape (n, 2): its text, or its number where numbers; None where none came in time."""
    keys = [row.tobytes() for row in ids.astype(">u8")]
    postgres = store.engine.dialect.name == "postgresql"
    found: dict[bytes, Any] = {}
    for at in range(0, len(keys), PIECE):
        wanted = [uuid.UUID(bytes=k) if postgres else k for k in keys[at : at + PIECE]]
        for row in store.rows(_LABELS.bindparams(ids=wanted, none=NO_TIME, wait=wait_ms)):
            key = row["id"].bytes if isinstance(row["id"], uuid.UUID) else bytes(row["id"])
            number = row["number"]
            found[key] = (None if number is None or number != number else number) if numbers else row["label"]
    return [found.get(key) for key in keys]
