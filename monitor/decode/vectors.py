"""The parts of an event that are lists: probabilities, quantiles, predicted labels, ranked items, the embedding.

`exact` reads them from one JSON value, and raises Refused; monitor/decode/fast_vectors.py reads many at once and
leaves to it what it cannot judge. `derive` fills in what follows from them, the same for every way that events come.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from detectors.columns import Bools, DictColumn, Floats, Matrix, Schema
from detectors.ragged import Ragged
from detectors.sample import LIST_TYPES
from detectors.sample import PART as SAMPLE
from monitor.decode import values
from monitor.decode.ids import hash_texts
from monitor.decode.settings import ITEMS, LABEL_ITEMS, LIST_FIELDS, SUM_TOLERANCE, VECTOR_FIELDS
from monitor.decode.values import Refused

RANGE_TOLERANCE = 1e-6  # a probability may be so far below 0 or above 1
GREATEST = float(np.finfo(np.float32).max)
PAIR = np.dtype([("item", "<u8"), ("gain", "<f4")])


def quantile_names(schema: Schema) -> tuple[str, ...]:
    """The keys of prediction.quantiles."""
    return tuple(f"{q:g}" for q in schema.quantiles)


def place_of(name: str) -> tuple[str, ...]:
    """Where a vector or a list stands in the event."""
    return VECTOR_FIELDS.get(name) or LIST_FIELDS[name]


def without_lists(schema: Schema, bad: Bools) -> tuple[dict[str, Matrix], dict[str, Ragged]]:
    """The vectors and lists of rows that have none."""
    rows = len(bad)
    vectors = {name: np.full((rows, length), np.nan, dtype=np.float32) for name, length in schema.vectors.items()}
    return vectors, {name: Ragged.missing(rows, LIST_TYPES[name]) for name in lists_of(schema)}


def places(event: dict[str, Any], prediction: dict[str, Any], schema: Schema) -> Iterable[tuple[str, Any]]:
    """(field, its JSON value) for the vectors and lists of a schema."""
    for name in (*schema.vectors, *lists_of(schema)):
        path = place_of(name)
        yield name, (prediction if path[0] == "prediction" else event).get(path[-1])


def lists_of(schema: Schema) -> tuple[str, ...]:
    """The ragged fields of a schema: scores of items only where its sample of rows keeps them."""
    scored = "item_scores" in schema.parts.get(SAMPLE, {}).get("lists", ())
    return () if schema.task != "ranking" else ("items", "item_scores") if scored else ("items",)


def exact(name: str, value: Any, schema: Schema, lenient: bool) -> Any:
    """One field of one event: floats of the schema's length, strings of a list, or None where missing."""
    if value is None:
        return None
    if name == "probabilities":
        return _probabilities(value, schema, lenient)
    if name == "quantiles":
        found = value
        if isinstance(value, dict):
            lacking = [q for q in quantile_names(schema) if value.get(q) is None]
            if lacking:
                raise Refused(
                    "wrong_type", f"prediction.quantiles names no {', '.join(lacking)}; the model's quantiles are all needed"
                )
            found = [value[q] for q in quantile_names(schema)]
        return vector(found, len(schema.quantiles), "prediction.quantiles", lenient)
    if name == "embedding":
        return vector(value, schema.vectors[name], "embedding", lenient)
    if name == "item_scores":
        found = vector(value, len(value) if isinstance(value, list) else 0, "prediction.item_scores", lenient)
        return None if found is None else found[: ITEMS + 1]
    texts = strings(value, f"prediction.{name}")
    if name == "items":
        if len(set(texts)) < len(texts):
            twice = next(t for i, t in enumerate(texts) if t in texts[:i])
            raise Refused("wrong_type", f"prediction.items names {twice[:100]!r} twice; a ranked list has each item once")
        return texts[: ITEMS + 1]
    unknown = [t for t in texts if t not in schema.classes]
    if unknown:
        raise Refused("wrong_type", f"prediction.labels holds {unknown[0][:100]!r}, which is not among the model's classes")
    return [float(c in texts) for c in schema.classes]


def vector(value: Any, length: int, name: str, lenient: bool) -> list[float] | None:
    """A list of that many numbers. None where one is NaN and that counts as missing."""
    if not isinstance(value, list):
        raise Refused("wrong_type", f"{name} is {values.kind(value)}, must be a list of {length} numbers")
    if len(value) != length:
        raise Refused("wrong_type", f"{name} has {len(value)} numbers, must have {length}")
    if None in value:
        raise Refused("wrong_type", f"{name} holds null, must hold numbers only")
    out = [values.number(v, name, lenient) for v in value]
    if any(abs(v) > GREATEST for v in out):
        raise Refused("non_finite", f"{name} holds a number beyond {GREATEST:.3g}")
    return None if any(math.isnan(v) for v in out) else out


def _probabilities(value: Any, schema: Schema, lenient: bool) -> list[float] | None:
    """Of all classes; one that the object does not name has none."""
    name = "prediction.probabilities"
    named = isinstance(value, dict)
    found = [0.0 if value.get(c) is None else value[c] for c in schema.classes] if named else value
    out = vector(found, len(schema.classes), name, lenient)
    if out is None:
        return None
    if not all(-RANGE_TOLERANCE <= p <= 1.0 + RANGE_TOLERANCE for p in out):
        raise Refused("wrong_type", f"{name} holds {next(p for p in out if not 0 <= p <= 1)}, must lie between 0 and 1")
    if schema.task == "multiclass" and abs(sum(out) - 1.0) > SUM_TOLERANCE:
        unknown = [c for c in value if c not in schema.classes] if named else []
        of = f"; {unknown[0][:100]!r} is not among the model's classes" if unknown else ""
        raise Refused("wrong_type", f"{name} sums to {sum(out):.3g} over the model's classes, must be 1 within {SUM_TOLERANCE}{of}")
    return out


