"""How the probabilities of all classes are calibrated, fitted to the reference's labelled rows, one class against the rest.

Each row's calibrated probabilities are divided by their sum, as NannyML does it. Beside the calibration stands what it estimates of
the reference's own rows, which a window's estimate is held against (detectors/usual.py, detectors/class_worth.py).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from detectors import frame
from detectors.cbpe import allowance, auc_spread, calibrate, expected_auc
from detectors.class_worth import product_sums
from detectors.columns import DictColumn, Floats, Ints, Matrix, Outcomes, Schema
from detectors.score_cells import CLASS_EDGES, centers_of, find_cells
from detectors.usual import auc_slopes, macro_metrics, macro_slopes

FORMAT, WITHOUT_SUMS, WITHOUT_USUAL = 3, 2, 1
CHUNK = 65_536  # rows that are looked at together
CELLS = len(CLASS_EDGES) + 1


@dataclass(frozen=True, slots=True)
class ReferenceClasses:
    """probability: shape (classes, cells), NaN in the rows of classes whose probability is used as it is.

    error, allowed: expected calibration error on rows set aside, and what sampling alone explains of it; NaN and 0 for a
    class that the labels lack. spread, share: shapes (classes,), what the standard error of ROC AUC is made of. reason:
    why nothing can be estimated, whatever the limit. usual: of each metric its estimate on these rows, and the standard deviation
    over them of what a row moves it by (detectors/usual.py). means, products: of class_worth.py. Empty in references of earlier releases.
    """

    classes: tuple[str, ...]
    rows: int
    probability: Floats
    error: Floats
    allowed: Floats
    spread: Floats
    share: Floats
    reason: str = ""
    usual: dict[str, tuple[float, float]] = field(default_factory=dict)
    means: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    products: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    @staticmethod
    def build(outcomes: Outcomes, schema: Schema) -> ReferenceClasses | None:
        """None where no row has probabilities and a label of one of the model's classes."""
        chances = outcomes.vectors.get("probabilities")
        if chances is None or chances.shape[1] != len(schema.classes):
            return None
        at = {name: i for i, name in enumerate(schema.classes)}
        table = np.array([at.get(v, -1) for v in outcomes.true_label.values] + [-1])
        true = table[outcomes.true_label.codes]
        there = (true >= 0) & ~np.isnan(chances).any(axis=1)
        if not there.any():
            return None
        chances, true = chances[there], true[there]
        k = len(schema.classes)
        cell = cells_of(chances) + np.arange(k) * CELLS
        mine = np.arange(k) == true[:, None]
        counts = np.bincount((cell + mine * (k * CELLS)).reshape(-1), minlength=2 * k * CELLS).reshape(2, k, CELLS)
        found = ReferenceClasses._fit(schema.classes, len(true), counts[0], counts[1])
        return found if found.reason else _with_usual(found, chances, outcomes.predicted_label.take(there))

    @staticmethod
    def _fit(classes: tuple[str, ...], rows: int, rest: Ints, mine: Ints) -> ReferenceClasses:
        k = len(classes)
        table = np.full((k, CELLS), math.nan)
        error, allowed, spread, share = (np.full(k, math.nan) for _ in range(4))
        reason = ""
        for j in range(k):
            found = calibrate(rest[j], mine[j], centers_of("multiclass"), math.inf)
            if found.reason and mine[j].any():
                reason = found.reason
            if found.calibrated:
                table[j] = found.probability
            error[j], allowed[j] = found.error, allowance(int(mine[j].sum()), rows)
            spread[j], share[j] = auc_spread(rest[j].astype(np.float64), mine[j].astype(np.float64))
        return ReferenceClasses(classes, rows, table, error, allowed, spread, share, reason)

    def to_bytes(self) -> bytes:
        known = np.flatnonzero(~np.isnan(self.probability[:, 0]))
        head = json.dumps([self.classes, self.rows, known.tolist(), self.reason, self.usual]).encode()
        numbers = np.stack([self.error, self.allowed, self.spread, self.share])
        arrays = (numbers, self.probability[known], self.means, self.products)
        return bytes([FORMAT]) + frame.join([head, *(a.astype("<f8").tobytes() for a in arrays)])


