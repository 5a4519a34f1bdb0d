"""A file of the items that a model recommends and what they are like, for `driftd reference build --items`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.catalogue import Catalogue
from detectors.columns import DictColumn
from monitor.config.model import ModelSettings
from monitor.decode.ids import hash_texts
from monitor.evidently_names import item_columns
from monitor.tabular import names_of, read_batches
from monitor.tabular_lists import FileProblem
from monitor.torn_rows import torn

ITEM_ID = "item_id"


def wanted_columns(settings: ModelSettings) -> list[str]:
    """The features of items that the config's metrics of Evidently name."""
    return sorted({name for m in settings.evidently for name in item_columns(m.metric, m.options)})


def read_items(path: Path, features: list[str]) -> Catalogue:
    """A row an item: its name as events have it in item_id, and a column a feature, numbers or strings. Raises FileProblem."""
    there = names_of(path)
    for column in (ITEM_ID, *features):
        if column not in there:
            raise FileProblem(f"{path}: no column {column!r}; it has {', '.join(sorted(there)[:40])}")
    batches, at = list[pa.RecordBatch](), 0
    for batch in read_batches(path, [ITEM_ID, *features])[0]:
        for row, why in torn(batch).items():
            raise FileProblem(f"{path}: row {at + row + 1}: {why}")
        batches.append(batch.select([ITEM_ID, *features]))
        for mine, known in zip(batches[-1].schema, batches[0].schema, strict=True):
            if mine.type != known.type:
                raise FileProblem(f"{path}: row {at + 1}: {mine.name} is {mine.type}, must be {known.type} as in the rows before")
        at += batch.num_rows
    table = pa.Table.from_batches(batches)
    names: list[Any] = table.column(ITEM_ID).cast(pa.string()).to_pylist()
    if None in names:
        raise FileProblem(f"{path}: row {names.index(None) + 1} has no {ITEM_ID}")
    numeric, categorical = {}, {}
    for feature in features:
        column = table.column(feature)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values = column.cast(pa.float64(), safe=False).to_numpy()
            numeric[feature] = np.where(np.isfinite(values), values, np.nan)
        else:
            categorical[feature] = DictColumn.from_list(column.cast(pa.string()).to_pylist())
    try:
        return Catalogue.build(hash_texts(names)[:, 0].copy(), names, numeric, categorical)
    except ValueError as error:
        raise FileProblem(f"{path}: {error}") from error
