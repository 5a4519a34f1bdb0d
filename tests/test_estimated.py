"""Performance before labels: CBPE beside NannyML's on its own data, no estimate where scores cannot be calibrated,
and the shares of the classes from predictions alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from detectors.cbpe import calibrate
from detectors.columns import Columns, DictColumn, Outcomes, Schema
from detectors.estimated import score_estimated
from detectors.fits import fit_all
from detectors.label_shift import estimate_shares
from detectors.performance import PerformanceSummary
from detectors.profile import Profile
from detectors.score_cells import ScoreCells, centers_of

BINARY = ["roc_auc", "accuracy", "precision", "recall", "f1", "specificity"]
CHUNK = 5000


def rows_of(score, label):
    n = len(score)
    return Columns(
        rows=n, numeric={}, categorical={}, score=np.asarray(score, dtype=float), label=DictColumn.from_list(list(label)),
        latency_ms=np.full(n, np.nan), error=np.zeros(n, dtype=bool),
    )  # fmt: skip


def outcomes_of(score, label, truth):
    n = len(score)
    return Outcomes(
        DictColumn.from_list(list(label)), np.asarray(score, dtype=float), DictColumn.from_list(list(truth)), np.full(n, np.nan),
        np.ones(n, dtype=np.int64),
    )  # fmt: skip


def reference_of(schema, score, label, truth):
    columns, outcomes = rows_of(score, label), outcomes_of(score, label, truth)
    performance = PerformanceSummary.empty(schema)
    performance.add(outcomes)
    built = Profile.build(columns, schema, "ref")
    whole = dataclasses.replace(built, performance={"": performance}, extras=fit_all(columns, outcomes, schema))
    return Profile.from_bytes(whole.to_bytes())


def estimate(schema, profile, score, label, realised=None, limit=0.05):
    cells = ScoreCells.empty(schema)
    cells.bind(profile)
    cells.add(rows_of(score, label))
    found = score_estimated(ScoreCells.from_bytes(cells.to_bytes(), schema), profile, limit, realised or {})
    return {s.name: s.value for s in found}, found


def binary_schema():
    return Schema((), (), "binary", "1", parts={"score_cells": {}})


@pytest.fixture(scope="module")
def loans():
    import nannyml

    reference, analysis, targets = nannyml.load_synthetic_car_loan_dataset()
    analysis = analysis.merge(targets, on="id")
    cbpe = nannyml.CBPE(
        y_pred_proba="y_pred_proba", y_pred="y_pred", y_true="repaid", metrics=BINARY, chunk_size=CHUNK,
        problem_type="classification_binary",
    )  # fmt: skip
    return reference, analysis, cbpe.fit(reference).estimate(analysis).filter(period="analysis").to_df()


def texts(values):
    return [str(int(v)) for v in values]


def test_cbpe_equals_nannymls_on_car_loans(loans):
    """Estimates within a tenth of a sampling error, the errors themselves within 2 %."""
    reference, analysis, theirs = loans
    schema = binary_schema()
    profile = reference_of(schema, reference["y_pred_proba"], texts(reference["y_pred"]), texts(reference["repaid"]))
    for i in range(len(analysis) // CHUNK):
        chunk = analysis.iloc[i * CHUNK : (i + 1) * CHUNK]
        ours, _ = estimate(schema, profile, chunk["y_pred_proba"], texts(chunk["y_pred"]))
        for metric in BINARY:
            row = theirs[metric].iloc[i]
            assert abs(ours[metric] - row["value"]) < 0.1 * row["sampling_error"], (metric, i)
            low, high = row["lower_confidence_boundary"], row["upper_confidence_boundary"]
            assert ours[f"{metric}_low"] == pytest.approx(low, abs=0.1 * row["sampling_error"]), (metric, i)
            assert ours[f"{metric}_high"] == pytest.approx(high, abs=0.1 * row["sampling_error"]), (metric, i)


def test_the_estimate_finds_the_fall_that_labels_later_show(loans):
    reference, analysis, _ = loans
    schema = binary_schema()
    profile = reference_of(schema, reference["y_pred_proba"], texts(reference["y_pred"]), texts(reference["repaid"]))
    for i in range(10):
        chunk = analysis.iloc[i * CHUNK : (i + 1) * CHUNK]
        right = float((chunk["y_pred"] == chunk["repaid"]).mean())
        ours, _ = estimate(schema, profile, chunk["y_pred_proba"], texts(chunk["y_pred"]), {"accuracy": right})
        assert ours["accuracy_gap"] == pytest.approx(ours["accuracy"] - right)
        assert ours["accuracy_low"] <= right <= ours["accuracy_high"]
        assert (ours["accuracy"] < 0.93) == (i >= 5)


def test_multiclass_accuracy_equals_nannymls_within_its_sampling_error():
    """From the predicted class's probability alone; NannyML has those of all classes."""
    import nannyml

    reference, analysis, targets = nannyml.load_synthetic_multiclass_classification_dataset()
    names = {c.removeprefix("y_pred_proba_"): c for c in reference if c.startswith("y_pred_proba_")}
    cbpe = nannyml.CBPE(
        y_pred_proba=names, y_pred="y_pred", y_true="y_true", metrics=["accuracy", "f1", "precision", "recall"], chunk_size=6000,
        problem_type="classification_multiclass",
    )  # fmt: skip
    theirs = cbpe.fit(reference).estimate(analysis).filter(period="analysis").to_df()
    schema = Schema((), (), "multiclass", parts={"score_cells": {}})

    def confidence(data):
        return np.array([row[names[row["y_pred"]]] for row in data.to_dict("records")])

    profile = reference_of(schema, confidence(reference), reference["y_pred"], reference["y_true"])
    for i in range(len(analysis) // 6000):
        chunk = analysis.iloc[i * 6000 : (i + 1) * 6000]
        ours, _ = estimate(schema, profile, confidence(chunk), chunk["y_pred"])
        for metric in ("accuracy", "f1", "precision", "recall"):
            row = theirs[metric].iloc[i]
            assert abs(ours[metric] - row["value"]) < 3 * row["sampling_error"], (metric, i)


def test_isotonic_calibration_equals_scikit_learns():
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(0)
    centers = centers_of("binary")
    cell = rng.integers(0, len(centers), 20_000)
    true = rng.random(20_000) < centers[cell] ** 2
    negative, positive = (np.bincount(cell[true == v], minlength=len(centers)) for v in (False, True))
    found = calibrate(negative, positive, centers, 0.05)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(centers[cell], true)
    assert found.calibrated and found.error < found.error_before
    np.testing.assert_allclose(found.probability, theirs.predict(centers), atol=1e-9)


def test_where_scores_cannot_be_calibrated_there_is_no_estimate_but_a_reason():
    rng = np.random.default_rng(1)
    score = rng.random(20_000)
    truth = np.where(rng.random(20_000) < 4 * (score - 0.5) ** 2, "1", "0")  # both ends positive: no rising function fits
    label = np.where(score > 0.5, "1", "0")
    schema = binary_schema()
    profile = reference_of(schema, score, label, truth)
    ours, found = estimate(schema, profile, score[:1000], label[:1000])
    assert ours["calibration_error"] > 0.1 and all(math.isnan(ours[m]) for m in BINARY)
    assert all("calibration error" in s.evidence["reason"] for s in found if s.name in BINARY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s, t: (s[:100], t[:100]), "labelled rows"),
        (lambda s, t: (s, np.full(len(t), "0")), "all of one class"),
        (lambda s, t: (s * 10, t), "lie outside 0 to 1"),
    ],
    ids=["too few", "one class", "no probabilities"],
)
def test_a_reference_that_will_not_do_gives_a_reason(change, words):
    rng = np.random.default_rng(2)
    score = rng.random(2000)
    score, truth = change(score, np.where(rng.random(2000) < score, "1", "0"))
    schema = binary_schema()
    profile = reference_of(schema, score, np.where(score > 0.5, "1", "0"), truth)
    _, found = estimate(schema, profile, score, ["1"] * len(score))
    assert all(words in s.evidence["reason"] for s in found if s.name in BINARY)


