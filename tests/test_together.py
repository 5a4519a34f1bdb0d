"""Means over classes are as wide as their classes scatter together: against the bootstrap of rows, and by simulation."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from detectors.columns import Schema
from detectors.labelled.curves import Placements, moderated_errors, roc_auc
from detectors.labelled.intervals import Z
from detectors.labelled.together import Rows, rows_of
from detectors.outcome_sample import PART
from detectors.performance import PerformanceSummary
from monitor.config import parse_config
from monitor.parts import parts_of
from tests.test_class_calibration_metrics import CASES, TAGS, multiclass, multilabel
from tests.test_labelled_metrics import CLASSES, MULTI

KEPT = {PART: {"rows": 200}}
NAMES = {
    "multiclass": ("roc_auc", "roc_auc_weighted", "roc_auc_ovo", "brier_resolution", "brier_reliability", "classwise_ece"),
    "multilabel": ("macro_f1", "brier_uncertainty", "brier_resolution", "brier_reliability", "classwise_ece"),
}


def with_times(rows):
    times = 1_700_000_000_000 + np.arange(rows.rows)
    return replace(rows, ts_ms=times, label_ts_ms=times + 1000)


def summary_of(schema, rows, kept=True):
    out = PerformanceSummary.empty(replace(schema, parts=KEPT) if kept else schema)
    out.add(with_times(rows))
    return out


def metrics_of(schema, rows, kept=True):
    return {m.name: m for m in summary_of(schema, rows, kept).metrics()}


@lru_cache
def true_values(task, power):
    schema, sample = CASES[task]
    return metrics_of(schema, sample(np.random.default_rng(1), 500_000, power)[0], kept=False)


@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize("power", [1.0, 1.6])
@pytest.mark.parametrize("task", CASES)
def test_means_over_classes_hold_as_often_as_they_say_and_are_as_wide_as_they_scatter(task, power, n):
    """What is a norm has to reach from the value to what is left of it without chance, which is farther than it scatters."""
    schema, sample = CASES[task]
    rng, truth = np.random.default_rng(29), true_values(task, power)
    found = [metrics_of(schema, sample(rng, n, power)[0]) for _ in range(120)]
    for name in NAMES[task]:
        held = np.mean([m[name].low <= truth[name].value <= m[name].high for m in found])
        assert 0.9 <= held, (name, held)  # 95 % less three standard errors
        values = [m[name].value for m in found]
        scatter = np.subtract(*np.quantile(values, [0.975, 0.025]))
        biased = max(0.0, np.mean(values) - truth[name].value) if name.startswith(("brier_re", "classwise")) else 0.0
        width = np.mean([m[name].high - m[name].low for m in found])
        assert width < (1.5 if n == 50 else 1.3) * scatter + 2.0 * biased, (name, width / scatter, biased / scatter)
        if name.startswith(("roc_auc", "macro", "brier_unc")):
            assert 0.8 * scatter < width, (name, width / scatter)


def drawn(values, true, chances, times=120):
    rng = np.random.default_rng(5)
    at = (rng.integers(0, len(true), len(true)) for _ in range(times))
    return np.std([values(true[rows], chances[rows]) for rows in at], ddof=1)


def test_the_mean_areas_error_is_that_of_a_bootstrap_of_rows():
    rows, chances, true = multiclass(np.random.default_rng(8), 900)
    found, wide = metrics_of(MULTI, rows), metrics_of(MULTI, rows, kept=False)
    chances = chances / chances.sum(axis=1, keepdims=True)
    for name, average, way in (
        ("roc_auc", "macro", "ovr"),
        ("roc_auc_weighted", "weighted", "ovr"),
        ("roc_auc_ovo", "macro", "ovo"),
    ):
        error = drawn(lambda t, p, a=average, w=way: roc_auc_score(t.argmax(axis=1), p, average=a, multi_class=w), true, chances)
        width = found[name].high - found[name].low
        assert width == pytest.approx(2 * Z * error, rel=0.2), name
        assert wide[name].high - wide[name].low > 1.1 * width, "as if the classes erred together"


def test_the_mean_f1s_error_is_that_of_a_bootstrap_of_rows():
    rows, chances, true = multilabel(np.random.default_rng(8), 900)
    found = metrics_of(TAGS, rows)["macro_f1"]
    error = drawn(lambda t, p: f1_score(t, p >= 0.5, average="macro", zero_division=0), true, chances)
    assert found.high - found.low == pytest.approx(2 * Z * error, rel=0.2)


def test_correlations_are_numpys_of_rows_that_count_more_than_once():
    rng = np.random.default_rng(3)
    influence, rows = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)), rng.integers(1, 4, 40)
    sample = Rows(influence, influence, influence, rows.astype(float))
    theirs = np.corrcoef(np.repeat(influence, rows, axis=0), rowvar=False)
    assert sample.correlation(influence) == pytest.approx(theirs)
    constant = np.column_stack([influence[:, 0], np.ones(40)])
    assert sample.correlation(constant) == pytest.approx(np.eye(2)), "what does not vary hangs together with nothing"


def test_a_class_of_many_rows_keeps_its_own_error_and_one_of_few_has_that_of_all():
    rng = np.random.default_rng(2)
    many = [np.histogram(rng.normal(mean, 1, 4000), np.linspace(-9, 9, 999))[0] for mean in (0, 1)]
    own = roc_auc(*many)
    found = moderated_errors([Placements(own.value, *spreads, 4000.0, 4000.0) for spreads in [(0.05, 0.05)] * 3])
    assert found == pytest.approx(np.sqrt(2 * 0.05 / 4000), rel=1e-3)
    one = Placements(1.0, 0.0, 0.0, 1.0, 4000.0)
    assert moderated_errors([Placements(0.8, 0.05, 0.05, 4000.0, 4000.0), one])[1] > 0.1, (
        "one row that lies before all is not certain"
    )


def test_no_sample_of_all_of_the_rows_says_nothing():
    rows = multiclass(np.random.default_rng(8), 60)[0]
    kept = summary_of(MULTI, rows)
    assert rows_of(kept) is not None and len(rows_of(kept).rows) == 60
    kept.merge(PerformanceSummary.from_bytes(summary_of(MULTI, rows, kept=False).to_bytes(), kept.schema))
    assert rows_of(kept) is None, "half of the rows were counted before outcomes were kept"
    assert rows_of(summary_of(MULTI, multiclass(np.random.default_rng(8), 10)[0])) is None


def test_a_sample_that_an_earlier_release_kept_of_several_labels_has_no_probabilities_and_is_read():
    before = Schema((), (), "multilabel", classes=CLASSES, vectors={"labels": 4}, parts=KEPT)
    rows = with_times(multilabel(np.random.default_rng(2), 60)[0])
    old = PerformanceSummary.empty(before)
    old.add(replace(rows, vectors={name: m for name, m in rows.vectors.items() if name != "probabilities"}))
    read = PerformanceSummary.from_bytes(old.to_bytes(), replace(TAGS, parts=KEPT))
    read.merge(summary_of(TAGS, multilabel(np.random.default_rng(3), 50)[0]))
    assert len(rows_of(read, scored=False).rows) == 110 and len(rows_of(read).rows) == 50


@pytest.mark.parametrize(("task", "classes", "rows"), [("multiclass", 3, 200), ("multilabel", 100, 60), ("multiclass", 40, 150)])
def test_models_of_several_classes_keep_a_few_outcomes(task, classes, rows):
    names = ", ".join(f"c{i}" for i in range(classes))
    text = f"""
models:
  - name: m
    task: {task}
    classes: [{names}]
    features: {{age: numeric}}
"""
    (model,) = parse_config(text, "c.yaml").models
    assert parts_of(model)[PART] == {"rows": rows}
