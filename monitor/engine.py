"""The engine: messages and the time in, a checkpoint out. Pure but for its own state; one thread owns it.

    assign(claims)       take partitions over, as their last checkpoint left them
    step(role, raw)      decode, drop what is late or seen, fill the panes, collect what waits for labels
    cut(now)             all that changed since the last checkpoint, one PartitionCut each
    committed(cuts)      the store has them: forget what is durable
    forget(keys)         drop partitions without a trace: the store is right, memory is not

The engine never writes. What it holds between two checkpoints can be thrown away at any time: the same
messages are read again from the store's offsets, and the same state results, however polls cut them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from detectors.columns import Columns, DictColumn, Hashes, Ints, Schema
from detectors.ragged import Ragged
from monitor.checkpoint import (
    Claim,
    JoinedRows,
    LateRows,
    PaneBlob,
    PartitionCut,
    ReadPane,
    SeenIds,
    WaitingPredictions,
)
from monitor.decode.together import decode_together
from monitor.dedup import SeenTable
from monitor.events import (
    DeadLetter,
    Decoded,
    Decoder,
    EventBatch,
    LabelBatch,
    PartitionKey,
    RawBatch,
    StatefulDecoder,
)
from monitor.intake import clocks_at, refused_field, unnamed_features
from monitor.labels import last_of_each
from monitor.model import Model
from monitor.panes import Pane
from monitor.payload import pack
from monitor.performance_pane import add_outcomes
from monitor.segments import with_derived
from monitor.waiting_cells import has_cells, heads_of, with_heads
from monitor.waiting_requests import has_requests, hashes_of
from monitor.waiting_requests import heads_of as heads_of_requests
from monitor.watermark import clock_before

EXCERPT_ROWS = 1000  # late rows that leave a dead letter between two checkpoints; all are counted


@dataclass(slots=True)
class Partition:
    """One owned partition: what is durable (token, committed offset) and what changed since."""

    key: PartitionKey
    token: str
    committed_offset: int
    next_offset: int
    clock_ms: int | None
    panes: dict[tuple[str, int], Pane] = field(default_factory=dict)
    dirty: set[tuple[str, int]] = field(default_factory=set)
    seen: dict[str, SeenTable] = field(default_factory=dict)
    new_ids: dict[tuple[str, int], list[np.ndarray]] = field(default_factory=dict)
    waiting: dict[str, list[WaitingPredictions]] = field(default_factory=dict)
    labels: list[LabelBatch] = field(default_factory=list)
    late: Counter[tuple[str, int]] = field(default_factory=Counter)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    idle: bool = False
    idle_saved: bool = False


class Engine:
    """State of the partitions that this process owns. Every method runs on the data loop's thread."""

    def __init__(self, models: dict[str, Model], decoders: dict[str, Decoder]) -> None:
        """decoders: by the source's name."""
        self.models = models
        self._decoders = decoders
        self._partitions: dict[PartitionKey, Partition] = {}
        self.rows_since_cut = 0

    @property
    def keep_ms(self) -> int:
        """How far behind its partition's clock a pane may start and still be open."""
        return max((m.slide_ms + m.lateness_ms for m in self.models.values()), default=0)

    @property
    def keys(self) -> list[PartitionKey]:
        return sorted(self._partitions)

    def assign(self, claims: Iterable[Claim]) -> None:
        """Take partitions over as their last checkpoint left them."""
        for claim in claims:
            part = Partition(claim.key, claim.token, claim.next_offset, claim.next_offset, claim.max_ts_ms)
            for stored in claim.panes:
                if stored.kind == "pending":
                    decoder = self._stateful(claim.key)
                    if decoder is not None:
                        decoder.restore(claim.key, stored.blob)
                elif stored.kind == "inputs" and stored.model in self.models:
                    pane = Pane.from_bytes(stored.blob, self.models[stored.model])
                    part.panes[stored.model, stored.pane_start_ms] = pane
            for ids in claim.seen:
                name, _, raw = ids.blob.partition(b"\0")
                model = self.models.get(name.decode())
                if model is not None:
                    part.seen.setdefault(model.name, SeenTable(model.max_ids)).restore(
                        np.frombuffer(raw, dtype=np.uint64), ids.expires_ms
                    )
            self._partitions[claim.key] = part

    def forget(self, keys: Iterable[PartitionKey]) -> None:
        for key in keys:
            self._partitions.pop(key, None)
            decoder = self._stateful(key)
            if decoder is not None:
                decoder.forget(key)

    def _stateful(self, key: PartitionKey) -> StatefulDecoder | None:
        decoder = self._decoders.get(key.source)
        return cast(StatefulDecoder, decoder) if hasattr(decoder, "pending") else None

    def set_idle(self, key: PartitionKey, idle: bool) -> None:
        """Say whether a partition has been read to its end for the idle timeout."""
        if key in self._partitions:
            self._partitions[key].idle = idle

    def next_offset(self, key: PartitionKey) -> int:
        return self._partitions[key].next_offset

    def clock_ms(self, key: PartitionKey) -> int | None:
        return self._partitions[key].clock_ms

    def step(self, role: str, raw: RawBatch) -> None:
        """Take one batch of one owned partition. role: "events" or "labels"."""
        self.step_all([(role, raw)])

    def step_all(self, polled: list[tuple[str, RawBatch]]) -> None:
        """Take what one poll of a source brought; partitions that are not owned are left to their owner."""
        for role in ("events", "labels"):
            batches = [raw for r, raw in polled if r == role and raw.key in self._partitions]
            for source in sorted({raw.key.source for raw in batches}):
                decoder = self._decoders[source]
                decode = decoder.events if role == "events" else decoder.labels
                mine = [raw for raw in batches if raw.key.source == source]
                if hasattr(decoder, "pending"):  # it must know whose messages it sees
                    decoded = [decode(raw) for raw in mine]
                else:
                    decoded = decode_together(decode, mine)
                for raw, done in zip(mine, decoded, strict=True):
                    self.take(role, raw, done)

    def take(self, role: str, raw: RawBatch, decoded: Decoded) -> None:
        """Take a batch that is decoded already; raw says which offsets it covers."""
        part = self._partitions[raw.key]
        if part.next_offset >= 0 and len(raw.offsets) and int(raw.offsets[0]) < part.next_offset:
            raise AssertionError(f"{raw.key}: offset {int(raw.offsets[0])} read again, expected {part.next_offset}")
        part.counts["messages"] += raw.rows
        for letter in decoded.dead:
            part.counts["consumed"] += 1
            part.counts[letter.reason] += 1
        part.dead.extend(decoded.dead)
        self._add_intake(part, role, raw, decoded)
        if decoded.events:
            self._add_events(part, [with_ingest_delay(self.models[b.model].schema, b, raw) for b in decoded.events])
        for labels in decoded.labels:
            part.counts["consumed"] += len(labels.label_ts_ms)
            part.counts["labels"] += len(labels.label_ts_ms)
            part.labels.append(labels)
        part.next_offset = raw.next_offset
        part.idle = False
        self.rows_since_cut += raw.rows

    def _add_intake(self, part: Partition, role: str, raw: RawBatch, decoded: Decoded) -> None:
        """What the batch holds that no summary takes: called before the events move the partition's clock."""
        if role != "events":
            return
        letters = [letter for letter in decoded.dead if refused_field(letter)]
        if letters:
            clocks = clocks_at(np.array([letter.offset for letter in letters]), decoded.events, part.clock_ms)
            for letter, clock in zip(letters, clocks.tolist(), strict=True):
                pane = self._open_pane(part, letter.model, letter.ts_ms, clock)
                if pane is not None:
                    counts = pane.intake.wrong_type if letter.reason == "wrong_type" else pane.intake.non_finite
                    pane.intake.count(counts, refused_field(letter))
        if self._stateful(part.key) is not None:  # other formats name their features otherwise
            return
        for batch in decoded.events:
            found = list(unnamed_features(raw, batch, self.models[batch.model].schema))
            rows = np.array([row for row, _ in found], dtype=np.intp)
            clocks = clocks_at(batch.offsets[rows], decoded.events, part.clock_ms)
            for (row, names), clock in zip(found, clocks, strict=True):
                pane = self._open_pane(part, batch.model, int(batch.ts_ms[row]), int(clock))
                if pane is not None:
                    pane.intake.sampled += 1
                    for name in names:
                        pane.intake.count(pane.intake.unnamed, name)

    def _open_pane(self, part: Partition, name: str, ts_ms: int, clock_ms: int) -> Pane | None:
        """The pane that an event belongs to, made if need be; None where it is closed for a message at that clock."""
        model = self.models[name]
        start = ts_ms // model.slide_ms * model.slide_ms
        if start + model.slide_ms + model.lateness_ms <= clock_ms:
            return None
        part.dirty.add((name, start))
        return part.panes.setdefault((name, start), Pane(model.profile_at(start)))

    def _add_events(self, part: Partition, batches: list[EventBatch]) -> None:
        clocks = _clocks(part, batches)
        for batch, clock in zip(batches, clocks, strict=True):
            self._add_batch(part, self.models[batch.model], batch, clock)
            part.counts["consumed"] += batch.rows
        newest = max(int(batch.ts_ms.max()) for batch in batches if batch.rows)
        part.clock_ms = newest if part.clock_ms is None else max(part.clock_ms, newest)

    def _add_batch(self, part: Partition, model: Model, batch: EventBatch, clock: Ints) -> None:
        start = batch.ts_ms // model.slide_ms * model.slide_ms
        # clock is at its least where nothing was seen; compare without adding to it
        late = start + (model.slide_ms + model.lateness_ms) <= clock
        keep = ~late
        if late.any():
            self._refuse_late(part, model, batch, start, late, clock)
        if model.dedup:
            rows = np.flatnonzero(keep)
            table = part.seen.setdefault(model.name, SeenTable(model.max_ids))
            expires = start[rows] + (model.slide_ms + model.horizon_ms)
            ids = batch.ids[rows, 0]
            repeated = table.add(ids, expires, clock[rows])
            if repeated.any():
                part.counts["duplicate"] += int(repeated.sum())
                keep[rows[repeated]] = False
                for pane_start, count in zip(*np.unique(start[rows[repeated]], return_counts=True), strict=True):
                    key = model.name, int(pane_start)
                    part.panes.setdefault(key, Pane(model.profile_at(key[1]))).intake.repeats += int(count)
                    part.dirty.add(key)
            fresh = ~repeated
            for expiry in np.unique(expires[fresh]).tolist():
                chosen = ids[fresh & (expires == expiry)]
                part.new_ids.setdefault((model.name, expiry), []).append(chosen)
        accepted = int(keep.sum())
        part.counts["accepted"] += accepted
        if accepted:
            self._fill(part, model, batch, start, keep, accepted)

    def _fill(self, part: Partition, model: Model, batch: EventBatch, start: Ints, keep: np.ndarray, accepted: int) -> None:
        all_rows = accepted == batch.rows
        columns = batch.columns
        if model.schema.parts:
            columns = replace(columns, ids=batch.ids, ts_ms=batch.ts_ms)
        elif model.schema.kinds:
            columns = replace(columns, ts_ms=batch.ts_ms)
        columns = columns if all_rows else columns.take(keep)
        version = batch.version if all_rows else batch.version.take(keep)
        segments = batch.segments if all_rows else {d: c.take(keep) for d, c in batch.segments.items()}
        named = None if model.request_key is None else segments.get(model.request_key)
        requests = None if named is None else hashes_of(named)
        if requests is not None:
            columns = replace(columns, requests=requests)
            segments = {dimension: column for dimension, column in segments.items() if dimension != model.request_key}
        if model.derived:
            segments = with_derived(model.derived, columns, segments, version)
        starts = start if all_rows else start[keep]
        first, last = int(starts.min()), int(starts.max())
        for pane_start in [first] if first == last else np.unique(starts).tolist():
            pane = part.panes.get((model.name, pane_start))
            if pane is None:
                pane = part.panes[model.name, pane_start] = Pane(model.profile_at(pane_start))
            if first == last:
                pane.add(model, version, segments, columns)
            else:
                rows = np.flatnonzero(starts == pane_start)
                pane.add(model, version.take(rows), {d: c.take(rows) for d, c in segments.items()}, columns.take(rows))
            part.dirty.add((model.name, pane_start))
        if model.wants_labels and model.schema.task != "none":
            part.waiting.setdefault(model.name, []).append(
                WaitingPredictions(
                    model=model.name,
                    ids=batch.ids if all_rows else batch.ids[keep],
                    ts_ms=batch.ts_ms if all_rows else batch.ts_ms[keep],
                    pane_start_ms=starts,
                    group=_group_column(version, segments),
                    label=columns.label,
                    score=columns.score,
                    payload=self._payload(part, model, columns, starts, requests),
                )
            )

    def _payload(self, part: Partition, model: Model, columns: Columns, starts: Ints, requests: Hashes | None) -> Ragged | None:
        payload = self._cells_before(pack(model.schema, columns), part, model, columns, starts)
        return with_heads(payload, heads_of_requests(requests)) if requests is not None and has_requests(model.schema) else payload

    def _cells_before(self, payload: Ragged | None, part: Partition, model: Model, columns: Columns, starts: Ints) -> Ragged | None:
        if not has_cells(model.schema):
            return payload
        for pane_start in np.unique(starts).tolist():
            rows = starts == pane_start
            profile = model.profile_named(part.panes[model.name, pane_start].profile)
            if rows.all():
                return with_heads(payload, heads_of(model.schema, profile, columns))
            mine = heads_of(model.schema, profile, columns.take(rows))
            heads = np.zeros((columns.rows, mine.shape[1]), dtype=np.uint8)
            heads[rows] = mine
            payload = with_heads(payload, heads)
        return payload

    def _refuse_late(self, part: Partition, model: Model, batch: EventBatch, start: Ints, late: np.ndarray, clock: Ints) -> None:
        rows = np.flatnonzero(late)
        part.counts["late"] += len(rows)
        for pane_start, count in zip(*np.unique(start[rows], return_counts=True), strict=True):
            part.late[model.name, int(pane_start)] += int(count)
        for i, row in enumerate(rows[:EXCERPT_ROWS].tolist()):
            behind = int(clock[row] - start[row] - model.slide_ms)
            detail = f"model {model.name}: ts {batch.ts_ms[row]} came {behind} ms after its pane ended; allowed {model.lateness_ms}"
            part.dead.append(DeadLetter(int(batch.offsets[row]), i, "late", detail, b"", int(batch.ts_ms[row])))

    def cut(self, now_ms: int, keys: Iterable[PartitionKey] | None = None) -> list[PartitionCut]:
        """What changed since the last checkpoint, for the given partitions (default: all owned)."""
        chosen = self.keys if keys is None else sorted(k for k in keys if k in self._partitions)
        cuts = []
        for key in chosen:
            part = self._partitions[key]
            if part.next_offset != part.committed_offset or part.idle != part.idle_saved or part.counts:
                cuts.append(self._cut_one(part, now_ms))
        self.rows_since_cut = 0
        return cuts

    def _cut_one(self, part: Partition, now_ms: int) -> PartitionCut:
        panes = [
            PaneBlob(model, "inputs", start, pane.to_bytes(), pane.rows)
            for (model, start), pane in sorted(part.panes.items())
            if (model, start) in part.dirty
        ]
        decoder = self._stateful(part.key)
        if decoder is not None and (pending := decoder.pending(part.key)) is not None:
            panes.append(PaneBlob("", "pending", 0, pending, 0))
        seen = [
            SeenIds(expires, model.encode() + b"\0" + np.concatenate(ids).tobytes())
            for (model, expires), ids in sorted(part.new_ids.items())
        ]
        return PartitionCut(
            key=part.key,
            token=part.token,
            expected_offset=part.committed_offset,
            next_offset=part.next_offset,
            max_ts_ms=part.clock_ms,
            idle=part.idle,
            now_ms=now_ms,
            panes=panes,
            seen=seen,
            seen_before_ms=part.clock_ms,
            waiting=[_concat_waiting(batches) for batches in part.waiting.values()],
            labels=last_of_each(part.labels) if part.labels else None,
            late=[LateRows(model, start, rows) for (model, start), rows in sorted(part.late.items())],
            dead=list(part.dead),
            counts=dict(part.counts),
        )

    def committed(self, cuts: Iterable[PartitionCut]) -> None:
        """These cuts are durable: what they held need not be kept."""
        for cut in cuts:
            part = self._partitions.get(cut.key)
            if part is None:
                continue
            part.committed_offset = cut.next_offset
            part.idle_saved = cut.idle
            part.dirty.clear()
            part.new_ids.clear()
            part.waiting.clear()
            part.labels.clear()
            part.late.clear()
            part.dead.clear()
            part.counts.clear()
            if part.clock_ms is not None:
                for name, start in list(part.panes):
                    model = self.models[name]
                    if start + model.slide_ms + model.lateness_ms <= part.clock_ms:
                        del part.panes[name, start]  # closed for this partition: the store has it

    def absorb(self, key: PartitionKey, joined: list[JoinedRows], read: ReadPane) -> list[PaneBlob]:
        """The performance panes of a partition after rows were joined; pure, see checkpoint.Absorb."""
        written: dict[tuple[str, int], PaneBlob] = {}

        def latest(model: str, start_ms: int) -> bytes | None:
            done = written.get((model, start_ms))
            return read(model, start_ms) if done is None else done.blob

        for rows in joined:
            model = self.models.get(rows.model)
            if model is not None:
                written.update({(p.model, p.pane_start_ms): p for p in add_outcomes(model, rows, latest)})
        return list(written.values())


