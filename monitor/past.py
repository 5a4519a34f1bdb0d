"""What a model remembers of its past windows' scores, so that limits can follow how they scatter, by hour and weekday.

Two memories, each a set of states of the model in the publishing transaction:

    past:REFERENCE     positions of drift scores against their nulls, from the first KEEP_MS of a reference, then frozen:
                       drift that creeps for months must not become usual
    series             values of traffic and latency over the last KEEP_MS, rolling

The first EARLY windows are kept one by one, later ones at a stride that keeps ABOUT of them: 4 bytes a score and window,
at most MAX_SCORES scores. They lie in chunks by window start. A window is judged by the chunks that ended before it, so
what it sees is a function of earlier windows alone; published anew, it replaces its own row. A revision that changes the
inputs of an old window (rows of a partition that had been idle) does not judge the later windows again: labels, which
come late as a rule, are not part of this memory.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from detectors.calibrate.episodes import usual
from detectors.calibrate.history import LEAST_WINDOWS, Learned, learn
from detectors.columns import Bools, Floats, Ints
from monitor.judged import Judged
from monitor.view import Memory, WindowView

FORMAT = 1
KEEP_MS = 28 * 86_400_000
ABOUT = 2016
EARLY = 64
CHUNK = 32
MAX_SCORES = 2000
REFERENCES = 2  # memories of older references are dropped
_CACHED = 64
_HEAD = struct.Struct("<BII")


@dataclass(slots=True)
class Chunk:
    """Rows of windows in order of start: starts (n,), values (n, m) and beyond (n, m) for the scores `names` (m)."""

    names: list[str]
    starts: Ints
    values: Floats
    beyond: Bools

    def to_bytes(self) -> bytes:
        names = json.dumps(self.names).encode()
        body = self.starts.astype("<i8").tobytes() + self.values.astype("<f4").tobytes() + np.packbits(self.beyond).tobytes()
        return _HEAD.pack(FORMAT, len(names), len(self.starts)) + zlib.compress(names + body, 1)

    @staticmethod
    def from_bytes(data: bytes) -> Chunk:
        """Raises ValueError for a format that this release does not know."""
        form, length, n = _HEAD.unpack_from(data)
        if form != FORMAT:
            raise ValueError(f"past windows of format {form}: this release reads {FORMAT}. Upgrade driftd.")
        body = zlib.decompress(data[_HEAD.size :])
        names = json.loads(body[:length])
        m, at = len(names), length + 8 * n
        values = np.frombuffer(body, dtype="<f4", count=n * m, offset=at).reshape(n, m).astype(np.float64)
        bits = np.unpackbits(np.frombuffer(body, dtype=np.uint8, offset=at + 4 * n * m), count=n * m)
        starts = np.frombuffer(body, dtype="<i8", count=n, offset=length).astype(np.int64)
        return Chunk(names, starts, values, bits.reshape(n, m).astype(np.bool_))


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

    def note(self, start_ms: int, values: dict[str, tuple[float, bool]]) -> None:
        """Remember a window: each score's value, and whether it was beyond its limit."""
        if not values:
            return
        first = start_ms if self._first is None else min(self._first, start_ms)
        chunk = self._chunk_of(start_ms, first)
        if chunk is None:
            return
        if self._first is None and self._frozen:
            forget_old_references(self._memory, self._name)
        self._first = first
        blob = self._memory.load_state(f"{self._name}:{chunk}") if chunk in self._chunks else None
        names = list(values)[:MAX_SCORES]
        new = _with_row(None if blob is None else Chunk.from_bytes(blob), start_ms, {n: values[n] for n in names}).to_bytes()
        if new == blob:
            return
        self._memory.save_state(f"{self._name}:{chunk}", new)
        self._chunks[chunk] = sha256(new).hexdigest()[:16]
        if not self._frozen:
            self._drop_before(start_ms - KEEP_MS - 2 * CHUNK * self._stride)
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

    def _learn(self, chunks: list[str]) -> tuple[dict[str, int], Learned]:
        loaded = [Chunk.from_bytes(blob) for c in chunks if (blob := self._memory.load_state(f"{self._name}:{c}"))]
        places: dict[str, int] = {}
        for chunk in loaded:
            for name in chunk.names:
                places.setdefault(name, len(places))
        starts = np.concatenate([c.starts for c in loaded])
        values = np.full((len(starts), len(places)), np.nan)
        beyond = np.zeros(values.shape, dtype=np.bool_)
        at = 0
        for chunk in loaded:
            columns = [places[name] for name in chunk.names]
            values[at : at + len(chunk.starts), columns] = chunk.values
            beyond[at : at + len(chunk.starts), columns] = chunk.beyond
            at += len(chunk.starts)
        order = np.argsort(starts, kind="stable")
        values, beyond, starts = values[order], beyond[order], starts[order]
        return places, learn(usual(values, beyond) if self._frozen else values, starts)


