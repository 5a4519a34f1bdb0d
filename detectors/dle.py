"""Performance of a regression model before labels come: direct loss estimation (DLE).

As NannyML does it: gradient boosting (LightGBM, its defaults) learns the loss of a prediction from the features and
the prediction, on the reference's labelled rows; the mean of the predicted losses over a window's rows is what its
mean absolute (squared) error will be, as long as P(label | inputs) stays.

Whether the losses can be predicted at all is asked of a fifth of the rows, by a model fitted to the others: in tenths of
them, by predicted loss, the mean predicted loss must be near the mean loss. Where it is off by more than a quarter, and by
more than chance gives so few rows, there is no estimate, but the reason. (NannyML has no such check.)

LightGBM is imported only where a model is fitted or used; its models are kept as its own text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from detectors import frame
from detectors.cbpe import NOISE
from detectors.columns import Columns, DictColumn, Floats, Outcomes

FORMAT = 3
READABLE = (1, 2, FORMAT)
PART = "dle"
LEAST_ROWS = 300
CATEGORIES = 1000
LOSSES = ("mae", "mse")
BINS = 10
LIMIT = 0.25  # of the mean absolute error, by which the predicted one may be off


@dataclass(frozen=True, slots=True)
class LossModel:
    """models: LightGBM's text by loss. spread: the standard deviation of the loss on the reference, by loss.

    skill: share of the variance of the absolute error on rows set aside that the model explains (R^2). off: how far the
    predicted absolute error is from the true one there, in tenths of the rows, relative to its mean; chance: what sampling
    alone gives. Both NaN in models of earlier releases. usual: the mean loss on the reference, by loss; {} in earlier ones.
    """

    numeric: tuple[str, ...]
    categories: dict[str, list[str]]
    models: dict[str, str]
    spread: dict[str, float]
    rows: int
    skill: float
    off: float = math.nan
    chance: float = math.nan
    usual: dict[str, float] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why there is no estimate, "" where there is one."""
        if not self.off > LIMIT + NOISE * self.chance:
            return ""
        return (
            f"the error cannot be predicted: on rows of the reference set aside the predicted absolute error is off by "
            f"{self.off:.0%} on average over tenths of them, the limit is {LIMIT:.0%}"
        )

    def matrix(self, columns: Columns) -> Floats:
        """Features and the prediction, shape (n, d + 1). A category is its number from 1 on, 0 one never seen."""
        out = np.empty((columns.rows, len(self.numeric) + len(self.categories) + 1))
        for i, feature in enumerate(self.numeric):
            out[:, i] = columns.numeric.get(feature, math.nan)
        for i, (feature, values) in enumerate(self.categories.items(), len(self.numeric)):
            column = columns.categorical.get(feature, DictColumn.missing(columns.rows))
            at = {v: float(n) for n, v in enumerate(values, 1)}
            lookup = np.array([at.get(v, 0.0) for v in column.values] + [at.get(MISSING, 0.0)])
            out[:, i] = lookup[column.codes]  # code -1 indexes the last entry
        out[:, -1] = columns.score
        return out

    def to_bytes(self) -> bytes:
        head = [
            self.numeric,
            self.categories,
            self.spread,
            self.rows,
            self.skill,
            list(self.models),
            self.off,
            self.chance,
            self.usual,
        ]
        return bytes([FORMAT]) + frame.join([json.dumps(head).encode(), *(m.encode() for m in self.models.values())])

    @staticmethod
    def from_bytes(data: bytes) -> LossModel:
        """Raises ValueError for a format that this release does not know."""
        if not data or data[0] not in READABLE:
            raise ValueError(f"loss model of format {data[:1]!r}: this release reads 1 to {FORMAT}. Upgrade driftd.")
        head, *texts = frame.split(data[1:])
        numeric, categories, spread, rows, skill, names, *errors = json.loads(head)
        models = {name: text.decode() for name, text in zip(names, texts, strict=True)}
        return LossModel(tuple(numeric), categories, models, spread, rows, skill, *errors)


MISSING = "__missing__"


