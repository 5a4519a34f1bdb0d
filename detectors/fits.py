"""What is fitted to a reference when it is built, by name: bytes in Profile.extras, read by the parts and scores that need it.

A fit is a function of the reference's rows, of the labels that stand beside them (None where there are none), and of
the schema, whose `parts` hold the options. It returns None where there is nothing to fit, and raises ValueError with
the reason where the rows will not do.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from detectors.class_calibration import ReferenceClasses
from detectors.class_cells import PART as CLASS_CELLS
from detectors.columns import Columns, Outcomes, Schema
from detectors.dle import PART as LOSS
from detectors.dle import fit_loss
from detectors.error_cells import PART as ERROR_CELLS
from detectors.error_cells import ErrorCells
from detectors.feature_errors import NAME as FEATURE_ERRORS
from detectors.feature_errors import fit_feature_errors
from detectors.mask import hidden_columns
from detectors.multivariate import PART as MULTIVARIATE
from detectors.multivariate import fit
from detectors.outliers import PART as OUTLIERS
from detectors.outliers import fit_outliers
from detectors.relevance import relevances
from detectors.sample import PART as SAMPLE
from detectors.sample import PREDICTION, RowSample, numbered
from detectors.score_cells import PART as SCORE_CELLS
from detectors.score_cells import ReferenceCells

TRUTH = "sample_truth"
Fit = Callable[[Columns, Outcomes | None, Schema], bytes | None]


def _sample(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    """Some of the reference's rows, where the config keeps samples of rows."""
    if SAMPLE not in schema.parts:
        return None
    sample = RowSample.empty(schema)
    sample.add(numbered(columns))
    return sample.to_bytes()


def _score_cells(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    if outcomes is None or SCORE_CELLS not in schema.parts:
        return None
    cells = ReferenceCells.build(outcomes, schema)
    return None if cells is None else cells.to_bytes()


def _class_cells(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    if outcomes is None or CLASS_CELLS not in schema.parts:
        return None
    classes = ReferenceClasses.build(outcomes, schema)
    return None if classes is None else classes.to_bytes()


def _multivariate(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    options = schema.parts.get(MULTIVARIATE)
    return None if options is None else fit(columns, options)


def _error_cells(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    if outcomes is None or ERROR_CELLS not in schema.parts:
        return None
    cells = ErrorCells.empty(schema)
    cells.add(outcomes)
    return cells.to_bytes() if len(cells.keys) else None


def _feature_errors(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    return fit_feature_errors(columns, outcomes, schema) if ERROR_CELLS in schema.parts else None


def _truth(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    """The labels of the rows of the sample, as JSON: a class, a number, what relevances() says of a ranked list, or null."""
    if SAMPLE not in schema.parts or outcomes is None:
        return None
    sample = RowSample.empty(schema)
    rows = numbered(columns)
    sample.add(rows)
    assert rows.ids is not None and sample.kept is not None and sample.kept.ids is not None
    wanted = np.flatnonzero(np.isin(rows.ids[:, 0], sample.kept.ids[:, 0]))
    at = {tuple(rows.ids[i].tolist()): i for i in wanted.tolist()}
    index = np.array([at[tuple(key)] for key in sample.kept.ids.tolist()], dtype=np.int64)
    found = outcomes.take(index)
    if schema.task == "ranking":
        return json.dumps(relevances(found.vectors)).encode()
    if schema.task in ("regression", "quantile"):
        return json.dumps([v if math.isfinite(v) else None for v in found.true_value.tolist()]).encode()
    return json.dumps(found.true_label.to_list()).encode()


def _loss(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    """What DLE needs: a model of the loss, where the config keeps samples to use it on and LightGBM is installed. It reads what the
    samples hold: nothing that is masked."""
    wanted = schema.task == "regression" and outcomes is not None and schema.parts.get(SAMPLE, {}).get("estimate", False)
    if not wanted or importlib.util.find_spec("lightgbm") is None:
        return None
    assert outcomes is not None
    hidden = hidden_columns(schema)
    if PREDICTION in hidden:
        return None
    numeric = {f: v for f, v in columns.numeric.items() if f not in hidden}
    categorical = {f: v for f, v in columns.categorical.items() if f not in hidden}
    return fit_loss(replace(columns, numeric=numeric, categorical=categorical), outcomes).to_bytes()


def _outliers(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> bytes | None:
    options = schema.parts.get(OUTLIERS)
    return None if options is None else fit_outliers(columns, options["quantile"])


FITS: dict[str, Fit] = {
    OUTLIERS: _outliers,
    ERROR_CELLS: _error_cells,
    FEATURE_ERRORS: _feature_errors,
    SAMPLE: _sample,
    SCORE_CELLS: _score_cells,
    CLASS_CELLS: _class_cells,
    MULTIVARIATE: _multivariate,
    TRUTH: _truth,
    LOSS: _loss,
}


def fit_all(columns: Columns, outcomes: Outcomes | None, schema: Schema) -> dict[str, bytes]:
    """The extras of a reference. outcomes, where there are any, stand row by row beside columns."""
    found = {name: make(columns, outcomes, schema) for name, make in FITS.items()}
    return {name: data for name, data in found.items() if data is not None}
