"""Predictions meet labels, in table `join_slot`, one row an event id, whichever half comes first.

Who inserts the second half gets the first back and counts the outcome, in the same transaction as its
offsets: so every pair is counted once, by one of the two partitions. A corrected label gives its
predecessor back too, to be retracted. The last label by (label_ts, label, value) wins, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from detectors.columns import Floats, Ints
from detectors.ragged import Ragged
from monitor.checkpoint import ArrivedLabels, JoinedRows, WaitingPredictions
from monitor.store.schema import NO_TIME
from monitor.store.terms import Terms

PREDICTION = (
    ("ts_ms", "i8"),
    ("pane_start_ms", "i8"),
    ("score", "f8"),
    ("model", "i4"),
    ("grp", "i4"),
    ("label", "i4"),
)
LABEL = (("label_ts_ms", "i8"), ("true_value", "f8"), ("true_label", "i4"))
HALVES = {"prediction": PREDICTION, "label": LABEL}
FOUND = (
    *PREDICTION, *LABEL, ("old_label_ts_ms", "i8"), ("old_true_value", "f8"), ("old_true_label", "i4"),
)  # fmt: skip

WIDE = "_wide"  # the name of the table that rows with a payload come in by ends so
PAYLOADS = ("payload", "true_payload", "old_true_payload")  # what some tasks need beside, bytes or null
SENT = {"prediction": PAYLOADS[0], "label": PAYLOADS[1]}  # by each half

_INSERT_PREDICTION = """
INSERT INTO join_slot AS js (id, {prediction},
  label_ts_ms, true_value, true_label, old_label_ts_ms, old_true_value, old_true_label)
SELECT id, {prediction}, {no_time}, {nan}, 0, {no_time}, {nan}, 0 FROM incoming_prediction{wide} WHERE true
ON CONFLICT (id) DO UPDATE SET {set_prediction} WHERE js.ts_ms = {no_time}
RETURNING {found}"""

_INSERT_LABEL = """
INSERT INTO join_slot AS js (id, {label},
  ts_ms, pane_start_ms, score, model, grp, label, old_label_ts_ms, old_true_value, old_true_label)
SELECT id, {label}, {no_time}, 0, {nan}, 0, 0, 0, {no_time}, {nan}, 0
FROM incoming_label{wide} WHERE true
ON CONFLICT (id) DO UPDATE SET {set_label}
WHERE excluded.label_ts_ms > js.label_ts_ms OR (excluded.label_ts_ms = js.label_ts_ms AND (
  (excluded.true_label <> js.true_label AND coalesce((SELECT text FROM term WHERE id = excluded.true_label), '')
    > coalesce((SELECT text FROM term WHERE id = js.true_label), ''))
  OR (excluded.true_label = js.true_label AND excluded.true_value > js.true_value){greater_payload}))