def fit_loss(columns: Columns, outcomes: Outcomes) -> LossModel:
    """Of a reference's rows and the true values beside them. Raises ValueError for too few labelled rows, ImportError."""
    there = np.isfinite(outcomes.true_value) & np.isfinite(columns.score)
    if int(there.sum()) < LEAST_ROWS:
        raise ValueError(f"estimate: {int(there.sum())} labelled rows with a prediction, at least {LEAST_ROWS} are needed")
    rows = columns.take(there)
    error = columns.score[there] - outcomes.true_value[there]
    targets = {"mae": np.abs(error), "mse": error * error}
    categories = {}
    for feature, column in rows.categorical.items():
        used = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values)).tolist()
        counted = sorted(((-n, value) for n, value in zip(used, column.values, strict=True) if n))[:CATEGORIES]
        categories[feature] = sorted([value for _, value in counted] + [MISSING])
    plain = LossModel(tuple(rows.numeric), categories, {}, {}, rows.rows, 0.0)
    matrix = plain.matrix(rows)
    models = {name: _train(matrix, target, plain) for name, target in targets.items()}
    spread = {name: float(target.std()) for name, target in targets.items()}
    usual = {name: float(target.mean()) for name, target in targets.items()}
    return LossModel(plain.numeric, categories, models, spread, rows.rows, *_checked(matrix, targets["mae"], plain), usual)


def estimate_losses(model: LossModel, columns: Columns) -> dict[str, tuple[float, float]]:
    """mae, mse and rmse with the standard error of their mean over these rows. Rows without a prediction are left out."""
    import lightgbm

    rows = columns.take(np.isfinite(columns.score))
    if rows.rows == 0:
        return {}
    matrix = model.matrix(rows)
    out = {}
    for name, text in model.models.items():
        booster = lightgbm.Booster(model_str=text)
        losses = np.maximum(0.0, np.asarray(booster.predict(matrix, num_threads=1)))
        out[name] = (float(losses.mean()), float(losses.std()) / math.sqrt(rows.rows))
    mse, error = out["mse"]
    root = math.sqrt(mse)
    return {**out, "rmse": (root, error / (2.0 * root) if root > 0 else 0.0)}


def window_errors(model: LossModel, estimates: dict[str, float], rows: int) -> dict[str, float]:
    """Standard errors of the realised metrics of a window of so many rows, NannyML's: by the reference's spread."""
    mae, mse = (model.spread[name] / math.sqrt(rows) for name in LOSSES)
    rmse = estimates.get("rmse", 0.0)
    return {"mae": mae, "mse": mse, "rmse": mse / (2.0 * rmse) if rmse > 0 else math.nan}


def usual_losses(model: LossModel, sampled: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Of each loss its mean on the reference, and the standard error of the window's estimate less it (see detectors/usual.py).

    sampled: what estimate_losses found. The predicted losses' mean on the reference is the losses' own, by how boosting begins.
    """
    out = {
        name: (mean, math.hypot(sampled[name][1], model.spread[name] / math.sqrt(model.rows)))
        for name, mean in model.usual.items()
        if name in sampled
    }
    if "mse" in out and out["mse"][0] > 0:
        root = math.sqrt(out["mse"][0])
        out["rmse"] = root, out["mse"][1] / (2.0 * root)
    return out


def _train(matrix: Floats, target: Floats, plain: LossModel) -> str:
    import lightgbm

    kinds = list(range(len(plain.numeric), len(plain.numeric) + len(plain.categories)))
    data = lightgbm.Dataset(matrix, target, categorical_feature=kinds, free_raw_data=True)
    options = {
        "objective": "regression",
        "verbosity": -1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": 0,
        "num_threads": 1,
    }
    text: str = lightgbm.train(options, data, num_boost_round=100).model_to_string()
    return text


def _checked(matrix: Floats, target: Floats, plain: LossModel) -> tuple[float, float, float]:
    """Skill, off and chance (see LossModel) on a fifth of the rows, of a model fitted to the rest."""
    import lightgbm

    order = np.random.Generator(np.random.PCG64(7)).permutation(len(target))
    aside, rest = order[: len(order) // 5], order[len(order) // 5 :]
    booster = lightgbm.Booster(model_str=_train(matrix[rest], target[rest], plain))
    truth, guess = target[aside], np.maximum(0.0, np.asarray(booster.predict(matrix[aside], num_threads=1)))
    missed = truth - guess
    total = float(np.square(truth - truth.mean()).sum())
    skill = 1.0 - float(missed @ missed) / total if total > 0 else 0.0
    whole = float(truth.sum())
    if whole <= 0:
        return skill, 0.0, 0.0
    tenths = np.array_split(np.argsort(guess, kind="stable"), BINS)
    off = sum(abs(float(missed[rows].sum())) for rows in tenths) / whole
    chance = sum(0.8 * float(truth[rows].std()) * math.sqrt(len(rows)) for rows in tenths) / whole  # E|N| of a sum
    return skill, off, chance