@lru_cache(32)
def load_classes(data: bytes) -> ReferenceClasses:
    """Raises ValueError for a format that this release does not know."""
    if not data or not WITHOUT_USUAL <= data[0] <= FORMAT:
        raise ValueError(
            f"calibration of classes of format {data[:1]!r}: this release reads {WITHOUT_USUAL} to {FORMAT}. Upgrade driftd."
        )
    head, numbers, values, *sums = frame.split(data[1:])
    classes, rows, known, reason, *others = json.loads(head)
    usual = {name: (value, sigma) for name, (value, sigma) in (others[0] if others else {}).items()}
    table = np.full((len(classes), CELLS), math.nan)
    table[known] = np.frombuffer(values, dtype="<f8").reshape(len(known), CELLS)
    error, allowed, spread, share = np.frombuffer(numbers, dtype="<f8").reshape(4, -1)
    means, products = (np.frombuffer(part, dtype="<f8").reshape(len(classes) + 1, -1) for part in sums or (b"", b""))
    return ReferenceClasses(tuple(classes), rows, table, error, allowed, spread, share, reason, usual, means, products)


def cells_of(chances: Matrix) -> Ints:
    """The cell of each probability, shape (n, classes)."""
    return find_cells(CLASS_EDGES, chances.astype(np.float64).reshape(-1)).reshape(chances.shape)


def calibrated(fit: ReferenceClasses, chances: Matrix, cell: Ints) -> Floats:
    """Each class's calibrated probability, divided by their sum; all alike where that is 0. Shape (n, classes)."""
    p: Floats = fit.probability.reshape(-1)[cell]
    raw = np.flatnonzero(np.isnan(fit.probability[:, 0]))
    p[:, raw] = np.clip(chances[:, raw], 0.0, 1.0)
    total = p.sum(axis=1, keepdims=True)
    nothing = total[:, 0] <= 0.0
    p[nothing], total[nothing] = 1.0, p.shape[1]
    p /= total
    return p


def _with_usual(fit: ReferenceClasses, chances: Matrix, predicted: DictColumn) -> ReferenceClasses:
    """The fit with `usual` and the sums of worth; of rows with probabilities, shape (n, classes), and their predicted labels."""
    k, n = len(fit.classes), len(chances)
    at = {name: i for i, name in enumerate(fit.classes)}
    row = np.array([at.get(v, k) for v in predicted.values] + [k])[predicted.codes]
    pieces = [slice(i, i + CHUNK) for i in range(0, n, CHUNK)]

    def expected(piece: slice) -> tuple[Ints, Floats]:
        cell = cells_of(chances[piece]) + np.arange(k) * CELLS
        return cell, calibrated(fit, chances[piece], cell)

    confusion, counts, mass = np.zeros((k + 1, k + 1)), np.zeros(k * CELLS), np.zeros(k * CELLS)
    products = np.zeros(())
    for piece in pieces:
        cell, p = expected(piece)
        np.add.at(confusion, row[piece], np.pad(p, ((0, 0), (0, 1))))
        products = products + product_sums(row[piece], p)
        counts += np.bincount(cell.reshape(-1), minlength=k * CELLS)
        mass += np.bincount(cell.reshape(-1), weights=p.reshape(-1), minlength=k * CELLS)
    means = confusion[:, :k] / n
    if not confusion[k].any():
        confusion = confusion[:k, :k]
    mine, rest = mass.reshape(k, CELLS), np.maximum(counts - mass, 0.0).reshape(k, CELLS)
    areas = np.array([expected_auc(*sides) for sides in zip(rest, mine, strict=True)])
    slopes = macro_slopes(confusion / n)
    of_area = np.stack([np.concatenate(side) for side in zip(*(auc_slopes(*s) for s in zip(rest, mine, strict=True)), strict=True)])
    sums = {name: np.zeros(2) for name in (*slopes, "roc_auc")}
    for piece in pieces:
        cell, p = expected(piece)
        found = {name: np.einsum("nk,nk->n", slope[row[piece], :k], p) for name, slope in slopes.items()}
        found["roc_auc"] = np.nansum(p * of_area[0][cell] + (1.0 - p) * of_area[1][cell], axis=1) / max(1, np.isfinite(areas).sum())
        for name, values in found.items():
            sums[name] += [values.sum(), np.square(values).sum()]
    metrics = macro_metrics(confusion)
    if np.isfinite(areas).any():
        metrics["roc_auc"] = float(np.nanmean(areas))
    usual = {name: (value, math.sqrt(max(0.0, sums[name][1] / n - (sums[name][0] / n) ** 2))) for name, value in metrics.items()}
    return replace(fit, usual=usual, means=means, products=products / n)
