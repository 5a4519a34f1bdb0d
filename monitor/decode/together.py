"""Batches of several partitions, decoded as one: parsing likes large pieces, partitions must stay apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import numpy as np

from monitor.events import Decoded, RawBatch


def decode_together(decode: Callable[[RawBatch], Decoded], batches: list[RawBatch]) -> list[Decoded]:
    """What `decode` makes of each batch. It sees one batch whose offsets are row numbers; they are mapped back."""
    if len(batches) == 1:
        return [decode(batches[0])]
    ends = np.cumsum([b.rows for b in batches])
    starts = ends - [b.rows for b in batches]
    rows = np.arange(int(ends[-1]), dtype=np.int64)
    values = list(chain.from_iterable(b.values for b in batches))
    times = np.concatenate([b.record_ts_ms for b in batches])
    whole = decode(RawBatch(batches[0].key, rows, times, values, len(values)))
    out = [Decoded() for _ in batches]
    for events in whole.events:
        cuts = np.searchsorted(events.offsets, ends)
        for i, (first, last) in enumerate(zip([0, *cuts.tolist()], cuts.tolist(), strict=False)):
            if last > first:
                piece = slice(first, last)
                out[i].events.append(
                    replace(
                        events,
                        offsets=batches[i].offsets[events.offsets[piece] - starts[i]],
                        ts_ms=events.ts_ms[piece],
                        ids=events.ids[piece],
                        version=events.version.take(piece),
                        segments={s: c.take(piece) for s, c in events.segments.items()},
                        columns=events.columns.take(piece),
                    )
                )
    for labels in whole.labels:
        order = np.argsort(labels.offsets, kind="stable")
        cuts = np.searchsorted(labels.offsets[order], ends)
        for i, (first, last) in enumerate(zip([0, *cuts.tolist()], cuts.tolist(), strict=False)):
            if last > first:
                chosen = order[first:last]
                out[i].labels.append(
                    replace(
                        labels,
                        offsets=batches[i].offsets[labels.offsets[chosen] - starts[i]],
                        ids=labels.ids[chosen],
                        label=labels.label.take(chosen),
                        value=labels.value[chosen],
                        label_ts_ms=labels.label_ts_ms[chosen],
                        payload=None if labels.payload is None else labels.payload.take(chosen),
                    )
                )
    for letter in whole.dead:
        i = int(np.searchsorted(ends, letter.offset, side="right"))
        out[i].dead.append(replace(letter, offset=int(batches[i].offsets[letter.offset - starts[i]])))
    return out
