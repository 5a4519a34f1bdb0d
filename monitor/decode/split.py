"""Columns of all messages of a batch, whatever their model, become one batch a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors.columns import Bools, Columns, DictColumn, Floats, Ids, Ints, Matrix, Schema
from detectors.ragged import Ragged
from monitor.decode.settings import DecodeSettings
from monitor.decode.vectors import derive
from monitor.events import EventBatch

Lists = Callable[[Schema, Bools], tuple[dict[str, Matrix], dict[str, Ragged]]]  # marks rows that it cannot judge


@dataclass(slots=True)
class EventFields:
    """What a parser made of n messages: every array has shape (n,), features of all models side by side."""

    offsets: Ints
    ts_ms: Ints
    ids: Ids
    model: DictColumn
    version: DictColumn
    numeric: dict[str, Floats]
    categorical: dict[str, DictColumn]
    segments: dict[str, DictColumn]
    label: DictColumn
    score: Floats
    latency_ms: Floats
    error: Bools
    numbers: dict[str, Floats] = field(default_factory=dict)
    lists: Lists | None = None  # of one model's rows; None where no model has any


def split(fields: EventFields, bad: Bools, settings: DecodeSettings) -> list[EventBatch]:
    """A batch for each model, without the rows in `bad`; rows of unknown models are marked in it."""
    rows, model = len(bad), fields.model
    known = np.array([name in settings.models for name in model.values] + [False])
    bad |= ~known[model.codes]
    batches = []
    for code, name in enumerate(model.values):
        if name not in settings.models:
            continue
        spec = settings.models[name]
        mine = model.codes == code
        vectors: dict[str, Matrix] = {}
        lists: dict[str, Ragged] = {}
        if fields.lists is not None:
            unclear = np.zeros(rows, dtype=np.bool_)
            vectors, lists = fields.lists(spec.schema, unclear)
            bad |= mine & unclear
        keep = mine & ~bad
        whole = bool(keep.all())
        index: Any = slice(None) if whole else np.flatnonzero(keep)
        if not whole and not len(index):
            continue
        given = {n: v[index] for n, v in vectors.items()}
        label, score, vectors = derive(spec.schema, fields.label.take(index), fields.score[index], given)
        columns = Columns(
            rows=rows if whole else len(index),
            numeric={f: fields.numeric[f][index] for f in spec.schema.numeric},
            categorical={f: fields.categorical[f].take(index) for f in spec.schema.categorical},
            score=score,
            label=label,
            latency_ms=fields.latency_ms[index],
            error=fields.error[index],
            numbers={n: fields.numbers[n][index] for n in spec.schema.numbers},
            vectors=vectors,
            lists={n: v.take(index) for n, v in lists.items()},
        )
        batches.append(
            EventBatch(
                name, fields.offsets[index], fields.ts_ms[index], fields.ids[index], fields.version.take(index),
                {s: fields.segments[s].take(index) for s in spec.segments}, columns,
            )
        )  # fmt: skip
    return batches
