"""The scanner: messages straight to columns in C, where that part was built (see _scan.c).

The plan, a table of fields, is made here from the models' schemas; C knows kinds of fields, not their names.
What it leaves, the exact path takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from detectors.columns import Codes, DictColumn, Floats, Ints
from monitor.decode import values as exact
from monitor.decode.settings import MAX_TS_MS, DecodeSettings
from monitor.decode.split import EventFields, split
from monitor.decode.vectors import lists_of, place_of, without_lists
from monitor.events import EventBatch, LabelBatch

try:
    from monitor.decode._scan import Scanner
except ImportError:  # no compiler was there: monitor/decode/fast.py does this work
    Scanner = None  # type: ignore[assignment,misc]

AVAILABLE = Scanner is not None
DECODED_BY = "the scanner in C" if AVAILABLE else "pyarrow.json: the scanner in C was not built"
NUMBER, TEXT, TARGET, ID, TIME, STATUS, SECTION, OTHER = range(8)  # as in scan_row.h
NO_TIME = np.iinfo(np.int64).min
FRACTION = -2
DEEPEST = 64  # C calls itself once a level; deeper messages are left
_POWERS = range(-348, 348)
SHARED_ROWS = 4_096  # batches that two threads share
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
Rows = npt.NDArray[np.intp]


@lru_cache(maxsize=1)
def powers_of_ten() -> bytes:
    """The first 128 bits of each power of ten, rounded down: the low and the high half, little-endian."""
    rows = bytearray()
    for power in _POWERS:
        if power >= 0:
            exact_power = 10**power
            shift = exact_power.bit_length() - 128
            bits = exact_power >> shift if shift > 0 else exact_power << -shift
        else:
            below = 10**-power
            bits = (1 << (below.bit_length() + 127)) // below
            if bits.bit_length() > 128:
                bits >>= 1
        rows += bits.to_bytes(16, "little")
    return bytes(rows)


@dataclass(slots=True)
class Plan:
    """Fields as the scanner wants them, and where the columns of each kind are."""

    sections: list[str] = field(default_factory=lambda: [""])
    fields: list[tuple[int, bytes, int, int, bool]] = field(default_factory=list)
    slots: dict[int, dict[str, int]] = field(default_factory=dict)

    def section(self, name: str) -> None:
        self.fields.append((0, name.encode(), SECTION, len(self.sections), False))
        self.sections.append(name)

    def add(self, kind: int, name: str, section: str = "", required: bool = False) -> None:
        kinds = self.slots.setdefault(TEXT if kind == TARGET else kind, {})
        slot = kinds.setdefault(f"{section}.{name}" if section else name, len(kinds))
        if kind == TARGET:  # its number has the first slot
            self.slots[NUMBER] = {name: 0}
        self.fields.append((self.sections.index(section), name.encode(), kind, slot, required))

    def add_all(self, kind: int, names: Iterable[str], section: str) -> None:
        for name in names:
            self.add(kind, name, section)


@dataclass(slots=True)
class Scanned:
    """Columns by slot name, and which rows were taken."""

    numbers: dict[str, Floats]
    texts: dict[str, DictColumn]
    times: dict[str, Ints]
    flags: dict[str, npt.NDArray[np.uint8]]
    ids: npt.NDArray[np.uint64]
    taken: npt.NDArray[np.bool_]


class _Reader:
    """A scanner with room for its output."""

    def __init__(self, plan: Plan, settings: DecodeSettings) -> None:
        self._plan = plan
        self._limit = settings.message_bytes
        depth = min(settings.nesting_depth, DEEPEST)
        self._scanners = [Scanner(len(plan.sections), tuple(plan.fields), powers_of_ten(), depth) for _ in range(2)]

    def read(self, values: list[bytes | None]) -> Scanned:
        rows = len(values)
        slots = {kind: self._plan.slots.get(kind, {}) for kind in (NUMBER, TEXT, TIME, STATUS)}
        numbers = np.empty((len(slots[NUMBER]), rows))
        codes = np.empty((len(slots[TEXT]), rows), dtype=np.int32)
        times = np.empty((len(slots[TIME]), rows), dtype=np.int64)
        flags = np.empty((len(slots[STATUS]), rows), dtype=np.uint8)
        ids = np.empty((rows, 2), dtype=np.uint64)
        taken = np.empty(rows, dtype=np.bool_)
        outputs = (self._limit, numbers, codes, times, flags, ids, taken)
        if rows < SHARED_ROWS or CPUS < 2:
            names = self._scanners[0].scan(values, 0, rows, *outputs)
            codes[:, ~taken] = -1  # what a row that was left wrote before it was left is nobody's
        else:  # without the interpreter's lock, so that a second thread helps
            half = rows // 2
            rest = _helper().submit(self._scanners[1].scan, values, half, rows, *outputs)
            try:
                names = self._scanners[0].scan(values, 0, half, *outputs)
            finally:
                more = rest.result()
            codes[:, ~taken] = -1
            for slot, (known, other) in enumerate(zip(names, more, strict=True)):
                codes[slot, half:] = _renumbered(codes[slot, half:], known, other)
        return Scanned(
            {name: numbers[slot] for name, slot in slots[NUMBER].items()},
            {name: DictColumn(codes[slot], names[slot]) for name, slot in slots[TEXT].items()},
            {name: times[slot] for name, slot in slots[TIME].items()},
            {name: flags[slot] for name, slot in slots[STATUS].items()},
            ids,
            taken,
        )


@lru_cache(maxsize=1)
def _helper() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "scan")


def _renumbered(codes: Codes, names: list[str], other: list[str]) -> Codes:
    """Codes into `other` as codes into `names`, which grows by those that it lacks; negative codes stay."""
    table = {name: code for code, name in enumerate(names)}
    lookup = [table.setdefault(name, len(table)) for name in other]
    names += list(table)[len(names) :]
    return np.array([*lookup, FRACTION, -1], dtype=np.int32)[codes]  # -2 and -1 index the last two


class EventScanner:
    """Reads events of every model of the settings."""

    def __init__(self, settings: DecodeSettings) -> None:
        self._settings = settings
        models = settings.models.values()
        self._numeric = sorted({f for m in models for f in m.schema.numeric})
        self._categorical = sorted({f for m in models for f in m.schema.categorical})
        self._segments = sorted({s for m in models for s in m.segments})
        self._others = sorted({n for m in models for n in m.schema.numbers})
        # an event that has one of these is left to fast_vectors.py; those that have none need not go there
        self._lists = sorted({".".join(place_of(n)) for m in models for n in (*m.schema.vectors, *lists_of(m.schema))})
        self.usable = AVAILABLE and not set(self._numeric) & set(self._categorical)
        if self.usable:
            self._reader = _Reader(self._plan(), settings)

    def _plan(self) -> Plan:
        plan = Plan()
        for name in ("features", "prediction", "segment"):
            plan.section(name)
        plan.add(ID, "event_id", required=True)
        plan.add(TIME, "ts", required=True)
        plan.add(TEXT, "model", required=True)
        plan.add(TEXT, "version")
        plan.add(NUMBER, "latency_ms")
        plan.add(STATUS, "status")
        plan.add_all(NUMBER, self._others, "")
        for name in self._lists:
            section, _, last = name.rpartition(".")
            plan.add(NUMBER, last, section)  # a list is no number, so the row is left
        plan.add(TEXT, "label", "prediction")
        plan.add(NUMBER, "score", "prediction")
        plan.add(NUMBER, "value", "prediction")
        plan.add_all(NUMBER, self._numeric, "features")
        plan.add_all(TEXT, self._categorical, "features")
        plan.add_all(TEXT, self._segments, "segment")
        return plan

    def read(self, values: list[bytes | None], offsets: Ints, record_ts_ms: Ints) -> tuple[list[EventBatch], Rows]:
        """Batches of what was plain, and the rows that were left."""
        found = self._reader.read(values)
        ts = found.times["ts"]
        bad = ~found.taken
        bad |= (ts < 0) | (ts >= MAX_TS_MS) | ((record_ts_ms >= 0) & (ts > record_ts_ms + self._settings.future_ms))
        for name in self._lists:
            bad |= ~np.isnan(found.numbers[name])
        score, value = found.numbers["prediction.score"], found.numbers["prediction.value"]
        given = ~np.isnan(value)
        fields = EventFields(
            offsets=offsets,
            ts_ms=ts,
            ids=found.ids,
            model=found.texts["model"],
            version=found.texts["version"],
            numeric={f: found.numbers[f"features.{f}"] for f in self._numeric},
            categorical={f: found.texts[f"features.{f}"] for f in self._categorical},
            segments={s: found.texts[f"segment.{s}"] for s in self._segments},
            label=found.texts["prediction.label"],
            score=np.where(given, value, score) if given.any() else score,
            latency_ms=found.numbers["latency_ms"],
            error=found.flags["status"].view(np.bool_),
            numbers={n: found.numbers[n] for n in self._others},
            lists=without_lists if self._lists else None,
        )
        batches = split(fields, bad, self._settings)
        return batches, np.flatnonzero(bad)


class LabelScanner:
    """Reads labels."""

    def __init__(self, settings: DecodeSettings) -> None:
        self.usable = AVAILABLE
        if self.usable:
            plan = Plan()
            plan.add(ID, "event_id", required=True)
            plan.add(TARGET, "label", required=True)
            plan.add(TIME, "label_ts")
            self._reader = _Reader(plan, settings)

    def read(self, values: list[bytes | None], offsets: Ints, record_ts_ms: Ints) -> tuple[list[LabelBatch], Rows]:
        """Batches of what was plain, and the rows that were left."""
        found = self._reader.read(values)
        given = found.times["label_ts"]
        ts = np.where(given == NO_TIME, record_ts_ms, given)
        value, label = found.numbers["label"], found.texts["label"]
        good = found.taken & (ts >= 0) & (ts < MAX_TS_MS)
        fractions = np.flatnonzero((label.codes == FRACTION) & good)
        if len(fractions):
            label = _write_out(label, value, fractions)
        keep = slice(None) if good.all() else np.flatnonzero(good)
        batch = LabelBatch(offsets[keep], found.ids[keep], label.take(keep), value[keep], ts[keep])
        return [batch] if batch.rows else [], np.flatnonzero(~good)


def _write_out(label: DictColumn, value: Floats, rows: Rows) -> DictColumn:
    """The column with the fractions in `rows` as texts, written as the exact path writes them."""
    texts = DictColumn.from_list([exact.text(v, "label") for v in value[rows].tolist()])
    lookup = {name: code for code, name in enumerate(label.values)}
    numbers = np.array([lookup.setdefault(name, len(lookup)) for name in texts.values], dtype=np.int32)
    codes = label.codes.copy()
    codes[rows] = numbers[texts.codes]
    return DictColumn(codes, list(lookup))
