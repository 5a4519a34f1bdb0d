"""Estimates of performance are held against what they are on the reference's rows: at the rate that is said, and where NannyML alerts."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import orjson
import pytest
from sqlalchemy import select

from detectors import frame
from detectors.calibrate.nulls import STUDENT
from detectors.class_calibration import CELLS, calibrated, cells_of, load_classes
from detectors.class_worth import PRODUCTS
from detectors.columns import Schema
from detectors.usual import ERROR, REFERENCE
from monitor.held_estimates import held_estimate
from monitor.references import build_reference
from monitor.store.schema import alert
from tests.replayed import START, open_replay, replay_events, scores_of
from tests.test_estimated import (
    CHUNK,
    binary_schema,
    class_reference,
    class_schema,
    class_scores,
    estimate,
    loans,  # noqa: F401  a fixture
    reference_of,
    texts,
)

DAY_MS = 86_400_000


def binary_rows(rng, n):
    p = rng.beta(0.8, 1.6, n)
    return p, ["1" if v > 0.5 else "0" for v in p], ["1" if v else "0" for v in rng.random(n) < p]


def class_rows(rng, n):
    p = rng.dirichlet([0.6, 0.9, 1.2], n).astype(np.float32)
    truth = (p.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).clip(0, 2)
    return p, [f"c{i}" for i in p.argmax(axis=1)], [f"c{i}" for i in truth]


def from_binary(rng, reference, windows, rows):
    """The estimates of windows that are like the reference."""
    schema = binary_schema()
    profile = reference_of(schema, *binary_rows(rng, reference))
    return [estimate(schema, profile, *binary_rows(rng, rows)[:2])[1] for _ in range(windows)]


def from_confidence(rng, reference, windows, rows):
    """Of three classes, from the probability of the predicted one."""
    schema = Schema((), (), "multiclass", parts={"score_cells": {}})
    p, guess, truth = class_rows(rng, reference)
    profile = reference_of(schema, p.max(axis=1), guess, truth)
    out = []
    for _ in range(windows):
        p, guess, _ = class_rows(rng, rows)
        out.append(estimate(schema, profile, p.max(axis=1), guess)[1])
    return out


def from_chances(rng, reference, windows, rows):
    """Of three classes, from the probabilities of all."""
    schema = class_schema(("c0", "c1", "c2"))
    profile = class_reference(schema, *class_rows(rng, reference))
    return [class_scores(schema, profile, *class_rows(rng, rows)[:2])[1] for _ in range(windows)]


@pytest.mark.parametrize("make", [from_binary, from_confidence, from_chances])
@pytest.mark.parametrize("rows", [200, 2000])
def test_estimates_of_windows_like_the_reference_pass_a_limit_as_often_as_it_says(make, rows):
    """10 references of 4,000 rows, 60 windows each: deviates with a spread of one, and alarms at the rate that is meant or below."""
    rng = np.random.default_rng(5)
    out = {}
    for _ in range(10):
        for found in make(rng, 4000, 60, rows):
            for score in found:
                if ERROR in score.evidence and (held := held_estimate(score)).settled == "":
                    out.setdefault(score.name, []).append(held.out)
    for name in ("accuracy", "f1", *(["roc_auc"] if make is not from_confidence else [])):
        deviates = np.array(out[name])
        assert len(deviates) > 500 and 0.85 < deviates.std() < 1.15 and abs(deviates.mean()) < 0.45, name
        for level in (0.1, 0.01):
            limit = 4 * math.sqrt(level * (1 - level) / len(deviates)) + 0.3 * level
            assert (deviates > STUDENT.value_at(level)).mean() < level + limit, (name, level)


def test_standard_errors_are_those_of_rows_drawn_anew():
    """The oracle is the bootstrap: of the reference's rows with the calibration as it is, for a window of as many rows."""
    rng = np.random.default_rng(6)
    schema, (score, guess, truth) = binary_schema(), binary_rows(rng, 3000)
    profile = reference_of(schema, score, guess, truth)
    guess = np.array(guess)
    drawn = {}
    for _ in range(300):
        at = rng.integers(0, 3000, 3000)
        values, found = estimate(schema, profile, score[at], guess[at].tolist())
        for name, value in values.items():
            drawn.setdefault(name, []).append(value)
    said = {s.name: s.evidence[ERROR] for s in found if ERROR in s.evidence}
    assert set(said) >= {"accuracy", "precision", "recall", "f1", "specificity", "roc_auc", "true_positive_share"}
    for name, error in said.items():  # of both sides, as many rows each
        assert error / math.sqrt(2.0) == pytest.approx(np.std(drawn[name]), rel=0.15), name