def with_ingest_delay(schema: Schema, batch: EventBatch, raw: RawBatch) -> EventBatch:
    """The batch with numbers["ingest_delay_ms"], its record's time less its own, for models that want it; NaN where
    the log has no record time."""
    if not schema.parts.get("rules", {}).get("freshness") or not batch.rows:
        return batch
    delay = np.full(batch.rows, np.nan)
    if raw.recorded and len(raw.record_ts_ms):  # a table has none
        at = np.minimum(np.searchsorted(raw.offsets, batch.offsets), len(raw.offsets) - 1)
        known = (raw.offsets[at] == batch.offsets) & (raw.record_ts_ms[at] >= 0)  # a paired half may be of an earlier batch
        delay[known] = np.maximum(0, raw.record_ts_ms[at] - batch.ts_ms)[known]
    numbers = {**batch.columns.numbers, "ingest_delay_ms": delay}
    return replace(batch, columns=replace(batch.columns, numbers=numbers))


def _clocks(part: Partition, batches: list[EventBatch]) -> list[Ints]:
    """The partition's clock that each row of each batch meets, across models."""
    if len(batches) == 1:
        return [clock_before(batches[0].ts_ms, batches[0].offsets, part.clock_ms)]
    offsets = np.concatenate([b.offsets for b in batches])
    order = np.argsort(offsets, kind="stable")
    ts = np.concatenate([b.ts_ms for b in batches])
    clocks = np.empty(len(order), dtype=np.int64)
    clocks[order] = clock_before(ts[order], offsets[order], part.clock_ms)
    return np.split(clocks, np.cumsum([b.rows for b in batches])[:-1])


