"""`driftd export`: flat rows with stable columns."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any

from sqlalchemy import select

from alerts.correction import LIMIT_RULE
from monitor.store.schema import ALERT_COLUMNS, alert, alert_history, score, window

COLUMNS = {
    "windows": ("model", "window_start", "window_end", "revision", "rows", "labelled_rows", "late_rows", "reference", "config_hash"),
    "scores": ("model", "version", "segment", "window_start", "window_end", "revision", "subject", "score", "value",
               "rows", "reference", "threshold", "level", "rule"),
    "alerts": ("alert", "rule", "severity", "status", "model", "version", "segment", "subject", "score", "value",
               "threshold", "rows", "window_start", "window_end", "since", "reason", "limit_rule"),
}  # fmt: skip
NUMBERS = {
    "revision": "int64",
    "rows": "int64",
    "labelled_rows": "int64",
    "late_rows": "int64",
    "value": "float64",
    "threshold": "float64",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def parse_time(text: str | None) -> int | None:
    """ISO 8601 to ms, UTC where no zone is named. Raises ValueError."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write ISO 8601, as in 2026-01-31T12:00:00Z") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def iso(ms: int | None) -> str | None:
    if ms is None:
        return None
    at = datetime.fromtimestamp(ms / 1000.0, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"


def flat_rows(store: Any, what: str, model: str | None, from_: str | None, to: str | None) -> Iterator[list[dict[str, Any]]]:
    """Pieces of rows in a fixed order. Raises ValueError for a time that cannot be read."""
    low, high = parse_time(from_), parse_time(to)
    if what == "windows":
        start, query = window.c.start_ms, select(window).order_by(window.c.model, window.c.start_ms)
        owner = window.c.model
    elif what == "scores":
        c = score.c
        start, owner = c.window_start_ms, c.model
        query = select(score).order_by(c.model, c.window_start_ms, c.version, c.segment, c.subject, c.score)
    else:
        a, h = alert.c, alert_history.c
        start, owner = a.window_start_ms, a.model
        fired = select(h.evidence).where(h.alert == a.alert, h.status == "firing").order_by(h.id.desc()).limit(1).scalar_subquery()
        query = select(*(a[name] for name in ALERT_COLUMNS), fired.label("fired")).order_by(a.model, a.window_start_ms, a.alert)
    if model is not None:
        query = query.where(owner == model)
    if low is not None:
        query = query.where(start >= low)
    if high is not None:
        query = query.where(start < high)
    for part in store.stream(query):
        yield [_flat(what, row) for row in part]


def _flat(what: str, row: dict[str, Any]) -> dict[str, Any]:
    start, end = ("start_ms", "end_ms") if what == "windows" else ("window_start_ms", "window_end_ms")
    row = {**row, "window_start": iso(row[start]), "window_end": iso(row[end])}
    if what == "alerts":
        row["since"] = iso(row["since_ms"])
        row["limit_rule"] = json.loads(row["fired"] or "{}").get(LIMIT_RULE, "")
    return {name: row[name] for name in COLUMNS[what]}


def write_rows(store: Any, what: str, form: str, model: str | None, from_: str | None, to: str | None, out: str) -> None:
    """Write rows as csv, jsonl or parquet. Raises ValueError."""
    pieces = flat_rows(store, what, model, from_, to)
    if form == "parquet":
        _write_parquet(pieces, what, out)
    elif out == "-":
        _write_text(pieces, what, form, sys.stdout)
    else:
        with open(out, "w", newline="", encoding="utf-8") as file:
            _write_text(pieces, what, form, file)


def _write_text(pieces: Iterator[list[dict[str, Any]]], what: str, form: str, out: IO[str]) -> None:
    if form == "jsonl":
        for rows in pieces:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    writer = csv.DictWriter(out, COLUMNS[what], lineterminator="\n")
    writer.writeheader()
    for rows in pieces:
        writer.writerows({k: harmless(v) for k, v in row.items()} for row in rows)


def harmless(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe."""
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_parquet(pieces: Iterator[list[dict[str, Any]]], what: str, out: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"int64": pa.int64(), "float64": pa.float64()}
    schema = pa.schema([(name, kinds.get(NUMBERS.get(name, ""), pa.string())) for name in COLUMNS[what]])
    sink: Any = sys.stdout.buffer if out == "-" else out
    with pq.ParquetWriter(sink, schema) as writer:
        for rows in pieces:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
