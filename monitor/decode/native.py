"""The native event, one or a list of them in a message:

    {"event_id": "…", "ts": "2026-01-01T00:00:00.123Z", "model": "credit", "version": "3",
     "features": {"income": 5100.0, "region": "MA"}, "prediction": {"label": "default", "score": 0.83},
     "latency_ms": 12.4, "status": "ok", "segment": {"channel": "web"}, "cost_usd": 0.0001, "embedding": [0.1]}
    {"event_id": "…", "label": "repaid", "label_ts": "2026-01-08T00:00:00Z"}

Messages that are plainly one clean object go through the scanner (in C, scan.py) together, or, where that was not
built, through the fast path (pyarrow.json, fast.py). What these cannot judge is parsed one by one: one bad message
costs itself and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from monitor.decode.fast import FastParser, Parsed, Unfit
from monitor.decode.rows import EventRows, LabelRows, in_log_order
from monitor.decode.scan import EventScanner, LabelScanner
from monitor.decode.settings import DecodeSettings
from monitor.decode.strict import parse
from monitor.decode.values import Refused
from monitor.events import DeadLetter, Decoded, RawBatch

PIECE_ROWS = 512  # when a batch does not fit the fast path, pieces of it may
LEAST_ROWS = 8
_OPEN, _CLOSE = ord("{"), ord("}")


class NativeDecoder:
    """Decodes messages of the native format."""

    def __init__(self, settings: DecodeSettings, scanner: bool = True) -> None:
        """scanner: whether to use the part in C where it is there."""
        self._settings = settings
        self._scanner = scanner
        self._fast = FastParser(settings)
        self._event_scanner, self._label_scanner = EventScanner(settings), LabelScanner(settings)

    def events(self, raw: RawBatch) -> Decoded:
        out = Decoded()
        left: Iterable[int] = range(raw.rows)
        if self._scanner and self._event_scanner.usable:
            out.events, rows = self._event_scanner.read(raw.values, raw.offsets, raw.record_ts_ms)
            left = rows.tolist()
            if self._fast.reads_lists and len(rows):
                some = RawBatch(raw.key, raw.offsets[rows], raw.record_ts_ms[rows], [raw.values[i] for i in left], raw.next_offset)
                left = rows[self._quick(some, self._fast.events, out.events)].tolist()
        elif self._fast.usable:
            left = self._quick(raw, self._fast.events, out.events)
        collected = EventRows(self._settings)
        self._one_by_one(raw, left, collected.add, "events", collected.dead)
        out.events = in_log_order(out.events + collected.batches())
        out.dead = collected.dead
        return out

    def labels(self, raw: RawBatch) -> Decoded:
        out = Decoded()
        if self._scanner and self._label_scanner.usable:
            out.labels, rows = self._label_scanner.read(raw.values, raw.offsets, raw.record_ts_ms)
            left = rows.tolist()
        else:
            left = self._quick(raw, self._fast.labels, out.labels)
        collected = LabelRows()
        self._one_by_one(raw, left, collected.add, "labels", collected.dead)
        out.labels += collected.batches()
        out.dead = collected.dead
        return out

    def _quick(self, raw: RawBatch, read: Callable[..., Parsed], out: list[Any]) -> list[int]:
        """Fast batches into `out`; returns the rows that remain, in order."""
        odd = self._odd(raw.values)
        rows = np.arange(raw.rows) if not odd else np.delete(np.arange(raw.rows), odd)
        left = list(odd)
        for size in (len(rows), PIECE_ROWS):
            if len(rows) < LEAST_ROWS:
                break
            failed = []
            for at in range(0, len(rows), size):
                piece = rows[at : at + size]
                values = [raw.values[i] for i in piece.tolist()] if len(piece) < raw.rows else raw.values
                try:
                    parsed = read(values, raw.offsets[piece], raw.record_ts_ms[piece])
                except Unfit:
                    failed.append(piece)
                    continue
                out.extend(parsed.batches)
                left.extend(piece[parsed.left].tolist())
            rows = np.concatenate(failed) if failed else np.empty(0, dtype=np.intp)
            if not failed:
                break
        left.extend(rows.tolist())
        return sorted(left)

    def _odd(self, values: list[bytes | None]) -> list[int]:
        """Messages that are not plainly one clean JSON object in one line."""
        limit, depth = self._settings.message_bytes, self._settings.nesting_depth
        try:
            lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))  # type: ignore[arg-type]
        except TypeError:  # a message without a value
            return [i for i, v in enumerate(values) if v is None or not self._is_plain(v)]
        joined = b"\n".join(values)  # type: ignore[arg-type]
        if len(lengths) == 0 or int(lengths.min()) < 2:
            return [i for i, v in enumerate(values) if v is None or not self._is_plain(v)]
        ends = np.cumsum(lengths + 1) - 1
        starts = ends - lengths
        letters = np.frombuffer(joined, dtype=np.uint8)
        odd = (letters[starts] != _OPEN) | (letters[ends - 1] != _CLOSE) | (lengths > limit)
        opened = np.flatnonzero(letters == _OPEN)
        odd |= np.diff(np.searchsorted(opened, np.append(starts, len(letters)))) > depth
        if joined.count(b"\n") != len(values) - 1 or b"[" in joined or b"\\u" in joined or not _is_utf8(joined):
            odd |= np.fromiter((not self._is_plain(v) for v in values if v is not None), dtype=np.bool_)
        found: list[int] = np.flatnonzero(odd).tolist()
        return found

    def _is_plain(self, value: bytes) -> bool:
        return not (
            value[:1] != b"{"
            or value[-1:] != b"}"
            or len(value) > self._settings.message_bytes
            or value.count(b"{") + value.count(b"[") > self._settings.nesting_depth
            or b"\n" in value
            or (b"\\u" in value and (b"\\u0000" in value or b"\\ud" in value or b"\\uD" in value))
            or not _is_utf8(value)
        )

    def _one_by_one(
        self, raw: RawBatch, rows: Iterable[int], add: Callable[..., None], plural: str, dead: list[DeadLetter]
    ) -> None:
        for row in rows:
            value = raw.values[row]
            offset, record_ts = int(raw.offsets[row]), int(raw.record_ts_ms[row])
            excerpt = (value or b"")[: self._settings.excerpt_bytes]
            try:
                parsed = parse(value, self._settings)
            except Refused as refused:
                dead.append(DeadLetter(offset, 0, refused.reason, refused.detail, excerpt))
                continue
            if isinstance(parsed, dict) and isinstance(parsed.get(plural), list) and "event_id" not in parsed:
                parsed = parsed[plural]
            for index, item in enumerate(parsed if isinstance(parsed, list) else [parsed]):
                add(offset, index, record_ts, item, excerpt)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