def strings(value: Any, name: str) -> list[str]:
    """A list of strings, numbers as they are written."""
    if not isinstance(value, list):
        raise Refused("wrong_type", f"{name} is {values.kind(value)}, must be a list of strings")
    out = []
    for item in value:
        text = values.text(item, name)
        if text is None:
            raise Refused("wrong_type", f"{name} holds null, must hold strings only")
        out.append(text)
    return out


def label_pairs(value: Any) -> bytes:
    """A label that is a list of classes or items, or an object of items and their relevance: canonical bytes.

    Pairs of (hash, relevance) in the order of hashes, so that equal labels are equal bytes. Raises Refused.
    """
    if len(value) > LABEL_ITEMS:
        raise Refused("wrong_type", f"label holds {len(value)} items, at most {LABEL_ITEMS} are allowed")
    if isinstance(value, dict):
        names = strings(list(value), "label")
        gains = [values.number(v, f"label.{k[:100]}") for k, v in value.items()]
        if any(not 0.0 <= g <= GREATEST for g in gains):
            raise Refused("wrong_type", "label: the relevance of an item must be a number from 0 up")
    else:
        names = sorted(set(strings(value, "label")))
        gains = [1.0] * len(names)
    pairs = np.empty(len(names), dtype=PAIR)
    pairs["item"], pairs["gain"] = hash_texts(names)[:, 0], gains
    return np.sort(pairs, order="item").tobytes()


def check_together(fields: list[Any], schema: Schema) -> None:
    """fields: of one event, as places() names them. Raises Refused where scores of items are not as many as the items."""
    lists = lists_of(schema)
    if len(lists) == 2 and fields[-1] is not None:
        items = fields[-2] or ()
        if len(items) != len(fields[-1]):
            raise Refused(
                "wrong_type", f"prediction.item_scores has {len(fields[-1])} numbers, prediction.items {len(items)} items"
            )


def columns_of(rows: list[list[Any]], names: list[str], schema: Schema) -> tuple[dict[str, Matrix], dict[str, Ragged]]:
    """Vectors and lists of rows that `exact` read; rows[i][j] is field names[j] of row i."""
    vectors: dict[str, Matrix] = {}
    lists: dict[str, Ragged] = {}
    for j, name in enumerate(names):
        column = [row[j] for row in rows]
        if name in schema.vectors:
            matrix = np.full((len(rows), schema.vectors[name]), np.nan, dtype=np.float32)
            there = [i for i, v in enumerate(column) if v is not None]
            if there:
                matrix[there] = [column[i] for i in there]
            vectors[name] = matrix
        else:
            lengths = np.array([-1 if v is None else len(v) for v in column], dtype=np.int64)
            flat = [item for v in column if v is not None for item in v]
            lists[name] = Ragged(lengths, hash_texts(flat)[:, 0].copy() if name == "items" else np.array(flat, dtype=np.float64))
    return vectors, lists


def derive(
    schema: Schema, label: DictColumn, score: Floats, vectors: dict[str, Matrix]
) -> tuple[DictColumn, Floats, dict[str, Matrix]]:
    """The predicted class and its probability where only probabilities came, and their like for the other tasks."""
    if not vectors:
        return label, score, vectors
    if schema.task == "multiclass" and "probabilities" in vectors:
        return *_most_likely(schema, label, score, vectors["probabilities"]), vectors
    if schema.task == "multilabel" and "probabilities" in vectors:
        chances, labels = vectors["probabilities"], vectors["labels"]
        lacking = np.isnan(labels[:, 0]) & ~np.isnan(chances[:, 0])
        if lacking.any():
            labels = np.where(lacking[:, None], (chances >= 0.5).astype(np.float32), labels)
        return label, score, {**vectors, "labels": labels}
    if schema.task == "quantile" and "quantiles" in vectors:
        middle = int(np.argmin(np.abs(np.array(schema.quantiles) - 0.5)))
        score = np.where(np.isnan(score), vectors["quantiles"][:, middle].astype(np.float64), score)
    return label, score, vectors


def _most_likely(schema: Schema, label: DictColumn, score: Floats, chances: Matrix) -> tuple[DictColumn, Floats]:
    there = ~np.isnan(chances[:, 0])
    lacks = there & (label.codes < 0)
    if lacks.any():
        table = [*label.values, *(c for c in schema.classes if c not in label.values)]
        code_of = np.array([table.index(c) for c in schema.classes], dtype=np.int32)
        codes = label.codes.copy()
        codes[lacks] = code_of[np.argmax(chances[lacks], axis=1)]
        label = DictColumn(codes, table)
    lacks = there & np.isnan(score) & (label.codes >= 0)
    if lacks.any():
        place = np.array([schema.classes.index(v) if v in schema.classes else -1 for v in label.values], dtype=np.int64)
        rows = np.flatnonzero(lacks)
        at = place[label.codes[rows]]
        rows, at = rows[at >= 0], at[at >= 0]
        score = score.copy()
        score[rows] = chances[rows, at]
    return label, score
