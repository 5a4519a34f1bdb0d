"""The domain classifier: can a model tell the window's rows from the reference's?

Gradient boosting (scikit-learn's HistGradientBoosting) is asked, in five folds, which of two samples a row is of;
the area under its ROC curve is 0.5 where nobody can tell. Its limit is calibrated by asking the same of samples whose
rows were dealt out anew: their areas' mean and spread give the p-value, by Student's distribution. Six of them say little of the spread,
so it is drawn to what it is as a rule, 1.35 times that of a classifier that knows nothing: folds share their rows.

The odds that it gives are also the ratio of the two densities, by which reference rows stand for the window's
(Bickel, Bruckner, Scheffer 2009): the weights of performance estimated by importance weighting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from detectors.columns import Bools, Columns, DictColumn, Floats

FOLDS = 5
SHUFFLES = 6
USUAL_SPREAD, USUAL_WEIGHT = 1.35, 10  # times Mann-Whitney's, and as many degrees of freedom as that is trusted with
SEED = 16
LEAST_ROWS = 100
RARE = 20.0  # no row of the reference stands for more than this many times its share


@dataclass(frozen=True, slots=True)
class Domain:
    """auc of the classifier, the null's mean and spread, the p-value, and each reference row's weight (mean 1)."""

    auc: float
    null_mean: float
    null_std: float
    p: float
    weights: Floats


def matrix_of(rows: Columns) -> tuple[Floats, Bools]:
    """Features as one matrix, shape (n, d), and which of its columns are categories (as whole numbers)."""
    texts = list(rows.categorical.values())
    width = len(rows.numeric) + len(texts)
    out = np.empty((rows.rows, width))
    for i, values in enumerate(rows.numeric.values()):
        out[:, i] = np.where(np.isfinite(values), values, math.nan)
    for i, column in enumerate(texts, len(rows.numeric)):
        out[:, i] = _common(column)
    kinds = np.zeros(width, dtype=np.bool_)
    kinds[len(rows.numeric) :] = True
    return out, kinds


def _common(column: DictColumn, limit: int = 250) -> Floats:
    """Categories as numbers, the most frequent ones apart, the rest together; missing is NaN."""
    used = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
    rank = np.argsort(np.argsort(-used, kind="stable"), kind="stable")
    lookup = np.append(np.minimum(rank, limit).astype(np.float64), math.nan)
    out: Floats = lookup[column.codes]
    return out


def compare(reference: Columns, window: Columns, shuffles: int = SHUFFLES) -> Domain:
    """Of two samples with the same features. Raises ValueError for fewer than LEAST_ROWS rows of either, ImportError."""
    if min(reference.rows, window.rows) < LEAST_ROWS:
        raise ValueError(f"{reference.rows} rows of the reference and {window.rows} of the window, {LEAST_ROWS} each are needed")
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # many threads on few rows wait for each other
        return _compare(reference, window, shuffles)


def _compare(reference: Columns, window: Columns, shuffles: int) -> Domain:
    both = Columns.concat([reference, window])
    matrix, kinds = matrix_of(both)
    truth = np.repeat([0, 1], [reference.rows, window.rows])
    chance = _folds(matrix, kinds, truth)
    rng = np.random.Generator(np.random.PCG64(SEED))
    null = [_auc(dealt, _folds(matrix, kinds, dealt)) for dealt in (rng.permutation(truth) for _ in range(shuffles))]
    n, m = reference.rows, window.rows
    floor = math.sqrt((n + m + 1) / (12.0 * n * m))  # of a classifier that knows nothing (Mann-Whitney)
    usual = USUAL_SPREAD * floor
    std = math.sqrt((USUAL_WEIGHT * usual**2 + (shuffles - 1) * float(np.var(null, ddof=1))) / (USUAL_WEIGHT + shuffles - 1))
    mean, std = float(np.mean(null)), max(std, floor)
    auc = _auc(truth, chance)
    out = (auc - mean) / (std * math.sqrt(1.0 + 1.0 / shuffles))  # the null's mean is of few draws too
    odds = np.clip(chance[:n] / np.maximum(1.0 - chance[:n], 1e-6) * n / m, 0.0, RARE)
    weights = odds / odds.mean() if odds.sum() > 0 else np.ones(n)
    return Domain(auc, mean, std, float(stdtr(USUAL_WEIGHT + shuffles - 1, -out)), weights)


def _folds(matrix: Floats, kinds: Bools, truth: np.ndarray) -> Floats:
    """The chance of each row to be of the window, from models that never saw it."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    model = HistGradientBoostingClassifier(
        max_iter=40, learning_rate=0.15, max_leaf_nodes=15, categorical_features=kinds, early_stopping=False, random_state=SEED
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    out: Floats = cross_val_predict(model, matrix, truth, cv=folds, method="predict_proba")[:, 1]
    return out


def _auc(truth: np.ndarray, chance: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, chance))
