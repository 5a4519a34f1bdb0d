"""Every metric of every task against scikit-learn (or, where it has none, a plain loop) on the same rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn import metrics

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.float_cells import CELLS, HIGH, LOW, cell_of, folded, quantile
from detectors.labelled.calibration import BINS
from detectors.labelled.quantile import level_weights
from detectors.performance import PerformanceSummary
from detectors.score_names import PERFORMANCE
from detectors.scoring import score_performance

CLASSES = ("a", "b", "c", "d")
MULTI = Schema((), (), "multiclass", classes=CLASSES, vectors={"probabilities": 4}, top_k=2)
TAGS = Schema((), (), "multilabel", classes=CLASSES, vectors={"labels": 4})


def outcomes(n, predicted=None, score=None, truth=None, value=None, **vectors):
    return Outcomes(
        predicted_label=DictColumn.missing(n) if predicted is None else DictColumn.from_list(list(predicted)),
        predicted_score=np.full(n, np.nan) if score is None else np.asarray(score, dtype=np.float64),
        true_label=DictColumn.missing(n) if truth is None else DictColumn.from_list(list(truth)),
        true_value=np.full(n, np.nan) if value is None else np.asarray(value, dtype=np.float64),
        weight=np.ones(n, dtype=np.int64),
        vectors={name: np.asarray(v, dtype=np.float32) for name, v in vectors.items()},
    )


def measured(schema, rows, pieces=5):
    """The scores of performance, counted in pieces that go through bytes."""
    whole = PerformanceSummary.empty(schema)
    for index in np.array_split(np.arange(rows.rows), pieces):
        part = PerformanceSummary.empty(schema)
        part.add(rows.take(index))
        whole.merge(PerformanceSummary.from_bytes(part.to_bytes(), schema))
    found = {s.name: s.value for s in score_performance(whole) if s.subject == "performance"}
    for name, value in found.items():
        if f"{name}_low" in found:
            assert found[f"{name}_low"] - 1e-9 <= value <= found[f"{name}_high"] + 1e-9, name
        base = name.partition(":")[0].removesuffix("_low").removesuffix("_high")
        assert base in PERFORMANCE, f"{name} has no line in detectors/score_names.py"
    return found


def near(found, expected, **tolerance):
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, **{"rel": 1e-6, "abs": 1e-9, **tolerance}), name


@pytest.mark.parametrize("n", [30, 4000, 30_000])
def test_binary(n):
    rng = np.random.default_rng(n)
    y = rng.random(n) < 0.3
    score = 1 / (1 + np.exp(-rng.normal(np.where(y, 0.5, -1.5), 1.5)))
    p = score >= 0.5
    names = np.array(["no", "yes"])
    found = measured(Schema((), (), "binary", "yes"), outcomes(n, names[p * 1], score, names[y * 1]))
    near(found, {
        "accuracy": metrics.accuracy_score(y, p), "mcc": metrics.matthews_corrcoef(y, p), "f1": metrics.f1_score(y, p),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, p), "specificity": metrics.recall_score(~y, ~p),
        "precision": metrics.precision_score(y, p), "recall": metrics.recall_score(y, p),
        "brier": metrics.brier_score_loss(y, score), "log_loss": metrics.log_loss(y, score),
        "brier_uncertainty": y.mean() * (1 - y.mean()),
    })  # fmt: skip
    area = metrics.roc_auc_score(y, score)
    near(found, {"roc_auc": area, "gini": 2 * area - 1, "pr_auc": metrics.average_precision_score(y, score)}, abs=2e-3)
    assert abs(found["roc_auc"] - area) < 1e-3
    near(found, {"score_ks": stats.ks_2samp(score[y], score[~y]).statistic}, abs=2e-3)
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    held = np.bincount(place, minlength=BINS)
    there = held > 0
    rate = np.bincount(place, y, BINS)[there] / held[there]
    gap = np.abs(rate - np.bincount(place, score, BINS)[there] / held[there])
    share = held[there] / n
    half_cell = 1 / 8192
    near(found, {"ece": (share * gap).sum(), "mce": gap.max()}, abs=half_cell)
    near(found, {"brier_reliability": (share * gap**2).sum()}, abs=2 * half_cell)
    near(found, {"brier_resolution": (share * (rate - y.mean()) ** 2).sum()})


@pytest.mark.parametrize("n", [60, 5000])
def test_multiclass(n):
    """60 rows have no more areas than pairs: a single tie would be seen."""
    rng = np.random.default_rng(n)
    place = rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])
    logits = rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[place]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chances = chances.astype(np.float32)
    y, p = np.array(CLASSES)[place], np.array(CLASSES)[chances.argmax(axis=1)]
    found = measured(MULTI, outcomes(n, p, chances.max(axis=1), y, probabilities=chances))
    exact = chances.astype(float) / chances.astype(float).sum(axis=1, keepdims=True)
    near(found, {
        "accuracy": metrics.accuracy_score(y, p), "mcc": metrics.matthews_corrcoef(y, p),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, p),
        "top_k_accuracy": metrics.top_k_accuracy_score(y, exact, k=2, labels=CLASSES),
        **{name: of(y, p, average="macro") for name, of in
           (("precision", metrics.precision_score), ("recall", metrics.recall_score), ("f1", metrics.f1_score))},
    })  # fmt: skip
    each = metrics.precision_recall_fscore_support(y, p, labels=CLASSES, zero_division=0)
    for i, name in enumerate(CLASSES):
        near(found, {f"precision:{name}": each[0][i], f"recall:{name}": each[1][i], f"f1:{name}": each[2][i]})
        assert found[f"roc_auc:{name}"] == pytest.approx(metrics.roc_auc_score(y == name, exact[:, i]), abs=1e-3)
    near(found, {"log_loss": metrics.log_loss(y, exact, labels=CLASSES)}, rel=1e-5)
    near(found, {"brier": ((exact - np.eye(4)[place]) ** 2).sum(axis=1).mean()}, rel=1e-5)
    for name, average in (("roc_auc", "macro"), ("roc_auc_weighted", "weighted")):
        theirs = metrics.roc_auc_score(y, exact, multi_class="ovr", average=average, labels=CLASSES)
        assert found[name] == pytest.approx(theirs, abs=1e-3), name
    theirs = metrics.roc_auc_score(y, exact, multi_class="ovo", average="macro", labels=CLASSES)
    assert found["roc_auc_ovo"] == pytest.approx(theirs, abs=1e-3)


def test_multiclass_without_probabilities_has_what_the_labels_give():
    schema = Schema((), (), "multiclass")
    found = measured(schema, outcomes(4, "abca", [0.9, 0.8, 0.7, 0.6], "abcb"))
    assert found["accuracy"] == 0.75 and "log_loss" not in found and "roc_auc" not in found and "ece" in found
    other = Schema((), (), "multiclass", classes=("x", "y"), vectors={"probabilities": 2})
    rows = outcomes(3, "xyx", [0.9] * 3, ["x", "z", "x"], probabilities=[[0.9, 0.1], [0.2, 0.8], [np.nan, np.nan]])
    found = measured(other, rows, 1)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["log_loss"] == pytest.approx(-math.log(0.9), rel=1e-6), "a class that is none, and a row without, do not count"


@pytest.mark.parametrize("n", [20, 3000])
def test_multilabel(n):
    rng = np.random.default_rng(n)
    t = (rng.random((n, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(int)
    p = np.where(rng.random((n, 4)) < 0.8, t, 1 - t)
    found = measured(TAGS, outcomes(n, labels=p, true_labels=t, true_others=np.zeros((n, 1))))
    near(found, {
        "subset_accuracy": metrics.accuracy_score(t, p), "hamming_loss": metrics.hamming_loss(t, p),
        "jaccard": metrics.jaccard_score(t, p, average="samples", zero_division=0),
        "micro_f1": metrics.f1_score(t, p, average="micro"), "macro_f1": metrics.f1_score(t, p, average="macro", zero_division=0),
        "micro_precision": metrics.precision_score(t, p, average="micro"),
        "micro_recall": metrics.recall_score(t, p, average="micro"),
        **{f"f1:{c}": metrics.f1_score(t[:, i], p[:, i], zero_division=0) for i, c in enumerate(CLASSES)},
    })  # fmt: skip
    missed = measured(TAGS, outcomes(n, labels=t, true_labels=t, true_others=np.ones((n, 1))))
    assert missed["subset_accuracy"] == 0.0 and missed["micro_precision"] == 1.0
    assert missed["micro_recall"] == pytest.approx(t.sum() / (t.sum() + n)), "a label outside the classes is missed"


@pytest.mark.parametrize("n", [3, 50, 20_000])
def test_regression(n):
    rng = np.random.default_rng(n)
    y = rng.normal(100.0, 30.0, n)
    f = y + rng.standard_t(4, n) * 5 + 1.0
    found = measured(Schema((), (), "regression"), outcomes(n, None, f, value=y))
    error = f - y
    near(found, {
        "mae": metrics.mean_absolute_error(y, f), "rmse": metrics.root_mean_squared_error(y, f), "r2": metrics.r2_score(y, f),
        "mean_error": error.mean(), "mape": metrics.mean_absolute_percentage_error(y, f),
        "smape": (2 * np.abs(error) / (np.abs(y) + np.abs(f))).mean(),
    })  # fmt: skip
    if n > 3:
        near(found, {"median_absolute_error": np.quantile(np.abs(error), 0.5, method="lower")}, rel=0.01)
        for q in (5, 50, 95):
            theirs = np.quantile(error, q / 100, method="lower")
            near(found, {f"error_p{q:02d}": theirs}, rel=0.01)


def test_truths_of_zero_have_no_percentage():
    found = measured(Schema((), (), "regression"), outcomes(3, None, [1.0, 0.0, 3.0], value=[0.0, 0.0, 2.0]), 1)
    assert found["mape"] == 0.5 and found["smape"] == pytest.approx((2 + 0 + 0.4) / 3)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=40))
def test_a_number_lies_in_its_cell_and_cells_ascend(numbers):
    values = np.array(numbers)
    cells = cell_of(values)
    assert cells.min() >= 0 and cells.max() < CELLS
    inside = (np.abs(values) >= 2.0**-40) & (np.abs(values) < 2.0**40)
    assert (values[inside] >= LOW[cells[inside]]).all() and (values[inside] <= HIGH[cells[inside]]).all()
    assert (np.diff(cells[np.argsort(values, kind="stable")]) >= 0).all()
    counts = np.bincount(cells, minlength=CELLS)
    assert folded(counts).sum() == len(values) and (folded(counts) == np.bincount(cell_of(np.abs(values)), minlength=CELLS)).all()
    middle = np.sort(values)[(len(values) - 1) // 2]
    if len(values) % 2 and 2.0**-40 <= abs(middle) < 2.0**40:
        assert quantile(counts, 0.5) == pytest.approx(middle, rel=1 / 64)


def ranked(rng, n, width, long):
    """Gains by place, and the ideal order, of labels that may name items outside the list."""
    gains = np.where(rng.random((n, width)) < 0.3, rng.integers(1, 4, (n, width)), 0).astype(float)
    outside = np.where(rng.random((n, 2)) < 0.3, rng.integers(1, 4, (n, 2)), 0).astype(float)
    every = np.sort(np.hstack([gains, outside, np.zeros((n, long))]), axis=1)[:, ::-1][:, :long]
    return gains, outside, every, (gains > 0).sum(axis=1) + (outside > 0).sum(axis=1)


def test_ranking():
    rng, n, width, k = np.random.default_rng(7), 400, 12, 5
    gains, outside, ideal, relevant = ranked(rng, n, width, 20)
    padded = np.hstack([gains, np.full((n, 8), np.nan)])
    rows = outcomes(n, gains=padded, ideal=ideal, relevant=relevant[:, None])
    found = measured(Schema((), (), "ranking", top_k=k), rows)
    there = relevant > 0
    order = -np.arange(width + 2, dtype=float)  # items outside the list stand behind it: sklearn cuts at k
    ndcg = metrics.ndcg_score(np.hstack([gains, outside])[there], np.tile(order, (int(there.sum()), 1)), k=k)
    average, reciprocal, hits, recalls = [], [], [], []
    for g, total in zip(gains[there], relevant[there], strict=True):
        hit = g > 0
        average.append(sum(hit[: i + 1].mean() for i in range(k) if hit[i]) / min(total, k))
        reciprocal.append(1 / (np.argmax(hit) + 1) if hit.any() else 0.0)
        hits.append(hit[:k].sum())
        recalls.append(hit[:k].sum() / total)
    near(found, {
        "ndcg_at_k": ndcg, "map_at_k": np.mean(average), "mrr": np.mean(reciprocal), "hit_rate_at_k": np.mean(np.array(hits) > 0),
        "precision_at_k": np.mean(hits) / k, "recall_at_k": np.mean(recalls), "no_relevant_share": 1 - there.mean(),
    })  # fmt: skip


def test_quantile_forecasts():
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    rng, n = np.random.default_rng(8), 2000
    middle = rng.normal(50, 10, n)
    f = (middle[:, None] + 3 * stats.norm.ppf(levels)).astype(np.float32)
    y = middle + rng.normal(0, 3, n)
    found = measured(Schema((), (), "quantile", quantiles=levels, vectors={"quantiles": 5}), outcomes(n, value=y, quantiles=f))
    f = f.astype(float)
    each = {f"pinball:{q:g}": metrics.mean_pinball_loss(y, f[:, i], alpha=q) for i, q in enumerate(levels)}
    near(found, {**each, "pinball": np.mean(list(each.values())), "interval_width": (f[:, -1] - f[:, 0]).mean()})
    inside = ((f[:, 0] <= y) & (y <= f[:, -1])).mean()
    near(found, {"interval_coverage": inside, "interval_coverage_error": abs(inside - 0.8), "quantile_crossing_share": 0.0})
    observed = [stats.percentileofscore(y - f[:, i], 0.0, "weak") / 100 for i in range(5)]
    near(found, {f"quantile_coverage:{q:g}": share for q, share in zip(levels, observed, strict=True)})
    near(found, {"quantile_calibration_error": np.mean(np.abs(np.array(observed) - levels))})


def test_each_quantile_has_its_own_reliability_with_wilsons_interval_and_crossing_ones_are_sorted():
    levels, schema = (0.1, 0.5, 0.9), Schema((), (), "quantile", quantiles=(0.1, 0.5, 0.9), vectors={"quantiles": 3})
    rng, n = np.random.default_rng(9), 300
    f = rng.normal(0, 1, (n, 3)).round(1).astype(np.float32)
    f[: n // 3] = np.sort(f[: n // 3], axis=1)
    y = rng.normal(0, 1, n).round(1).astype(np.float32).astype(float)  # ties with forecasts count as below
    summary = PerformanceSummary.empty(schema)
    summary.add(outcomes(n, value=y, quantiles=f))
    found = {m.name: m for m in summary.metrics()}
    crossing = int((np.diff(f, axis=1) < 0).any(axis=1).sum())
    assert found["quantile_crossing_share"].value == crossing / n > 0.4
    curve = found["quantile_calibration_error"].evidence["reliability_curve"]
    for i, q in enumerate(levels):
        hits = int((y <= np.sort(f, axis=1)[:, i]).sum())
        own, theirs = found[f"quantile_coverage:{q:g}"], stats.binomtest(hits, n).proportion_ci(method="wilson")
        assert (own.value, own.low, own.high) == pytest.approx((hits / n, theirs.low, theirs.high))
        assert own.evidence == {"nominal": q, "difference": pytest.approx(hits / n - q, abs=1e-6)}
        assert curve["observed_share"][i] == pytest.approx(hits / n, abs=1e-4) and curve["level"][i] == q
    between = np.bincount((y[:, None] > f).sum(axis=1), minlength=4)
    assert curve["rows_between"] == between.tolist() and own.rows == n
    rows = outcomes(n, value=y, quantiles=f)
    rows.weight[:] = -1
    summary.add(rows)
    assert summary.metrics() == [] and not summary.arrays["pit"].any()


def test_a_summary_that_did_not_count_rows_between_quantiles_is_read_and_merged():
    """What earlier releases stored: its rows count for the loss, not for the levels' reliability."""
    schema = Schema((), (), "quantile", quantiles=(0.5,), vectors={"quantiles": 1})
    old, new = PerformanceSummary.empty(schema), PerformanceSummary.empty(schema)
    old.add(outcomes(40, value=np.arange(40), quantiles=np.full((40, 1), 10.0)))
    del old.arrays["pit"], old.sums["pinball_below:0.5"], old.sums["pinball_below:0.5_sq"]
    new.add(outcomes(10, value=np.arange(10), quantiles=np.full((10, 1), 3.0)))
    read = PerformanceSummary.from_bytes(old.to_bytes(), schema)
    assert {m.name for m in read.metrics()} == {"pinball", "crps", "pinball:0.5"}
    new.merge(read)
    found = {m.name: m for m in new.metrics()}
    assert found["pinball:0.5"].rows == 50 and found["quantile_coverage:0.5"].rows == 10
    assert found["quantile_coverage:0.5"].value == 0.4 and found["pinball:0.5"].low < found["pinball:0.5"].value


