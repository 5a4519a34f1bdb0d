"""Performance before labels: CBPE beside NannyML's on its own data, no estimate where scores cannot be calibrated,
and the shares of the classes from predictions alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from detectors.cbpe import calibrate
from detectors.class_cells import ClassCells
from detectors.columns import Columns, DictColumn, Outcomes, Schema
from detectors.estimated import score_estimated
from detectors.estimated_classes import score_classes
from detectors.fits import fit_all
from detectors.label_shift import estimate_shares, shift_p
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


def estimate(schema, profile, score, label, realised=None, limit=0.05, worth=None):
    cells = ScoreCells.empty(schema)
    cells.bind(profile)
    cells.add(rows_of(score, label))
    found = score_estimated(ScoreCells.from_bytes(cells.to_bytes(), schema), profile, limit, realised or {}, worth)
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


METRICS = ["accuracy", "precision", "recall", "f1", "roc_auc", "business_value"]
WORTH = np.array([[5.0, -2.0, -8.0], [-1.0, 4.0, -3.0], [-6.0, -2.5, 10.0]])  # (true, predicted), as NannyML has it


@pytest.fixture(scope="module")
def cards():
    """NannyML's multiclass data with its own estimates, total worth included.

    Only the standard deviation of the worth over the reference is taken at once here: NannyML goes row by row, for minutes.
    """
    import nannyml
    from nannyml.sampling_error import multiclass_classification as sampling

    reference, analysis, _ = nannyml.load_synthetic_multiclass_classification_dataset()
    names = {c.removeprefix("y_pred_proba_"): c for c in reference if c.startswith("y_pred_proba_")}
    classes = tuple(sorted(names))
    cbpe = nannyml.CBPE(
        y_pred_proba=names, y_pred="y_pred", y_true="y_true", metrics=METRICS, chunk_size=6000,
        problem_type="classification_multiclass", business_value_matrix=WORTH,
    )  # fmt: skip

    def at_once(y_true_reference, y_pred_reference, business_value_matrix, classes, normalize_business_value):
        at = {c: i for i, c in enumerate(classes)}
        return business_value_matrix[y_true_reference.map(at), y_pred_reference.map(at)].std(ddof=1), normalize_business_value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "business_value_sampling_error_components", at_once)
        theirs = cbpe.fit(reference).estimate(analysis).filter(period="analysis").to_df()
    return reference, analysis, classes, [names[c] for c in classes], theirs


def class_schema(classes):
    return Schema((), (), "multiclass", vectors={"probabilities": len(classes)}, classes=classes, parts={"class_cells": {}})


def chances_of(data, columns):
    return np.ascontiguousarray(data[columns].to_numpy(np.float32))


def class_reference(schema, chances, label, truth):
    score = chances.max(axis=1).astype(float)
    columns = dataclasses.replace(rows_of(score, label), vectors={"probabilities": chances})
    outcomes = dataclasses.replace(outcomes_of(score, label, truth), vectors={"probabilities": chances})
    performance = PerformanceSummary.empty(schema)
    performance.add(outcomes)
    built = Profile.build(columns, schema, "ref")
    whole = dataclasses.replace(built, performance={"": performance}, extras=fit_all(columns, outcomes, schema))
    return Profile.from_bytes(whole.to_bytes())


def class_scores(schema, profile, chances, label, worth=None, limit=0.05, realised=None):
    """The scores of rows that came in two halves."""
    whole = ClassCells.empty(schema)
    for half in (slice(None, len(chances) // 2), slice(len(chances) // 2, None)):
        cells = ClassCells.empty(schema)
        cells.bind(profile)
        rows = rows_of(chances[half].max(axis=1), list(label)[half])
        cells.add(dataclasses.replace(rows, vectors={"probabilities": chances[half]}))
        whole.merge(ClassCells.from_bytes(cells.to_bytes(), schema))
    found = score_classes(whole, profile, limit, realised or {}, worth)
    return {s.name: s.value for s in found}, found


def test_multiclass_estimates_from_the_predicted_class_alone_lie_within_nannymls_sampling_error(cards):
    """NannyML has the probabilities of all classes; here are those of the predicted one."""
    reference, analysis, classes, columns, theirs = cards
    schema = Schema((), (), "multiclass", parts={"score_cells": {}})
    at = {name: i for i, name in enumerate(classes)}

    def confidence(data):
        return data[columns].to_numpy()[np.arange(len(data)), data["y_pred"].map(at)]

    profile = reference_of(schema, confidence(reference), reference["y_pred"], reference["y_true"])
    for i in range(len(analysis) // 6000):
        chunk = analysis.iloc[i * 6000 : (i + 1) * 6000]
        ours, _ = estimate(schema, profile, confidence(chunk), chunk["y_pred"])
        for metric in ("accuracy", "f1", "precision", "recall"):
            row = theirs[metric].iloc[i]
            assert abs(ours[metric] - row["value"]) < 3 * row["sampling_error"], (metric, i)


def test_multiclass_estimates_from_all_probabilities_equal_nannymls(cards):
    """Each metric and the total worth within half a sampling error; the errors themselves (but for F1) within 5 %."""
    reference, analysis, classes, columns, theirs = cards
    schema = class_schema(classes)
    profile = class_reference(schema, chances_of(reference, columns), reference["y_pred"], reference["y_true"])
    worth = {(p, t): float(WORTH[i, j]) for i, t in enumerate(classes) for j, p in enumerate(classes)}
    for i in range(len(analysis) // 6000):
        chunk = analysis.iloc[i * 6000 : (i + 1) * 6000]
        ours, _ = class_scores(schema, profile, chances_of(chunk, columns), chunk["y_pred"], worth)
        for metric in METRICS:
            row, name = theirs[metric].iloc[i], "value_total" if metric == "business_value" else metric
            error = row["sampling_error"]
            assert abs(ours[name] - row["value"]) < 0.5 * error, (metric, i)
            half = (ours[f"{name}_high"] - ours[f"{name}_low"]) / 2
            if metric == "f1":  # NannyML's binary F1 has the factor of a harmonic mean, its multiclass F1 lacks it
                assert 3 * error < half < 3.9 * error
            else:
                assert half == pytest.approx(3 * error, rel=0.05), (metric, i)
        assert ours["value_per_event"] == pytest.approx(ours["value_total"] / len(chunk))


def test_all_probabilities_tell_which_class_is_mistaken_for_which():
    """A shift of the confused class that the predicted class's score and the reference's confusion cannot tell."""
    rng = np.random.default_rng(6)
    classes = ("a", "b", "c")

    def rows(n, toward_b):
        rest = rng.uniform(0.1, 0.4, n)
        b = np.where(rng.random(n) < toward_b, rest * 0.9, rest * 0.1)
        chances = np.stack([1 - rest, b, rest - b], axis=1)
        truth = np.array(classes)[(rng.random(n)[:, None] > np.cumsum(chances, axis=1)).sum(axis=1).clip(0, 2)]
        return chances.astype(np.float32), truth

    schema = class_schema(classes)
    chances, truth = rows(30_000, 0.8)
    profile = class_reference(schema, chances, ["a"] * len(truth), truth)
    chances, truth = rows(10_000, 0.1)
    _, found = class_scores(schema, profile, chances, ["a"] * len(truth))
    shown = found[1].evidence["expected rows, predicted -> true"]
    for name in classes:
        true = int((truth == name).sum())
        assert abs(shown[f"a -> {name}"] - true) < 4 * math.sqrt(true), name


def test_a_class_whose_probability_cannot_be_calibrated_is_named():
    rng = np.random.default_rng(7)
    n, classes = 20_000, ("a", "b", "c")
    b = rng.random(n) * 0.9
    chances = np.stack([(1 - b) * 0.5, b, (1 - b) * 0.5], axis=1).astype(np.float32)
    truth = np.where(rng.random(n) < 4 * (b / 0.9 - 0.5) ** 2, "b", np.where(rng.random(n) < 0.5, "a", "c"))
    schema = class_schema(classes)
    profile = class_reference(schema, chances, ["b"] * n, truth)
    ours, found = class_scores(schema, profile, chances[:1000], ["b"] * 1000, {("b", "b"): 2.0})
    wanted = ("accuracy", "f1", "roc_auc", "value_per_event", "value_total")
    assert all(math.isnan(ours[m]) for m in wanted) and ours["calibration_error"] > 0.1
    assert all("class 'b'" in s.evidence["reason"] for s in found if s.name in wanted)
    few = class_reference(schema, chances[:100], ["b"] * 100, truth[:100])
    _, found = class_scores(schema, few, chances[:1000], ["b"] * 1000)
    assert "labelled rows" in found[1].evidence["reason"]


def test_labels_outside_the_classes_count_as_wrong_and_rows_without_probabilities_not_at_all():
    rng = np.random.default_rng(8)
    classes = ("a", "b")
    p = rng.random(5000)
    chances = np.stack([p, 1 - p], axis=1).astype(np.float32)
    truth = np.where(rng.random(5000) < p, "a", "b")
    schema = class_schema(classes)
    profile = class_reference(schema, chances, np.where(p > 0.5, "a", "b"), truth)
    chances[::2] = np.nan
    ours, found = class_scores(schema, profile, chances, ["z"] * 5000)
    assert ours["accuracy"] == 0.0 and found[1].rows == 2500
    assert class_scores(schema, Profile.build(rows_of(p, truth), schema, "bare"), chances, truth) == ({}, [])


def test_the_worth_of_a_binary_model_equals_nannymls(loans):
    import nannyml

    reference, analysis, _ = loans
    matrix = np.array([[1.0, -3.0], [-10.0, 5.0]])  # (true, predicted)
    cbpe = nannyml.CBPE(
        y_pred_proba="y_pred_proba", y_pred="y_pred", y_true="repaid", metrics=["business_value"], chunk_size=CHUNK,
        problem_type="classification_binary", business_value_matrix=matrix,
    )  # fmt: skip
    theirs = cbpe.fit(reference).estimate(analysis).filter(period="analysis").to_df()["business_value"]
    schema = binary_schema()
    profile = reference_of(schema, reference["y_pred_proba"], texts(reference["y_pred"]), texts(reference["repaid"]))
    worth = {(str(p), str(t)): float(matrix[t, p]) for p in (0, 1) for t in (0, 1)}
    for i in range(len(analysis) // CHUNK):
        chunk = analysis.iloc[i * CHUNK : (i + 1) * CHUNK]
        cells = ScoreCells.empty(schema)
        cells.bind(profile)
        cells.add(rows_of(chunk["y_pred_proba"], texts(chunk["y_pred"])))
        ours = {s.name: s.value for s in score_estimated(cells, profile, 0.05, {"value_per_event": 2.0}, worth)}
        row = theirs.iloc[i]
        assert abs(ours["value_total"] - row["value"]) < 0.1 * row["sampling_error"]
        assert ours["value_total_high"] - ours["value_total"] == pytest.approx(3 * row["sampling_error"], rel=0.02)
        assert ours["value_per_event_gap"] == pytest.approx(ours["value_total"] / CHUNK - 2.0)


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
    ours, found = estimate(schema, profile, score[:1000], label[:1000], worth={("1", "1"): 5.0})
    wanted = (*BINARY, "value_per_event", "value_total")
    assert ours["calibration_error"] > 0.1 and all(math.isnan(ours[m]) for m in wanted)
    assert all("calibration error" in s.evidence["reason"] for s in found if s.name in wanted)
    assert "value_total" not in estimate(schema, profile, score[:1000], label[:1000])[0]


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
    rng = np.random.default_rng(3)
    for _ in range(40):  # guesses: the matrix has an inverse by chance alone
        guess, true = rng.integers(0, 2, (2, 4000)).astype(str)
        joint = {(p, t): int(((guess == p) & (true == t)).sum()) for p in "01" for t in "01"}
        assert "do not tell the classes apart" in estimate_shares(joint, {"0": 380, "1": 420}).reason
    weak = {("0", "0"): 110_000, ("0", "1"): 100_000, ("1", "0"): 90_000, ("1", "1"): 100_000}
    assert "standard error" in estimate_shares(weak, {"0": 40, "1": 40}).reason
    assert estimate_shares(weak, {"0": 40_000, "1": 40_000}).reason == ""


def test_a_shift_of_labels_is_as_likely_as_its_test_says():
    """400 windows like the reference: the p-value is uniform; for two classes its z is the distance over its standard error."""
    rng = np.random.default_rng(9)
    confusion, values = np.array([[0.85, 0.15], [0.3, 0.7]]), []
    for _ in range(400):
        true, guess = shifted(rng, [0.6, 0.4], 800, confusion)
        joint = {(str(p), str(t)): int(((guess == p) & (true == t)).sum()) for p in range(2) for t in range(2)}
        _, guess = shifted(rng, [0.6, 0.4], 300, confusion)
        counts = {str(p): int((guess == p).sum()) for p in range(2)}
        found, p = estimate_shares(joint, counts), shift_p(joint, counts)
        z = 0.5 * np.abs(found.shares - found.reference).sum() / found.distance_error
        assert math.erfc(z / math.sqrt(2.0)) == pytest.approx(p, rel=0.35, abs=0.01)
        values.append(p)
    table = [[joint["0", "0"] + joint["0", "1"], joint["1", "0"] + joint["1", "1"]], [counts["0"], counts["1"]]]
    assert p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    assert stats.kstest(values, "uniform").pvalue > 0.01


@pytest.mark.parametrize("prior", [[0.99, 0.01], [0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.03, 0.015, 0.004, 0.001]])
def test_a_shift_of_rare_labels_in_few_rows_is_no_likelier_than_its_test_says(prior):
    rng, names = np.random.default_rng(14), [str(i) for i in range(len(prior))]
    values = []
    for _ in range(2000):
        joint = {(v, v): int(rows) for v, rows in zip(names, rng.multinomial(5000, prior), strict=True)}
        values.append(shift_p(joint, dict(zip(names, rng.multinomial(50, prior).tolist(), strict=True))))
    assert np.mean(np.array(values) <= 0.05) <= 0.065 and np.mean(np.array(values) <= 0.001) <= 0.003
    assert shift_p(joint, {names[0]: 20, names[-1]: 30}) < 1e-9


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_cells_are_found_as_a_search_finds_them(task):
    from detectors.score_cells import edges_of, find_cells

    edges = edges_of(task)
    score = np.concatenate(
        [edges, np.nextafter(edges, 2), np.nextafter(edges, -2), np.random.default_rng(0).random(5000), [-3.0, 7.0]]
    )
    np.testing.assert_array_equal(find_cells(edges, score), np.searchsorted(edges, score, side="right"))
