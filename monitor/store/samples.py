"""Samples of rows leave the panes that hold them once their time to live is over; the panes themselves stay.

A pane is over its time by its model's own clock (`keep` behind the model's newest pane), or, where a stream has
stopped, by the wall clock (`keep` after a window that it is in was last published). A model whose config keeps no
sample any more has a time to live of nothing. What is taken out of a pane does not change the pane's version:
its windows are not published anew.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text

from monitor.panes import WITH_ROWS, without_rows

BATCH = 200  # panes in memory at once
_FIND = """SELECT p.source, p.topic, p.part, p.pane_start_ms, p.version, p.blob FROM pane p
WHERE p.model = :model AND p.kind = 'inputs' AND substr(p.blob, 1, 1) = :mark
AND (p.pane_start_ms < :before OR EXISTS (SELECT 1 FROM model_window w WHERE w.model = p.model
  AND w.start_ms <= p.pane_start_ms AND w.end_ms > p.pane_start_ms AND w.published_ms < :published))
ORDER BY p.pane_start_ms, p.source, p.topic, p.part LIMIT :batch"""
_STRIP = """UPDATE pane SET blob = :blob WHERE source = :source AND topic = :topic AND part = :part AND model = :model
AND kind = 'inputs' AND pane_start_ms = :pane_start_ms AND version = :version"""


def forget_rows(engine: Engine, now_ms: int, newest: dict[str, int], keep_ms: dict[str, int]) -> int:
    """Take samples out of panes, model by model; returns how many panes lost theirs.

    newest: the start of each model's newest pane. keep_ms: by model, 0 for those that it lacks.
    """
    removed = 0
    for model, last in newest.items():
        keep = keep_ms.get(model, 0)
        # a model that keeps none: all but the newest, which a replica with an older config may still write
        where = {"model": model, "mark": bytes([WITH_ROWS]), "before": last - keep, "published": now_ms - keep, "batch": BATCH}
        while True:
            with engine.begin() as conn:
                found = conn.execute(text(_FIND), where).mappings().all()
                for row in found:
                    values: dict[str, Any] = {k: row[k] for k in ("source", "topic", "part", "pane_start_ms", "version")}
                    removed += conn.execute(
                        text(_STRIP), {**values, "model": model, "blob": without_rows(bytes(row["blob"]))}
                    ).rowcount
            if len(found) < BATCH:
                break
    return removed
