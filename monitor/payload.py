"""What a prediction must leave behind for the label that comes later, in bytes, and what the two make together.

    payload       4 bytes that name the model's classes or quantiles, then
                    multiclass   float32 probabilities, in the order of the classes
                    multilabel   a byte a class, 1 where it was predicted
                    quantile     float32 quantiles
                    ranking      the 64-bit hashes of the items, best first
    true payload  a label that is a list or an object: pairs of (hash, relevance), see monitor/decode/vectors.py

Models of other tasks leave nothing: their rows keep a fixed width. A payload that was made for other classes than
the model has now is as good as none.
"""

from __future__ import annotations

import json
import zlib

import numpy as np

from detectors.columns import Bools, Columns, DictColumn, Matrix, Schema
from detectors.ragged import Ragged
from monitor.decode.ids import hash_texts
from monitor.decode.settings import ITEMS
from monitor.decode.vectors import PAIR

MARK_BYTES = 4
TRUE_LISTS = ("multilabel", "ranking")  # tasks that need the true payload


def has_payload(schema: Schema) -> bool:
    """Whether the predictions of a model leave more than a label and a score."""
    return schema.task in ("multilabel", "quantile", "ranking") or (
        schema.task == "multiclass" and "probabilities" in schema.vectors
    )


def _mark(schema: Schema) -> np.ndarray:
    text = json.dumps([schema.task, schema.classes, schema.quantiles])
    return np.frombuffer(zlib.crc32(text.encode()).to_bytes(MARK_BYTES, "little"), dtype=np.uint8)


def pack(schema: Schema, columns: Columns) -> Ragged | None:
    """The payloads of these rows, bytes a row; None where none has one."""
    if not has_payload(schema):
        return None
    if schema.task == "ranking":
        items = columns.lists["items"]
        body = Ragged(np.where(items.lengths < 0, -1, items.lengths * 8), items.values.astype("<u8").view(np.uint8))
    else:
        found = columns.vectors[{"multiclass": "probabilities", "multilabel": "labels", "quantile": "quantiles"}[schema.task]]
        there: Bools = np.asarray(~np.isnan(found).any(axis=1))
        kind = np.uint8 if schema.task == "multilabel" else np.dtype("<f4")
        with np.errstate(invalid="ignore"):
            stored = np.ascontiguousarray(found.astype(kind)).view(np.uint8).reshape(len(found), -1)
        body = Ragged.of_rows(stored, there)
    if not (body.lengths >= 0).any():
        return None
    return _with_head(body, _mark(schema))


def _with_head(body: Ragged, head: np.ndarray) -> Ragged:
    there = body.lengths >= 0
    lengths = np.where(there, body.lengths + len(head), -1)
    out = Ragged(lengths, np.empty(int(lengths[there].sum()), dtype=np.uint8))
    in_head = out.places() < len(head)
    out.values[in_head] = np.tile(head, int(there.sum()))
    out.values[~in_head] = body.values
    return out


def _bodies(schema: Schema, payload: Ragged) -> Ragged:
    """Payloads without their mark; missing where they were made for other classes."""
    places, owners = payload.places(), payload.owners()
    right = payload.lengths >= MARK_BYTES
    for i, byte in enumerate(_mark(schema)):
        at = places == i
        right[owners[at]] &= payload.values[at] == byte
    lengths = np.where(right, payload.lengths - MARK_BYTES, -1)
    return Ragged(lengths, payload.values[right[owners] & (places >= MARK_BYTES)])


def unpack(schema: Schema, payload: Ragged, truth: Ragged, true_label: DictColumn) -> dict[str, Matrix]:
    """What performance needs of n joined rows, a matrix of n rows each, NaN where missing.

    multiclass   probabilities (n, classes)
    multilabel   labels and true_labels (n, classes), 1 where predicted or true; true_others (n, 1): true labels that
                 are no class of the model
    quantile     quantiles (n, quantiles)
    ranking      gains (n, ITEMS): the relevance of the item at each place, NaN behind the end of the list;
                 cut (n, 1): 1 where the list went on;
                 ideal (n, ITEMS): the greatest relevances, descending, 0 where there are no more; relevant (n, 1): how
                 many items are relevant
    """
    body = _bodies(schema, payload)
    if schema.task == "multiclass":
        return {"probabilities": _matrix(body, "<f4", len(schema.classes))}
    if schema.task == "quantile":
        return {"quantiles": _matrix(body, "<f4", len(schema.quantiles))}
    pairs = _pairs(truth, true_label)
    if schema.task == "multilabel":
        return {"labels": _matrix(body, "u1", len(schema.classes)), **_true_labels(pairs, schema.classes)}
    return _gains(body, pairs)


