"""What a model remembers of its past windows' scores, so that limits can follow how they scatter, by hour and weekday.

Two memories, each a set of states of the model in the publishing transaction:

    past:REFERENCE     positions of drift scores against their nulls, from the first KEEP_MS of a reference, then frozen:
                       drift that creeps for months must not become usual
    series             values of traffic and latency over the last KEEP_MS, rolling

The first EARLY windows are kept one by one, later ones at a stride that keeps ABOUT of them: 4 bytes a score and window,
at most MAX_SCORES scores. They lie in chunks by window start. A window is judged by the chunks that ended before it,
and by all windows before it (monitor/first_days.py), so what it sees is a function of earlier windows alone; published anew, it
replaces its own row. Where that changes what published windows were judged by (rows of a partition that had been idle), these are published anew (monitor/stale.py).
Labels come late as a rule: no score that rests on them is part of the memory of a reference, nor has a part in what is
called beyond its limit there (`rests_on_inputs`), so that a late label does not judge all later windows again. A metric of
labels that `calibration.series` names does: late labels then publish later windows anew, which is its price.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from detectors.calibrate.episodes import usual
from detectors.calibrate.first_days import DAY_MS, NEAR_MS
from detectors.calibrate.history import Learned, learn
from detectors.calibrate.series import Record
from detectors.calibrate.streak import correlation
from detectors.columns import Bools, Floats, Ints
from detectors.dle import LOSSES
from detectors.target import SUBJECT as TARGET
from detectors.worst_drop import P_VALUES as OF_SEGMENTS
from monitor.first_days import Seen, clocks, first_days, later_weeks
from monitor.judged_score import Judged
from monitor.label_scores import PERFORMANCE
from monitor.label_scores import SUBJECT as LABELS
from monitor.stale import outdate
from monitor.view import Memory, WindowView

FORMAT = 2  # of a chunk; 1 lacks what was held
KEEP_MS = 28 * 86_400_000
ABOUT = 2016
EARLY = 64
CHUNK = 32
WEEK_MS = 7 * DAY_MS
YOUNG_MS = WEEK_MS  # so long the first days' rules hold beside what is learned by hour and weekday
MAX_SCORES = 2000
LAST = 4  # chunks that say how scores move from one window to the next
REFERENCES = 2  # memories of older references are dropped
OF_LABELS = frozenset(
    {*PERFORMANCE, TARGET, LABELS, "concept", "estimated_performance_weighted"}
)  # subjects of labels, or of a slow detector
NOT_YET = ("domain_auc_p", *OF_SEGMENTS)  # scores that a slow detector or labels bring
NEVER_USUAL = ("disparate_impact", "disparate_impact_p")  # a model that was unfair from the first window on stays so
ERRORS = (*LOSSES, "rmse")  # a slow detector's estimates
CALM, CALLED, HELD = 0, 1, 2  # of a score in a window: called changed, or beyond its limit and not called for want of days
Row = dict[str, tuple[float, int]]  # of each score its value and which of these
_NEVER = frozenset({*NOT_YET, *NEVER_USUAL})
_CACHED = 64
_OPENED = 64  # chunks
_HEAD = struct.Struct("<BII")


@dataclass(slots=True)
class Chunk:
    """Rows of windows in order of start: starts (n,), values, beyond and held (n, m) for the scores `names` (m).

    beyond: the score was beyond its limit; held: and was not called changed.
    """

    names: list[str]
    starts: Ints
    values: Floats
    beyond: Bools
    held: Bools

    def to_bytes(self) -> bytes:
        names = json.dumps(self.names).encode()
        flags = np.packbits(self.beyond).tobytes() + np.packbits(self.held).tobytes()
        body = self.starts.astype("<i8").tobytes() + self.values.astype("<f4").tobytes() + flags
        return _HEAD.pack(FORMAT, len(names), len(self.starts)) + zlib.compress(names + body, 1)

    @staticmethod
    def from_bytes(data: bytes) -> Chunk:
        """Raises ValueError for a format that this release does not know."""
        form, length, n = _HEAD.unpack_from(data)
        if form not in (1, FORMAT):
            raise ValueError(f"past windows of format {form}: this release reads 1 and {FORMAT}. Upgrade driftd.")
        body = zlib.decompress(data[_HEAD.size :])
        names = json.loads(body[:length])
        m, at = len(names), length + 8 * n
        values = np.frombuffer(body, dtype="<f4", count=n * m, offset=at).reshape(n, m).astype(np.float64)
        flags = np.frombuffer(body, dtype=np.uint8, offset=at + 4 * n * m)
        size = -(-n * m // 8)
        beyond, held = (np.unpackbits(f, count=n * m).reshape(n, m).astype(np.bool_) for f in (flags[:size], flags[size:]))
        starts = np.frombuffer(body, dtype="<i8", count=n, offset=length).astype(np.int64)
        return Chunk(names, starts, values, beyond, held)


class Past:
    """One memory of a model. name: "series" or "past:REFERENCE". frozen: only the first KEEP_MS count."""

    def __init__(self, memory: Memory, name: str, slide_ms: int, frozen: bool) -> None:
        self._memory, self._name, self._slide, self._frozen = memory, name, slide_ms, frozen
        self._stride = slide_ms * -(-KEEP_MS // (ABOUT * slide_ms))
        stored = memory.load_state(f"{name}:index")
        index = json.loads(stored) if stored else {"first": None, "chunks": {}}
        self._first: int | None = index["first"]
        self._chunks: dict[str, str] = index["chunks"]  # name -> digest of its bytes

    def learned(self, start_ms: int) -> tuple[dict[str, int], Learned] | None:
        """Of the windows before this one: the place of each score, and what was learned; None where there are too few."""
        wanted = sorted((c, d) for c, d in self._chunks.items() if self._span(c)[1] <= start_ms)
        if not self._frozen:
            wanted = [(c, d) for c, d in wanted if self._span(c)[1] > start_ms - KEEP_MS]
        if not wanted:
            return None
        key = (self._name, self._frozen, tuple(wanted))
        if key not in _learned:
            _learned[key] = self._learn([chunk for chunk, _ in wanted])
            while len(_learned) > _CACHED:
                _learned.popitem(last=False)
        _learned.move_to_end(key)
        return _learned[key]

    def young(self, start_ms: int) -> bool:
        """Whether a window lies in the memory's first days."""
        return self._first is None or start_ms - self._first < YOUNG_MS

    def seen(self, start_ms: int, all_of_it: bool) -> Seen | None:
        """The windows before this one that are kept, or the last of them and those of its hour of the week; None where there are none."""
        names = sorted((c for c in self._chunks if self._span(c)[0] < start_ms), key=self._span)
        if not self._frozen:
            names = [c for c in names if self._span(c)[1] > start_ms - KEEP_MS]
        if not all_of_it:
            names = [c for c in names[:-LAST] if self._meets(c, start_ms)] + names[-LAST:]
        loaded = [found for c in names if (found := self._open(c)) is not None]
        if not loaded or min(int(c.starts[0]) for c in loaded) >= start_ms:
            return None
        places, starts, values, beyond, held = _together(loaded)
        before = (starts < start_ms) & (self._frozen | (starts > start_ms - KEEP_MS))
        return Seen(places, starts[before], values[before], (beyond & ~held)[before], held[before])

    def _open(self, chunk: str) -> Chunk | None:
        key = self._chunks[chunk]
        if key not in _opened:
            blob = self._memory.load_state(f"{self._name}:{chunk}")
            if blob is None:
                return None
            _opened[key] = Chunk.from_bytes(blob)
            while len(_opened) > _OPENED:
                _opened.popitem(last=False)
        _opened.move_to_end(key)
        return _opened[key]

    def note(self, start_ms: int, values: Row) -> None:
        """Remember a window: each score's value, and whether it was beyond its limit."""
        if self._first is None or (values and start_ms < self._first):
            if not values:
                return
            if self._first is None and self._frozen:
                forget_old_references(self._memory, self._name)
            self._begin_at(start_ms)
        assert self._first is not None
        chunk = self._chunk_of(start_ms, self._first)
        if chunk is None or not self._put(chunk, start_ms, values):
            return
        if start_ms == self._first and not values:
            self._begin_at(min((s for s in self._kept() if s > start_ms), default=None))
        until = math.inf if self._frozen else self._span(chunk)[1] + KEEP_MS + 2 * CHUNK * self._stride
        outdate(self._memory, start_ms + 1, lambda w: w.start_ms < until)
        if not self._frozen:
            self._drop_before(start_ms - KEEP_MS - 2 * CHUNK * self._stride)
        self._save()

    def _put(self, chunk: str, start_ms: int, values: Row) -> bool:
        """Replace a window's row, or take it out where it has no values; False where nothing changed."""
        blob = self._memory.load_state(f"{self._name}:{chunk}") if chunk in self._chunks else None
        if blob is None and not values:
            return False
        made = _with_row(None if blob is None else Chunk.from_bytes(blob), start_ms, values)
        if not len(made.starts):
            del self._chunks[chunk]
            self._memory.drop_state(f"{self._name}:{chunk}")
            return True
        new = made.to_bytes()
        if new == blob:
            return False
        self._memory.save_state(f"{self._name}:{chunk}", new)
        self._chunks[chunk] = sha256(new).hexdigest()[:16]
        return True

    def _kept(self) -> list[int]:
        blobs = (self._memory.load_state(f"{self._name}:{c}") for c in self._chunks)
        return [start for blob in blobs if blob for start in Chunk.from_bytes(blob).starts.tolist()]

    def _begin_at(self, first_ms: int | None) -> None:
        """The first window is another one: keep what would have been kept had it come first, and judge all windows again."""
        chunks = [Chunk.from_bytes(blob) for c in self._chunks if (blob := self._memory.load_state(f"{self._name}:{c}"))]
        for name in self._chunks:
            self._memory.drop_state(f"{self._name}:{name}")
        self._first, self._chunks = first_ms, {}
        if first_ms is None:
            return
        for known in chunks:
            for at, start in enumerate(known.starts.tolist()):
                there = np.flatnonzero(np.isfinite(known.values[at]))
                flags = known.beyond[at].astype(np.int64) + known.held[at]
                row = {known.names[m]: (float(known.values[at, m]), int(flags[m])) for m in there}
                if (kept := self._chunk_of(start, first_ms)) is not None:
                    self._put(kept, start, row)
        if chunks:
            outdate(self._memory, first_ms)

    def _save(self) -> None:
        index = {"first": self._first, "chunks": dict(sorted(self._chunks.items()))}
        self._memory.save_state(f"{self._name}:index", json.dumps(index).encode())

    def _drop_before(self, before_ms: int) -> None:
        for chunk in [c for c in self._chunks if self._span(c)[1] < before_ms]:
            del self._chunks[chunk]
            self._memory.drop_state(f"{self._name}:{chunk}")

    def _chunk_of(self, start_ms: int, first_ms: int) -> str | None:
        """The chunk that a window is kept in, None if it is not."""
        if start_ms - first_ms < EARLY * self._slide:
            return f"early:{start_ms // (CHUNK * self._slide)}"
        if start_ms % self._stride or (self._frozen and start_ms - first_ms >= KEEP_MS):
            return None
        return f"later:{start_ms // (CHUNK * self._stride)}"

    def _span(self, chunk: str) -> tuple[int, int]:
        kind, number = chunk.split(":")
        size = CHUNK * (self._slide if kind == "early" else self._stride)
        return int(number) * size, (int(number) + 1) * size

    def _meets(self, chunk: str, start_ms: int) -> bool:
        """Whether a chunk may hold windows of another's hour of the week."""
        begin, end = self._span(chunk)
        return (start_ms - begin + NEAR_MS) % WEEK_MS <= end - begin + 2 * NEAR_MS

    def _learn(self, chunks: list[str]) -> tuple[dict[str, int], Learned]:
        loaded = [Chunk.from_bytes(blob) for c in chunks if (blob := self._memory.load_state(f"{self._name}:{c}"))]
        places, starts, values, beyond, _ = _together(loaded)
        return places, learn(usual(values, beyond) if self._frozen else values, starts)