def test_crps_of_many_quantiles_is_the_integral():
    levels = tuple(np.round(np.arange(0.01, 1.0, 0.01), 2).tolist())
    assert level_weights(levels).sum() == pytest.approx(1.0)
    schema = Schema((), (), "quantile", quantiles=levels, vectors={"quantiles": 99})
    for y in (-1.5, 0.0, 0.7):
        found = measured(schema, outcomes(1, value=[y], quantiles=stats.norm.ppf(levels)[None]), 1)
        exact = integrate.quad(lambda x, y=y: (stats.norm.cdf(x) - (x >= y)) ** 2, -12, 12, points=[y])[0]
        assert found["crps"] == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression", "ranking", "quantile"])
def test_one_row_and_rows_that_say_nothing(task):
    """No metric of nothing; one row gives numbers or NaN, never an error."""
    schema = Schema((), (), task, "a" if task == "binary" else None, classes=CLASSES, quantiles=(0.5,),
                    vectors={"probabilities": 4, "labels": 4, "quantiles": 1})  # fmt: skip
    nothing = outcomes(2)
    one = outcomes(
        1, "a", [1.0], "a", [1.0], probabilities=[[1, 0, 0, 0]], quantiles=[[1.0]], labels=[[1, 0, 0, 0]],
        true_labels=[[1, 0, 0, 0]], true_others=[[0]], gains=[[1.0] + [np.nan] * 9], ideal=[[1.0] + [0.0] * 9], relevant=[[1.0]],
    )  # fmt: skip
    assert measured(schema, nothing, 1) == {}
    with np.errstate(all="raise"):
        assert len(measured(schema, one, 1)) > 2
