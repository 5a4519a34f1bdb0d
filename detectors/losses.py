"""What each outcome costs, row by row: losses whose difference between two versions that answered the same request is one number.

    brier       (score - outcome)^2; multiclass: sum over classes of (probability - outcome)^2          (Brier 1950)
    log_loss    -log of the probability of the true class, clipped as in detectors/labelled
    mse         squared error of a regression, the error at most MOST
    value       what the pair (predicted, true) is worth by a matrix; 0 where it does not say

A row without what its loss needs has NaN.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping

import numpy as np

from detectors.columns import Floats, Outcomes, Schema
from detectors.float_cells import MOST
from detectors.labelled.multiclass import CLIP
from detectors.labelled.tally import TOLERANCE, codes_in

Worth = Mapping[str, Mapping[str, float]]  # predicted label -> true label -> money
VALUE = "value"


def loss_key(metric: str, worth: Worth) -> str:
    """What a loss is kept as: two matrices are two losses."""
    return f"{VALUE}:{zlib.crc32(json.dumps(worth, sort_keys=True).encode()):08x}" if metric == VALUE else metric


def row_loss(metric: str, outcomes: Outcomes, schema: Schema, worth: Worth) -> Floats:
    """The loss of n outcomes, shape (n,). metric: one of LOSSES."""
    return LOSSES[metric](outcomes, schema, worth)


def _of_true(outcomes: Outcomes, schema: Schema) -> tuple[Floats, Floats]:
    """The probability of each row's true class, and the sum of the squares of all; NaN where they are not known."""
    nothing = np.full(outcomes.rows, np.nan)
    if schema.task == "binary":
        chance, there = outcomes.predicted_score, outcomes.true_label.codes >= 0
        there = there & (chance >= -TOLERANCE) & (chance <= 1.0 + TOLERANCE)
        positive = codes_in(outcomes.true_label, (schema.positive_label or "",)) == 0
        of_true = np.where(there, np.where(positive, chance, 1.0 - chance), np.nan)
        return of_true, of_true**2
    chances = outcomes.vectors.get("probabilities")
    if chances is None or chances.shape[1] != len(schema.classes) or not schema.classes:
        return nothing, nothing
    place = codes_in(outcomes.true_label, schema.classes)
    of_true = np.where(place >= 0, chances[np.arange(outcomes.rows), place].astype(np.float64), np.nan)
    return of_true, (chances.astype(np.float64) ** 2).sum(axis=1)


def _brier(outcomes: Outcomes, schema: Schema, worth: Worth) -> Floats:
    of_true, squares = _of_true(outcomes, schema)
    return np.asarray(squares - 2.0 * of_true + 1.0)


def _log_loss(outcomes: Outcomes, schema: Schema, worth: Worth) -> Floats:
    return np.asarray(-np.log(np.clip(_of_true(outcomes, schema)[0], CLIP, 1.0 - CLIP)))


def _squared(outcomes: Outcomes, schema: Schema, worth: Worth) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.minimum(np.abs(outcomes.predicted_score - outcomes.true_value), MOST)
        return np.where(np.isfinite(outcomes.predicted_score), np.minimum(off * off, MOST), np.nan)


def _value(outcomes: Outcomes, schema: Schema, worth: Worth) -> Floats:
    predicted, true = outcomes.predicted_label, outcomes.true_label
    table = np.array([[worth.get(p, {}).get(t, 0.0) for t in (*true.values, "")] for p in (*predicted.values, "")])
    there = (predicted.codes >= 0) & (true.codes >= 0)
    return np.where(there, table[predicted.codes, true.codes], np.nan)


LOSSES: dict[str, Callable[[Outcomes, Schema, Worth], Floats]] = {
    "brier": _brier,
    "log_loss": _log_loss,
    "mse": _squared,
    VALUE: _value,
}