def _together(chunks: list[Chunk]) -> tuple[dict[str, int], Ints, Floats, Bools, Bools]:
    """All rows in order of time: the place of each score, starts, values, beyond and held."""
    places: dict[str, int] = {}
    for chunk in chunks:
        for name in chunk.names:
            places.setdefault(name, len(places))
    starts = np.concatenate([c.starts for c in chunks])
    values = np.full((len(starts), len(places)), np.nan)
    beyond, held = np.zeros(values.shape, dtype=np.bool_), np.zeros(values.shape, dtype=np.bool_)
    at = 0
    for chunk in chunks:
        rows, columns = slice(at, at + len(chunk.starts)), [places[name] for name in chunk.names]
        values[rows, columns], beyond[rows, columns], held[rows, columns] = chunk.values, chunk.beyond, chunk.held
        at += len(chunk.starts)
    order = np.argsort(starts, kind="stable")
    return places, starts[order], values[order], beyond[order], held[order]


_opened: OrderedDict[str, Chunk] = OrderedDict()  # by the digest of their bytes
_learned: OrderedDict[tuple[object, ...], tuple[dict[str, int], Learned]] = OrderedDict()  # pure: keyed by contents


class Remembered:
    """What a window's scores are judged by besides their nulls, and where they are noted afterwards."""

    def __init__(self, view: WindowView) -> None:
        self._start, self._size, self._memory = view.start_ms, view.model.size_ms, view.memory
        slide, self._ticking = view.model.slide_ms, clocks(view.model.schema.kinds)
        self._apart = slide >= self._size  # no two windows share rows
        reference = next((g.reference for g in view.groups.values() if g.profile or g.learned), "")
        name = f"past:{reference}" if reference else ""
        self._nulls = Past(view.memory, name, slide, frozen=True) if name else None
        others = [n.removesuffix(":index") for n in view.memory.state_names("past:") if n.endswith(":index")]
        self._others = [Past(view.memory, other, slide, frozen=True) for other in others if other != name]
        self._series = Past(view.memory, "series", slide, frozen=False)

    def look_up(self, items: list[Judged]) -> None:
        """Give each score what its own past windows say, where there are enough."""
        for past, mine in self._parts(items):
            for item in _forgotten(mine):
                item.forgotten = f"its past is not remembered, as the model has more than {MAX_SCORES:,} scores of that kind"
            found = past.learned(self._start) if mine else None
            if found is not None:
                places, learned = found
                expected = learned.plain(self._start) if past is self._series else learned.at(self._start)
                for item in mine:
                    place = places.get(item.key, -1)
                    if place >= 0 and expected.rows[place] > 0:
                        item.past = expected.of(place)
                        if item.reference_rows and self._apart:
                            common = correlation(item.reference_rows, item.score.rows, 0.0)
                            item.past = replace(item.past, least=math.sqrt(1.0 - common))
                        if past is self._series:
                            farthest = learned.farthest[:, place].tolist()
                            item.record = Record(float(expected.centre[place]), farthest[0], farthest[1], int(learned.rows[place]))
                        item.basis = f"past {int(item.past.rows[0])} windows"
            if not mine or self._size >= DAY_MS:
                continue
            series, young = past is self._series, past.young(self._start)
            seen = past.seen(self._start, all_of_it=young or series)
            if young:
                first_days(mine, seen, self._start, self._size, series, self._ticking)
            else:
                later_weeks(mine, seen, self._start, self._size, series, self._ticking)

    def note(self, items: list[tuple[Judged, int]]) -> None:
        """Remember where each score lay, and whether it was CALM, CALLED or HELD."""
        flags = {id(item): flag for item, flag in items}
        for other in self._others:  # the window may have been judged by another reference before
            other.note(self._start, {})
        for past, mine in self._parts([item for item, _ in items]):
            there = [item for item in mine if _noted(item)]
            past.note(self._start, {item.key: (item.position(), flags[id(item)]) for item in there})

    def _parts(self, items: list[Judged]) -> list[tuple[Past, list[Judged]]]:
        series = [(self._series, [item for item in items if item.series is not None])]
        nulls = [item for item in items if item.table is not None and rests_on_inputs(item)]
        return series if self._nulls is None else [(self._nulls, nulls), *series]


