"""Labels that came more than once: which one stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.columns import DictColumn, Ids, Ints
from detectors.ragged import Ragged
from monitor.checkpoint import ArrivedLabels
from monitor.events import LabelBatch


def last_of_each(batches: Sequence[LabelBatch | ArrivedLabels]) -> ArrivedLabels:
    """One label an id: the greatest (label_ts_ms, label, payload), whatever order they came in."""
    ids: Ids = np.concatenate([b.ids for b in batches])
    label = DictColumn.concat([b.label for b in batches])
    value = np.concatenate([b.value for b in batches])
    ts = np.concatenate([b.label_ts_ms for b in batches])
    rank = np.empty(len(label.values) + 1, dtype=np.int64)
    rank[-1] = -1
    rank[np.array(sorted(range(len(label.values)), key=label.values.__getitem__), dtype=np.int64)] = np.arange(len(label.values))
    payload = Ragged.joined([b.payload for b in batches], [len(b.label_ts_ms) for b in batches], np.uint8)
    keys = (rank[label.codes], ts, ids[:, 1], ids[:, 0])
    order = np.lexsort(keys if payload is None else (_ranks(payload), *keys))
    ordered = ids[order]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
    keep = order[last]
    return ArrivedLabels(ids[keep], ts[keep], label.take(keep), value[keep], None if payload is None else payload.take(keep))


def _ranks(payload: Ragged) -> Ints:
    """The place of each payload in the order of their bytes, as databases order them; a missing one is least."""
    found = payload.to_bytes()
    place = {text: i for i, text in enumerate(sorted({p for p in found if p is not None}))}
    return np.array([-1 if p is None else place[p] for p in found], dtype=np.int64)
