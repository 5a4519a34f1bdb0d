"""Regression on labels of any size: what is a small difference of great numbers is not lost in them, and what is too great is said."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics

from detectors import frame
from detectors.columns import Schema
from detectors.error_cells import ErrorCells
from detectors.float_cells import LEAST, MOST
from detectors.performance import WITHOUT_FOLD, PerformanceSummary
from detectors.scoring import score_performance
from detectors.target import target_drift
from detectors.univariate import AUTO
from tests.test_labelled_metrics import outcomes

REGRESSION = Schema((), (), "regression")


def summary_of(predicted, truth, weight=1):
    out = PerformanceSummary.empty(REGRESSION)
    rows = outcomes(len(truth), None, predicted, value=truth)
    rows.weight[:] = weight
    out.add(rows)
    return out


def in_pieces(predicted, truth, pieces=7):
    """Counted apart, merged through bytes, a few rows first wrong and then taken back in a summary of their own."""
    out = PerformanceSummary.empty(REGRESSION)
    for at in np.array_split(np.arange(len(truth)), pieces):
        out.merge(PerformanceSummary.from_bytes(summary_of(predicted[at], truth[at]).to_bytes(), REGRESSION))
    wrong = truth[:40] + 3.0 * truth.std()
    out.merge(summary_of(predicted[:40], wrong, -1))
    out.merge(summary_of(predicted[:40], wrong))
    return out


def scores(summary):
    return {s.name: s for s in score_performance(summary) if s.subject == "performance"}


@pytest.mark.parametrize(
    ("centre", "spread"),
    [
        (0.0, 1.0),
        (1e3, 0.1),
        (1e4, 1.0),
        (1e8, 1.0),
        (1e9, 1.0),
        (1.7e12, 1e3),
        (1.7e15, 1e5),
        (-1e9, 1.0),
        (1e-9, 1e-10),
        (1e60, 1e55),
    ],
)
def test_r2_and_its_interval_do_not_depend_on_where_the_labels_lie(centre, spread):
    rng = np.random.default_rng(1)
    y = rng.gamma(2.0, size=4000)
    y = np.round((y - y.mean()) / y.std(), 3) * spread
    error = rng.normal(0, 0.3 * spread, 4000)
    found = scores(in_pieces(centre + y + error, centre + y))
    assert found["r2"].value == pytest.approx(metrics.r2_score(centre + y, centre + y + error), rel=1e-6)
    at_zero = scores(summary_of(y + error, y))
    for name in ("r2", "r2_low", "r2_high"):
        assert found[name].value == pytest.approx(at_zero[name].value, rel=1e-4), name


def test_the_interval_of_r2_is_that_of_drawing_rows_again():
    rng = np.random.default_rng(2)
    y = 1e6 + rng.gamma(2.0, size=3000)
    predicted = y + rng.normal(0, 0.5, 3000) * (y - 1e6)
    found = scores(summary_of(predicted, y))
    drawn = []
    for _ in range(400):
        at = rng.integers(0, 3000, 3000)
        drawn.append(metrics.r2_score(y[at], predicted[at]))
    assert (found["r2_high"].value - found["r2_low"].value) / 2 / 1.96 == pytest.approx(np.std(drawn), rel=0.15)


def test_errors_beyond_the_last_cell_have_no_quantile_but_a_reason():
    rng = np.random.default_rng(3)
    y = rng.normal(0, 1e13, 500)
    found = scores(summary_of(y + rng.normal(0, 1e13, 500), y))
    assert math.isnan(found["median_absolute_error"].value) and "beyond" in str(found["median_absolute_error"].evidence["reason"])
    assert found["mae"].value == pytest.approx(1e13 * math.sqrt(2 / math.pi), rel=0.1)
    below = scores(summary_of(y * 0, rng.normal(0, 2.0**LEAST / 10, 500)))
    assert math.isfinite(below["median_absolute_error"].value)
    assert scores(summary_of(y, y))["median_absolute_error"].value == 0.0


def test_numbers_whose_squares_are_none_leave_no_metric_but_a_reason():
    rng = np.random.default_rng(4)
    y = rng.normal(size=300)
    predicted = y + rng.normal(size=300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = summary_of(np.append(predicted, [1e308, 0.0]), np.append(y, [-1e308, 1e200]))
        found = scores(summary)
        assert len(found) >= 10 and all(math.isnan(s.value) and "2 labels" in str(s.evidence["reason"]) for s in found.values())
        summary.merge(summary_of(np.array([1e308, 0.0]), np.array([-1e308, 1e200]), -1))
        again, clean = scores(summary), scores(summary_of(predicted, y))
        assert again.keys() == clean.keys()
        assert all(again[k].value == pytest.approx(clean[k].value, rel=1e-9) for k in clean)
        cells = ErrorCells.empty(REGRESSION)
        cells.add(outcomes(2, None, [1e308, 1.0], value=[-1e308, 0.0]))
        assert cells.errors.tolist() == [1.0, MOST] or sorted(cells.errors.tolist()) == [1.0, MOST]


def test_target_drift_of_great_labels_is_in_their_own_spread():
    rng = np.random.default_rng(5)
    near, far = 1e9 + rng.normal(0, 1e7, 4000), 1e9 + rng.normal(5e6, 1e7, 2000)
    found = {s.name: s for s in target_drift(summary_of(far, far), summary_of(near, near), "r", AUTO)}
    assert found["wasserstein"].value == pytest.approx(0.5, abs=0.1)
    (beyond,) = target_drift(summary_of(near * 1e6, near * 1e6), summary_of(near, near), "r", AUTO)
    assert math.isnan(beyond.value) and "beyond" in str(beyond.evidence["reason"])


def test_a_summary_that_kept_rounded_sums_opens():
    rng = np.random.default_rng(6)
    y = rng.normal(3, 1, 500)
    summary = summary_of(y + rng.normal(0, 0.5, 500), y)
    head, values, *others = frame.split(summary.to_bytes()[1:])
    confusion, names, shapes, parts, meaning = json.loads(head)[:5]
    error = summary.exact
    rounded = {
        "value": "y1",
        "value_sq": "y2",
        "value_cube": "y3",
        "value_fourth": "y4",
        "sq_error_value": "e2y1",
        "sq_error_value_sq": "e2y2",
    }
    values = np.append(np.frombuffer(values, dtype="<f8"), [float(error[name]) for name in rounded.values()])
    before = json.dumps([confusion, [*names, *rounded], shapes, parts, meaning]).encode()
    old = bytes([WITHOUT_FOLD]) + frame.join([before, values.astype("<f8").tobytes(), *others])
    opened = PerformanceSummary.from_bytes(old, REGRESSION)
    opened.merge(summary)
    assert scores(opened)["r2"].value == pytest.approx(scores(summary)["r2"].value, rel=1e-9)


@pytest.mark.parametrize("wrong", [1e4, 1e6, 1e11, 1e40])
@pytest.mark.parametrize("task", ["regression", "quantile"])
def test_a_far_label_that_is_corrected_leaves_nothing_behind(task, wrong):
    """A label in the wrong unit is taken back: every metric is that of the rows that never had it."""
    rng = np.random.default_rng(7)
    schema = Schema((), (), task, quantiles=(0.1, 0.9), vectors={"quantiles": 2} if task == "quantile" else {})
    truth, predicted = rng.normal(10.0, 3.0, 60), rng.normal(10.0, 3.0, 60)
    forecast = np.stack([predicted - 3.0, predicted + 3.0], axis=1)

    def counted(*pieces):
        whole = PerformanceSummary.empty(schema)
        for at, values, weight in pieces:
            piece = PerformanceSummary.empty(schema)
            rows = outcomes(len(at), score=predicted[at], value=values, quantiles=forecast[at])
            piece.add(dataclasses.replace(rows, weight=np.full(len(at), weight)))
            whole.merge(PerformanceSummary.from_bytes(piece.to_bytes(), schema))
        return {m.name: (m.value, m.low, m.high) for m in whole.metrics()}

    all_rows, few = np.arange(60), np.array([3, 17])
    mistaken = truth.copy()
    mistaken[few] = wrong * rng.normal(size=2)
    calm = counted((all_rows, truth, 1))
    corrected = counted((all_rows, mistaken, 1), (few, mistaken[few], -1), (few, truth[few], 1))
    assert corrected.keys() == calm.keys()
    for name, ends in calm.items():
        near = 1e-3 if name == "r2" else 1e-6  # its interval is of fourth powers
        assert corrected[name][0] == pytest.approx(ends[0], rel=1e-6) and corrected[name] == pytest.approx(
            ends, rel=near, nan_ok=True
        ), name