def test_scores_that_are_calibrated_stay_as_they_are():
    rng = np.random.default_rng(3)
    score = rng.random(50_000)
    schema = binary_schema()
    truth = np.where(rng.random(50_000) < score, "1", "0")
    profile = reference_of(schema, score, np.where(score > 0.5, "1", "0"), truth)
    ours, _ = estimate(schema, profile, score[:5000], np.where(score[:5000] > 0.5, "1", "0"))
    assert ours["accuracy"] == pytest.approx(np.maximum(score, 1 - score)[:5000].mean(), abs=2e-3)


def test_without_labels_in_the_reference_nothing_is_counted_and_nothing_said():
    schema = binary_schema()
    score = np.linspace(0, 1, 500)
    bare = Profile.build(rows_of(score, ["1"] * 500), schema, "ref")
    assert estimate(schema, bare, score, ["1"] * 500) == ({}, [])


def shifted(rng, shares, n, confusion):
    true = rng.choice(len(shares), n, p=shares)
    return true, np.array([rng.choice(len(shares), p=confusion[t]) for t in true])


def test_label_shift_is_found_from_predictions_alone():
    """Errors cover: the true share lies within 1.96 standard errors in about 95 of 100 windows."""
    rng = np.random.default_rng(4)
    confusion = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.25, 0.7]])
    names = np.array(["a", "b", "c"])
    covered, naive, ours = 0, [], []
    for _ in range(100):
        true, guess = shifted(rng, [0.5, 0.3, 0.2], 3000, confusion)
        pairs, counts = np.unique(np.stack([names[guess], names[true]]), axis=1, return_counts=True)
        joint = {(p, t): int(n) for (p, t), n in zip(pairs.T.tolist(), counts, strict=True)}
        _, guess = shifted(rng, [0.2, 0.2, 0.6], 1500, confusion)
        found = estimate_shares(joint, {n: int((names[guess] == n).sum()) for n in names})
        covered += abs(found.shares[2] - 0.6) < 1.96 * found.errors[2]
        ours.append(abs(found.shares[2] - 0.6))
        naive.append(abs((guess == 2).mean() - 0.6))
    assert 88 <= covered <= 100
    assert np.mean(ours) < 0.25 * np.mean(naive)


def test_predictions_that_tell_nothing_give_a_reason():
    joint = {("a", "a"): 25, ("a", "b"): 25, ("b", "a"): 25, ("b", "b"): 25}
    found = estimate_shares(joint, {"a": 60, "b": 40})
    assert "do not tell the classes apart" in found.reason and np.isnan(found.shares).all()
    assert "know" in estimate_shares({("a", "a"): 9, ("b", "b"): 9}, {"z": 5}).reason


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_cells_are_found_as_a_search_finds_them(task):
    from detectors.score_cells import _cells, edges_of

    edges = edges_of(task)
    score = np.concatenate(
        [edges, np.nextafter(edges, 2), np.nextafter(edges, -2), np.random.default_rng(0).random(5000), [-3.0, 7.0]]
    )
    np.testing.assert_array_equal(_cells(edges, score), np.searchsorted(edges, score, side="right"))