_learned: OrderedDict[tuple[object, ...], tuple[dict[str, int], Learned]] = OrderedDict()  # pure: keyed by contents


class Remembered:
    """What a window's scores are judged by besides their nulls, and where they are noted afterwards."""

    def __init__(self, view: WindowView) -> None:
        self._start, self._memory = view.start_ms, view.memory
        slide = view.model.slide_ms
        reference = next((g.reference for g in view.groups.values() if g.profile or g.learned), "")
        self._nulls = Past(view.memory, f"past:{reference}", slide, frozen=True) if reference else None
        self._series = Past(view.memory, "series", slide, frozen=False)

    def look_up(self, items: list[Judged]) -> None:
        """Give each score what its own past windows say, where there are enough."""
        for past, mine in self._parts(items):
            found = past.learned(self._start) if mine else None
            if found is None:
                continue
            places, learned = found
            expected = learned.plain(self._start) if past is self._series else learned.at(self._start)
            for item in mine:
                place = places.get(item.key, -1)
                if place >= 0 and expected.rows[place] >= LEAST_WINDOWS:
                    item.past = expected.of(place)

    def note(self, items: list[tuple[Judged, bool]]) -> None:
        """Remember where each score lay, and whether it was beyond its limit."""
        beyond = {id(item): flag for item, flag in items}
        for past, mine in self._parts([item for item, _ in items]):
            there = [item for item in mine if math.isfinite(item.out) and not item.settled and not item.alias]
            past.note(self._start, {item.key: (item.position(), beyond[id(item)]) for item in there})

    def _parts(self, items: list[Judged]) -> list[tuple[Past, list[Judged]]]:
        series = [(self._series, [item for item in items if item.series is not None])]
        return series if self._nulls is None else [(self._nulls, [item for item in items if item.table is not None]), *series]


def forget_old_references(memory: Memory, keep: str) -> None:
    """Drop the memories of all references but this one and the newest other."""
    others = [n.removesuffix(":index") for n in memory.state_names("past:") if n.endswith(":index") and n != f"{keep}:index"]
    if len(others) < REFERENCES:
        return
    firsts = {name: json.loads(memory.load_state(f"{name}:index") or b"{}").get("first") or 0 for name in others}
    for name in sorted(others, key=lambda n: (firsts[n], n))[: len(others) - REFERENCES + 1]:
        for state in memory.state_names(f"{name}:"):
            memory.drop_state(state)


def _with_row(chunk: Chunk | None, start_ms: int, row: dict[str, tuple[float, bool]]) -> Chunk:
    if chunk is None:
        chunk = Chunk([], np.empty(0, dtype=np.int64), np.empty((0, 0)), np.empty((0, 0), dtype=np.bool_))
    fresh = [name for name in row if name not in set(chunk.names)]
    names = (chunk.names + fresh)[:MAX_SCORES]
    pad = ((0, 0), (0, len(names) - len(chunk.names)))
    values = np.pad(chunk.values, pad, constant_values=np.nan)
    beyond = np.pad(chunk.beyond, pad)
    keep = chunk.starts != start_ms
    nothing = (np.nan, False)
    mine = np.array([[row.get(name, nothing)[0] for name in names]])
    flags = np.array([[row.get(name, nothing)[1] for name in names]], dtype=np.bool_)
    starts = np.append(chunk.starts[keep], start_ms)
    order = np.argsort(starts, kind="stable")
    out = np.concatenate([values[keep], mine])[order], np.concatenate([beyond[keep], flags])[order]
    return Chunk(names, starts[order], *out)