RETURNING {found}"""
_GREATER_PAYLOAD = """
  OR (excluded.true_label = js.true_label AND excluded.true_payload IS NOT NULL
    AND (js.true_payload IS NULL OR excluded.true_payload > js.true_payload))"""


@dataclass(frozen=True, slots=True)
class Slots:
    """Rows of join_slot that have both halves, as columns of shape (n,)."""

    columns: dict[str, npt.NDArray[Any]]
    payloads: dict[str, Ragged] = field(default_factory=dict)  # by the names in PAYLOADS, none where nobody asked

    @property
    def rows(self) -> int:
        return len(self.columns["ts_ms"])


class JoinTable(Protocol):
    """The two databases' way to exchange many rows at once; see join_postgres.py and join_sqlite.py.

    Made with those of PAYLOADS that are exchanged: what is stored of others is not read. payload: of each row, None where none is sent.
    """

    def predictions(self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None) -> Slots: ...
    def labels(self, ids: npt.NDArray[np.uint64], columns: dict[str, npt.NDArray[Any]], payload: Ragged | None) -> Slots: ...


def by_id(ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Row numbers in the order of ids, the first row of each id only: all writers lock in one order."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    ordered = ids[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    kept: npt.NDArray[np.intp] = order[first]
    return kept


def prediction_columns(waiting: WaitingPredictions, terms: Terms) -> dict[str, npt.NDArray[Any]]:
    return {
        "ts_ms": waiting.ts_ms,
        "pane_start_ms": waiting.pane_start_ms,
        "score": waiting.score,
        "model": np.full(len(waiting.ts_ms), terms.code(waiting.model), dtype=np.int32),
        "grp": terms.codes(waiting.group),
        "label": terms.codes(waiting.label),
    }


def label_columns(labels: ArrivedLabels, terms: Terms) -> dict[str, npt.NDArray[Any]]:
    return {"label_ts_ms": labels.label_ts_ms, "true_value": labels.value, "true_label": terms.codes(labels.label)}


def joined(slots: Slots, terms: Terms, wait_ms: dict[str, int], corrects: bool) -> tuple[list[JoinedRows], int]:
    """The outcomes to add and to retract, by model, and how many labels came after their model's wait.

    corrects: labels completed these rows, so an older label of theirs was counted and is retracted.
    """
    out: list[JoinedRows] = []
    expired = 0
    if slots.rows == 0:
        return out, 0
    for code in np.unique(slots.columns["model"]).tolist():
        model = terms.text(code)
        mine = np.flatnonzero(slots.columns["model"] == code)
        columns = {name: values[mine] for name, values in slots.columns.items()}
        payloads = {name: rows.take(mine) for name, rows in slots.payloads.items()}
        wait = wait_ms.get(model, 2**62)
        pieces = []
        for prefix, sign in (("old_", -1), ("", 1)) if corrects else (("", 1),):
            ts = columns[prefix + "label_ts_ms"]
            there = ts > NO_TIME
            in_time = there & (np.where(there, ts, 0) - columns["ts_ms"] <= wait)
            if sign > 0:
                expired += int((there & ~in_time).sum())
            rows = np.flatnonzero(in_time)
            if len(rows):
                pieces.append(_rows(model, columns, payloads, prefix, rows, sign, terms))
        out.extend(pieces)
    return out, expired


def _rows(
    model: str,
    columns: dict[str, npt.NDArray[Any]],
    payloads: dict[str, Ragged],
    prefix: str,
    rows: npt.NDArray[np.intp],
    sign: int,
    terms: Terms,
) -> JoinedRows:
    score: Floats = columns["score"][rows]
    ts: Ints = columns["ts_ms"][rows]
    return JoinedRows(
        model=model,
        pane_start_ms=columns["pane_start_ms"][rows],
        ts_ms=ts,
        label_ts_ms=columns[prefix + "label_ts_ms"][rows],
        group=terms.column(columns["grp"][rows]),
        predicted_label=terms.column(columns["label"][rows]),
        predicted_score=score,
        true_label=terms.column(columns[prefix + "true_label"][rows]),
        true_value=columns[prefix + "true_value"][rows],
        weight=np.full(len(rows), sign, dtype=np.int64),
        payload=payloads[PAYLOADS[0]].take(rows) if payloads else None,
        true_payload=payloads[prefix + PAYLOADS[1]].take(rows) if PAYLOADS[1] in payloads else None,
    )


def statements(nan: str, payloads: tuple[str, ...]) -> dict[str, str]:
    """The two upserts by half; nan is how the database writes a missing number, payloads what is exchanged of PAYLOADS."""
    prediction, label = ([*(n for n, _ in half), *(p for p in payloads if p == SENT[kind])] for kind, half in HALVES.items())
    old = [f"old_{n} = js.{n}" for n in label]
    words = {
        "prediction": ", ".join(prediction),
        "label": ", ".join(label),
        "set_prediction": ", ".join(f"{n} = excluded.{n}" for n in prediction),
        "set_label": ", ".join([*old, *(f"{n} = excluded.{n}" for n in label)]),
        "found": ", ".join([*(n for n, _ in FOUND), *payloads]),
        "greater_payload": _GREATER_PAYLOAD if SENT["label"] in payloads else "",
        "no_time": str(NO_TIME),
        "nan": nan,
    }
    texts = {"prediction": _INSERT_PREDICTION, "label": _INSERT_LABEL}
    return {kind: text.format(**words, wide=WIDE if SENT[kind] in payloads else "") for kind, text in texts.items()}


def batches(rows: int, size: int = 100_000) -> Iterator[slice]:
    for at in range(0, rows, size):
        yield slice(at, at + size)