WORTH = {("1", "1"): 100.0, ("1", "0"): -20.0, ("0", "1"): -50.0}
CLASS_WORTH = {("c0", "c0"): 5.0, ("c0", "c1"): -9.0, ("c2", "c2"): 1.0, ("c1", "c2"): -3.0}


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_what_predictions_are_worth_is_held_against_the_reference_with_the_error_of_rows_drawn_anew(task):
    """Windows like the reference: deviates of spread one. On the reference's rows drawn anew: the error of the bootstrap."""
    rng = np.random.default_rng(8)
    schema = binary_schema() if task == "binary" else Schema((), (), "multiclass", parts={"score_cells": {}})

    def rows(n):
        p, guess, truth = binary_rows(rng, n) if task == "binary" else class_rows(rng, n)
        return (p if task == "binary" else p.max(axis=1)), np.array(guess), truth

    score, guess, truth = rows(3000)
    profile = reference_of(schema, score, guess.tolist(), truth)

    def of(p, predicted):
        worth = WORTH if task == "binary" else CLASS_WORTH
        found = estimate(schema, profile, p, predicted.tolist(), worth=worth)[1]
        return {s.name: s for s in found if s.name in ("value_per_event", "value_total")}

    same = of(score, guess)["value_per_event"]
    assert same.value == pytest.approx(same.evidence[REFERENCE]) and held_estimate(same).out == pytest.approx(0.0, abs=1e-6)
    drawn = [of(score[at], guess[at])["value_per_event"].value for at in (rng.integers(0, 3000, 3000) for _ in range(200))]
    assert same.evidence[ERROR] / math.sqrt(2.0) == pytest.approx(np.std(drawn), rel=0.2)
    windows = [of(*rows(300)[:2]) for _ in range(200)]
    deviates = np.array([held_estimate(w["value_per_event"]).out for w in windows])
    assert 0.85 < deviates.std() < 1.15 and abs(deviates.mean()) < 0.75
    assert held_estimate(windows[0]["value_total"]).out == pytest.approx(deviates[0], rel=1e-4)
    assert held_estimate(of(np.full(300, 0.05), guess[:300])["value_per_event"]).out > 5, "uncertain predictions are worth less"


@pytest.mark.parametrize("most", [PRODUCTS, 2], ids=["few classes", "many classes"])
def test_of_probabilities_of_all_classes_what_predictions_are_worth_is_that_of_plain_sums_over_rows(monkeypatch, most):
    """Oracles: each row's calibrated probabilities times the worths of its predicted label, and rows drawn anew.

    Of many classes the error is that of realised values: greater, by what their labels scatter.
    """
    monkeypatch.setattr("detectors.class_worth.PRODUCTS", most)
    rng, names = np.random.default_rng(9), ("c0", "c1", "c2")
    schema = class_schema(names)

    def rows(n):
        p, guess, truth = class_rows(rng, n)
        guess = np.where(rng.random(n) < 0.1, rng.choice(["c0", "c2", "other"], n), guess)
        power = p**1.4  # what the model says is not what happens
        truth = (power / power.sum(axis=1, keepdims=True)).cumsum(axis=1) < rng.random((n, 1))
        return p, guess, [f"c{i}" for i in truth.sum(axis=1).clip(0, 2)]

    chances, guess, truth = rows(3000)
    profile = class_reference(schema, chances, guess.tolist(), truth)
    fit = load_classes(profile.extras["class_cells"])

    def of(p, predicted):
        found = class_scores(schema, profile, p, predicted.tolist(), worth=CLASS_WORTH)[1]
        return {s.name: s for s in found if s.name in ("value_per_event", "value_total")}

    p = calibrated(fit, chances, cells_of(chances) + np.arange(3) * CELLS)
    money = np.array([[CLASS_WORTH.get((g, t), 0.0) for t in names] for g in guess])
    each = (p * money).sum(axis=1)
    sigma = each.std() if most > 2 else math.sqrt((p * money**2).sum(axis=1).mean() - each.mean() ** 2)
    same = of(chances, guess)["value_per_event"]
    assert same.value == pytest.approx(each.mean(), abs=1e-6) and same.evidence[REFERENCE] == pytest.approx(each.mean())
    assert same.evidence[ERROR] == pytest.approx(sigma * math.sqrt(2 / 3000), rel=1e-4)
    if most == 2:
        assert sigma > 1.05 * each.std()
        return
    drawn = [of(chances[at], guess[at])["value_per_event"].value for at in (rng.integers(0, 3000, 3000) for _ in range(200))]
    assert same.evidence[ERROR] / math.sqrt(2.0) == pytest.approx(np.std(drawn), rel=0.15)
    windows = [of(*rows(300)[:2]) for _ in range(200)]
    deviates = np.array([held_estimate(w["value_per_event"]).out for w in windows])
    assert 0.85 < deviates.std() < 1.15 and abs(deviates.mean()) < 0.75
    assert held_estimate(windows[0]["value_total"]).out == pytest.approx(deviates[0], rel=1e-4)
    worse = of(np.tile(np.float32([0.1, 0.8, 0.1]), (300, 1)), np.repeat("c0", 300))["value_per_event"]
    assert held_estimate(worse).out > 5, "c1 taken for c0 costs most"