def _noted(item: Judged) -> bool:
    return math.isfinite(item.out) and not item.settled and not item.alias


def _forgotten(items: list[Judged]) -> list[Judged]:
    """Those that a memory has no place for: it keeps the first MAX_SCORES by name."""
    names = {item.key for item in items if _noted(item)} if len(items) > MAX_SCORES else set()
    if len(names) <= MAX_SCORES:
        return []
    last = sorted(names)[MAX_SCORES - 1]
    return [item for item in items if item.key > last]


def rests_on_inputs(item: Judged) -> bool:
    """Whether a score is a function of the window's inputs, which are there when it is first published, and may become usual: not
    one of labels or of a detector that takes its time."""
    subject, name = item.score.subject, item.score.name
    estimated = subject == "estimated_performance" and name in ERRORS
    return subject not in OF_LABELS and name not in _NEVER and not estimated


def forget_old_references(memory: Memory, keep: str) -> None:
    """Drop the memories of all references but this one and the newest other."""
    others = [n.removesuffix(":index") for n in memory.state_names("past:") if n.endswith(":index") and n != f"{keep}:index"]
    if len(others) < REFERENCES:
        return
    firsts = {name: json.loads(memory.load_state(f"{name}:index") or b"{}").get("first") or 0 for name in others}
    for name in sorted(others, key=lambda n: (firsts[n], n))[: len(others) - REFERENCES + 1]:
        for state in memory.state_names(f"{name}:"):
            memory.drop_state(state)