def _group_column(version: DictColumn, segments: dict[str, DictColumn]) -> DictColumn:
    """One code for each (version, segment values) that occurs; its string is JSON."""
    if not segments:
        names = [json.dumps([v, []]) for v in version.values] + [json.dumps(["", []])]
        return DictColumn(np.where(version.codes < 0, len(version.values), version.codes).astype(np.int32), names)
    columns = [version, *segments.values()]
    stacked = np.stack([c.codes for c in columns])
    distinct, codes = np.unique(stacked, axis=1, return_inverse=True)
    names = []
    for combo in distinct.T.tolist():
        texts = [c.values[code] if code >= 0 else "" for c, code in zip(columns, combo, strict=True)]
        pairs = [[d, t] for d, t in zip(segments, texts[1:], strict=True) if t]
        names.append(json.dumps([texts[0], pairs]))
    return DictColumn(codes.reshape(-1).astype(np.int32), names)


def _concat_waiting(batches: list[WaitingPredictions]) -> WaitingPredictions:
    return WaitingPredictions(
        model=batches[0].model,
        ids=np.concatenate([b.ids for b in batches]),
        ts_ms=np.concatenate([b.ts_ms for b in batches]),
        pane_start_ms=np.concatenate([b.pane_start_ms for b in batches]),
        group=DictColumn.concat([b.group for b in batches]),
        label=DictColumn.concat([b.label for b in batches]),
        score=np.concatenate([b.score for b in batches]),
        payload=Ragged.joined([b.payload for b in batches], [len(b.ids) for b in batches], np.uint8),
    )