@pytest.mark.parametrize("before", [1, 2])
def test_a_reference_of_an_earlier_release_is_read_and_asks_to_be_built_anew(before):
    """Format 2 had no sums of worth, format 1 no estimates of its own rows either."""
    rng = np.random.default_rng(9)
    schema = class_schema(("c0", "c1", "c2"))
    profile = class_reference(schema, *class_rows(rng, 2000))
    head, numbers, values, *_ = frame.split(profile.extras["class_cells"][1:])
    head = orjson.dumps(orjson.loads(head)[: 3 + before])
    old = dataclasses.replace(
        profile, extras={**profile.extras, "class_cells": bytes([before]) + frame.join([head, numbers, values])}
    )
    p, guess, _ = class_rows(rng, 300)
    found = {s.name: s for s in class_scores(schema, old, p, guess, worth=CLASS_WORTH)[1]}
    new = {s.name: s for s in class_scores(schema, profile, p, guess, worth=CLASS_WORTH)[1]}
    assert all(s.value == pytest.approx(new[name].value, nan_ok=True) for name, s in found.items())
    assert "build the reference anew" in held_estimate(found["value_per_event"]).settled
    assert (held_estimate(found["accuracy"]).settled == "") == (before == 2)
    assert held_estimate(new["value_per_event"]).settled == ""


def test_a_chunk_of_nannymls_car_loans_is_far_out_where_nannyml_alerts(loans):  # noqa: F811
    reference, analysis, theirs = loans
    schema = binary_schema()
    profile = reference_of(schema, reference["y_pred_proba"], texts(reference["y_pred"]), texts(reference["repaid"]))
    alerts = []
    for i in range(len(analysis) // CHUNK):
        chunk = analysis.iloc[i * CHUNK : (i + 1) * CHUNK]
        _, found = estimate(schema, profile, chunk["y_pred_proba"], texts(chunk["y_pred"]))
        of = {s.name: held_estimate(s) for s in found}
        for metric in ("accuracy", "roc_auc"):
            chance = STUDENT.survival(of[metric].out)
            alerts.append(bool(theirs[metric]["alert"].iloc[i]))
            assert chance < 1e-4 if alerts[-1] else chance > 1e-3, (metric, i, chance)
    assert alerts.count(True) == 10 and len(alerts) == 20


def test_a_class_of_few_rows_is_not_compared_and_scores_without_a_reference_value_say_why():
    rng = np.random.default_rng(7)
    schema, (score, guess, truth) = binary_schema(), binary_rows(rng, 3000)
    profile = reference_of(schema, score, guess, truth)
    _, found = estimate(schema, profile, np.full(50, 0.1), ["0"] * 50)
    of = {s.name: held_estimate(s).settled for s in found}
    assert of["accuracy"] == "" and "too few rows of a class" in of["recall"] and "too few rows of a class" in of["roc_auc"]
    assert "build the reference anew" in held_estimate(next(s for s in found if s.name == "calibration_error")).settled


CONFIG = """
models:
  - name: m
    task: binary
    positive_label: "1"
    features: {x: numeric}
    window: {size: 1d, allowed_lateness: 0s}
    false_alarms_per_week: 0.05
alerts: {channels: {c: {type: log}}, route: {channels: [c]}}
"""
ROWS, CALM, WINDOWS = 400, 8, 10


def test_the_preset_tells_that_estimated_performance_fell_before_any_label(tmp_path):
    rng = np.random.default_rng(8)

    def row(i, ts, doubtful):
        x = rng.normal() * (0.15 if doubtful else 1.0)
        p = 1.0 / (1.0 + math.exp(-4.0 * x))
        return {
            "event_id": f"e{i}", "ts": ts, "model": "m", "features": {"x": x},
            "prediction": {"label": "1" if p > 0.5 else "0", "score": p},
        }, "1" if rng.random() < p else "0"  # fmt: skip

    cfg, store = open_replay(tmp_path, CONFIG)
    training = [row(-i, START - DAY_MS, False) for i in range(4000)]
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(orjson.dumps({**event, "label": label}) for event, label in training))
    list(build_reference(cfg, store, "m", tmp_path / "train.jsonl", (), True))
    n = WINDOWS * ROWS
    replay_events(cfg, store, tmp_path, [row(i, START + i * (DAY_MS // ROWS), i >= CALM * ROWS)[0] for i in range(n)])
    scores = scores_of(store)
    told = [r for r in store.rows(select(alert)) if r["rule"] == "estimated-performance-fell"]
    store.close()
    assert {r["score"] for r in told} == {"accuracy", "roc_auc"}
    assert {r["window_start_ms"] for r in told} == {START + CALM * DAY_MS}
    for window in range(WINDOWS):
        found = scores[window, "", "estimated_performance", "accuracy"]
        assert (found["level"], found["rule"].startswith("calibrated accuracy")) == ("breach" if window >= CALM else "ok", True)
    evidence = scores[CALM, "", "estimated_performance", "accuracy"]["evidence"]
    assert evidence["reference_value"] == pytest.approx(0.86, abs=0.02) and 0 < evidence["standard_error"] < 0.02