def _with_row(chunk: Chunk | None, start_ms: int, row: Row) -> Chunk:
    """The chunk with a window's row in place of the one that it had; without it where it is empty.

    Scores stand by name: the first MAX_SCORES of them, whatever order windows come in.
    """
    if chunk is None:
        nothing = np.zeros((0, 0), dtype=np.bool_)
        chunk = Chunk([], np.empty(0, dtype=np.int64), np.empty((0, 0)), nothing, nothing)
    keep = chunk.starts != start_ms
    others = np.isfinite(chunk.values[keep]).any(axis=0)
    known = {name: at for at, name in enumerate(chunk.names) if others[at]}
    names = sorted({*known, *row})[:MAX_SCORES]
    starts = np.append(chunk.starts[keep], [start_ms] if row else []).astype(np.int64)
    values = np.full((len(starts), len(names)), np.nan)
    beyond, held = np.zeros(values.shape, dtype=np.bool_), np.zeros(values.shape, dtype=np.bool_)
    there, at = [m for m, name in enumerate(names) if name in known], [known[name] for name in names if name in known]
    rows = int(keep.sum())
    for new, old in ((values, chunk.values), (beyond, chunk.beyond), (held, chunk.held)):
        new[:rows, there] = old[keep][:, at]
    if row:
        nowhere = (math.nan, CALM)
        values[rows] = [row.get(name, nowhere)[0] for name in names]
        flags = np.array([int(row.get(name, nowhere)[1]) for name in names])
        beyond[rows], held[rows] = flags != CALM, flags == HELD
    order = np.argsort(starts, kind="stable")
    return Chunk(names, starts[order], values[order], beyond[order], held[order])