def _matrix(body: Ragged, kind: str, width: int) -> Matrix:
    fits = body.lengths == width * np.dtype(kind).itemsize
    out = np.full((body.rows, width), np.nan, dtype=np.float32)
    if fits.any():
        out[fits] = body.values[fits[body.owners()]].view(kind).reshape(-1, width)
    return out


def _pairs(truth: Ragged, true_label: DictColumn) -> Ragged:
    """(item, gain) of each label; one that is a plain string is a list of itself."""
    plain = (truth.lengths < 0) & (true_label.codes >= 0)
    size = PAIR.itemsize
    lengths = np.where(plain, 1, np.where(truth.lengths < 0, -1, truth.lengths // size))
    out = Ragged(lengths, np.empty(int(np.maximum(lengths, 0).sum()), dtype=PAIR))
    mine = plain[out.owners()]
    out.values[~mine] = truth.values.view(PAIR)
    if plain.any():
        names = hash_texts(list(true_label.values))[:, 0]
        out.values["item"][mine], out.values["gain"][mine] = names[true_label.codes[plain]], 1.0
    return out


def _true_labels(pairs: Ragged, classes: tuple[str, ...]) -> dict[str, Matrix]:
    hashes = hash_texts(list(classes))[:, 0]
    order = np.argsort(hashes)
    at = np.searchsorted(hashes[order], pairs.values["item"])
    known = hashes[order][np.minimum(at, len(hashes) - 1)] == pairs.values["item"]
    true = pairs.values["gain"] > 0
    owners = pairs.owners()
    out = np.zeros((pairs.rows, len(classes)), dtype=np.float32)
    chosen = known & true
    out[owners[chosen], order[at[chosen]]] = 1.0
    others = np.bincount(owners[~known & true], minlength=pairs.rows).astype(np.float32)[:, None]
    out[pairs.lengths < 0] = np.nan
    return {"true_labels": out, "true_others": others}


def _gains(body: Ragged, pairs: Ragged) -> dict[str, Matrix]:
    rows = body.rows
    whole = Ragged(np.where(body.lengths < 0, -1, body.lengths // 8), body.values.view("<u8"))
    items, cut = whole.head(ITEMS), (whole.lengths > ITEMS).astype(np.float32)[:, None]
    both = (items.lengths >= 0) & (pairs.lengths >= 0)
    owner = np.concatenate([items.owners(), pairs.owners()]).astype(np.uint64)
    item = np.concatenate([items.values, pairs.values["item"]])
    _, code = np.unique(np.stack([owner, item]), axis=1, return_inverse=True)
    code = code.reshape(-1)
    gain_of = np.zeros(int(code.max(initial=-1)) + 1, dtype=np.float32)
    gain_of[code[len(items.values) :]] = pairs.values["gain"]
    gains = np.full((rows, ITEMS), np.nan, dtype=np.float32)
    gains[items.owners(), items.places()] = gain_of[code[: len(items.values)]]
    order = np.lexsort((-pairs.values["gain"], pairs.owners()))
    ideal = np.zeros((rows, ITEMS), dtype=np.float32)
    places = pairs.places()
    first = places < ITEMS
    ideal[pairs.owners()[first], places[first]] = pairs.values["gain"][order][first]
    relevant = np.bincount(pairs.owners()[pairs.values["gain"] > 0], minlength=rows).astype(np.float32)[:, None]
    for matrix in (gains, ideal, relevant, cut):
        matrix[~both] = np.nan
    return {"gains": gains, "ideal": ideal, "relevant": relevant, "cut": cut}
