"""What cannot be computed is no number: it has a reason, and its verdict is unsure, never ok."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest
from sklearn import metrics

from detectors.columns import Schema
from detectors.labelled.binary import OF_SCORES
from detectors.limits import Limit, judge
from detectors.performance import PerformanceSummary
from detectors.score import Score
from detectors.scoring import score_performance
from monitor.config import parse_config
from monitor.references import build_reference
from tests.replayed import START, open_replay, replay_events, scored, scores_of
from tests.test_labelled_metrics import MULTI, outcomes

BINARY = Schema((), (), "binary", "yes")


def performance(schema, *parts):
    summary = PerformanceSummary.empty(schema)
    for rows in parts:
        piece = PerformanceSummary.empty(schema)
        piece.add(rows)
        summary.merge(PerformanceSummary.from_bytes(piece.to_bytes(), schema))
    return {s.name: s for s in score_performance(summary) if s.subject == "performance"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("reference", ["", "r"])
@pytest.mark.parametrize("limits", [{}, {"spread": Limit(breach=5.0)}, {"spread": Limit(breach=0.1, below=True)}])
def test_no_number_is_unsure_whether_or_not_there_is_a_limit_a_reference_or_a_reason(value, reference, limits):
    (finding,) = judge([Score("fairness:g", "spread", value, 500, reference)], limits, 50)
    assert finding.level == "unsure"


def scores_of_two_classes(n, spread):
    rng = np.random.default_rng(1)
    y = rng.random(n) < 0.4
    return y, rng.normal(np.where(y, 1.0, -1.0), spread)


def test_scores_that_are_no_probabilities_give_no_metric_of_probabilities_and_leave_the_others():
    y, logits = scores_of_two_classes(600, 3.0)
    names = np.array(["no", "yes"])
    predicted, true = names[(logits > 0) * 1], names[y * 1]
    found = performance(BINARY, outcomes(600, predicted, logits, true))
    for name in OF_SCORES:
        assert math.isnan(found[name].value) and "outside 0 to 1" in str(found[name].evidence["reason"]), name
        assert f"{name}_low" not in found
    assert found["accuracy"].value == metrics.accuracy_score(true, predicted)
    assert found["f1"].value == pytest.approx(metrics.f1_score(true, predicted, pos_label="yes"))
    assert {f.level for f in judge([found[n] for n in OF_SCORES], {}, 5)} == {"unsure"}


def test_one_score_of_many_that_is_no_probability_is_enough_and_taken_back_it_is_forgotten():
    y, logits = scores_of_two_classes(400, 2.0)
    chances = 1 / (1 + np.exp(-logits))
    names = np.array(["no", "yes"])
    good = outcomes(400, names[(chances > 0.5) * 1], chances, names[y * 1])
    bad = outcomes(1, ["yes"], [7.0], ["yes"])
    back = outcomes(1, ["yes"], [7.0], ["yes"])
    back.weight[:] = -1
    assert math.isnan(performance(BINARY, good, bad)["roc_auc"].value)
    again = performance(BINARY, back, good, bad)
    assert again["roc_auc"].value == pytest.approx(metrics.roc_auc_score(y, chances), abs=1e-3)
    assert again["brier"].value == pytest.approx(metrics.brier_score_loss(y, chances))


def test_rounding_beyond_one_is_a_probability_all_the_same():
    found = performance(BINARY, outcomes(2, ["yes", "no"], [1.0000001, -1e-9], ["yes", "no"]))
    assert found["roc_auc"].value == 1.0 and found["brier"].value == pytest.approx(0.0, abs=1e-12)


def test_the_confidence_of_a_multiclass_model_is_judged_likewise():
    found = performance(MULTI, outcomes(3, ["a", "b", "c"], [2.5, 0.4, 0.9], ["a", "b", "c"]))
    assert math.isnan(found["ece"].value) and math.isnan(found["mce"].value) and found["accuracy"].value == 1.0


def test_a_positive_label_that_no_row_has_gives_no_zero():
    names = np.array(["no", "yes"])
    y, logits = scores_of_two_classes(200, 2.0)
    chances = 1 / (1 + np.exp(-logits))
    found = performance(Schema((), (), "binary", "Yes"), outcomes(200, names[(chances > 0.5) * 1], chances, names[y * 1]))
    for name in ("precision", "recall", "f1", "specificity", "balanced_accuracy", *OF_SCORES):
        assert math.isnan(found[name].value) and "'Yes'" in str(found[name].evidence["reason"]), name
        assert "'yes'" in str(found[name].evidence["reason"])
    assert 0.5 < found["accuracy"].value < 1.0


def test_a_window_without_a_positive_row_says_what_can_be_said():
    found = performance(BINARY, outcomes(50, ["no"] * 50, np.full(50, 0.1), ["no"] * 50))
    assert all(math.isnan(found[name].value) for name in ("precision", "recall", "f1", "roc_auc"))
    assert found["specificity"].value == 1.0 and found["brier"].value == pytest.approx(0.01)


FAIR = """
models:
  - name: m
    task: binary
    positive_label: "yes"
    features: {x: numeric}
    segments: [channel]
    fairness: {protected: [channel], favourable: %s}
    window: {size: 1m, allowed_lateness: 0s}
    min_rows: %d
"""


@pytest.mark.parametrize(("favourable", "level"), [("yess", "unsure"), ("'yes'", "ok")])
def test_a_favourable_label_that_no_row_has_is_unsure_and_said(tmp_path, favourable, level):
    events = [
        {"event_id": str(i), "ts": START + i, "model": "m", "features": {"x": 1.0}, "segment": {"channel": "ab"[i % 2]},
         "prediction": {"label": "no" if i % 3 else "yes", "score": 0.4}}
        for i in range(120)
    ]  # fmt: skip
    found = scored(tmp_path, FAIR % (favourable, 20), events)
    limits = {
        "demographic_parity_difference": "unjudged",
        "disparate_impact": level,
    }  # only the four fifths have a limit by default
    for name, expected in limits.items():
        row = found[(0, "", "fairness:channel", name)]
        assert row["level"] == (level if level == "unsure" else expected) and (row["value"] is None) == (level == "unsure")
        assert (favourable in str(row["evidence"].get("reason"))) == (level == "unsure")


def test_groups_with_too_few_rows_are_unsure_and_say_how_many_there_are(tmp_path):
    events = [
        {"event_id": str(i), "ts": START + i, "model": "m", "features": {"x": 1.0}, "segment": {"channel": "a" if i else "b"},
         "prediction": {"label": "yes", "score": 0.4}}
        for i in range(120)
    ]  # fmt: skip
    row = scored(tmp_path, FAIR % ("'yes'", 20), events)[(0, "", "fairness:channel", "demographic_parity_difference")]
    assert row["level"] == "unsure" and row["evidence"]["reason"] == "1 groups have 20 rows; at least 2 are compared"


def test_no_estimate_no_split_and_nothing_of_features_together_without_what_they_need_and_the_reason(tmp_path):
    """A regression model that keeps no rows, whose reference is older than the wish for `multivariate`; then one row alone."""
    config = """
models:
  - name: m
    task: regression
    features: {{x: numeric, y: numeric}}
    window: {{size: 1m, allowed_lateness: 0s}}
    {more}
"""
    more = "multivariate: {pca: true, mahalanobis: true, mmd: [features], correlation: {pairs: [[x, y]]}}"
    rng = np.random.default_rng(2)

    def event(i, ts):
        x = rng.normal()
        return {
            "event_id": f"e{i}",
            "ts": ts,
            "model": "m",
            "features": {"x": x, "y": x + rng.normal()},
            "prediction": {"value": x},
        }

    training = [{**event(-i, START - 60_000), "label": rng.normal()} for i in range(1, 601)]
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(orjson.dumps(e) for e in training))
    events = [*(event(i, START + 100 * i) for i in range(300)), event(300, START + 60_000)]
    for age in ("before", "after"):
        folder = tmp_path / age
        folder.mkdir()
        cfg, store = open_replay(folder, config.format(more=more if age == "after" else ""))
        list(build_reference(cfg, store, "m", tmp_path / "train.jsonl", (), True))
        cfg = parse_config(f"store: {{url: 'sqlite:///{folder}/r.db'}}\n{config.format(more=more)}", "c")
        replay_events(cfg, store, folder, events)
        found = scores_of(store)
        store.close()
        together = [
            ("multivariate", "reconstruction_error"),
            ("multivariate", "mahalanobis"),
            ("multivariate", "mmd"),
            ("x,y", "correlation"),
        ]
        for window in (0, 1):
            row = found[window, "", "estimated_performance", "mae"]
            assert row["value"] is None and row["level"] == "unsure" and "add `sample`" in row["evidence"]["reason"]
            for subject, name in together:
                row = found[window, "", subject, name]
                if age == "after" and (window == 0 or name == "reconstruction_error"):
                    assert row["value"] is not None, name
                    continue
                why = "built before the config asked" if age == "before" else "2 are needed"
                assert row["value"] is None and row["level"] == "unsure" and why in row["evidence"]["reason"], name
                assert (window, "", subject, f"{name}_p") not in found


def test_a_change_against_earlier_windows_that_have_no_rows_says_so(tmp_path):
    events = [
        {"event_id": f"e{i}", "ts": START + 600 * i, "model": "m", "features": {"x": 1.0}, "prediction": {"label": "a"}}
        for i in range(400)
    ]
    labels = [{"event_id": f"e{i}", "label": "a" if i % 3 else "b", "label_ts": START + 600 * i + 1} for i in range(400)]
    config = (
        "models: [{name: m, task: multiclass, features: {x: numeric}, min_rows: 50, window: {size: 1m, allowed_lateness: 0s}}]\n"
    )
    found = scored(tmp_path, config, events, labels)
    for name in ("performance_expected_at_mix", "performance_change_by_inputs", "performance_change_by_concept_p"):
        first, later = found[0, "", "concept", name], found[3, "", "concept", name]
        assert first["value"] is None and first["level"] == "unsure" and "too few labelled rows" in first["evidence"]["reason"], (
            name
        )
        assert later["value"] is not None, name


def test_one_labelled_row_is_no_change_against_a_built_reference_and_says_so(tmp_path):
    config = (
        "models: [{name: m, task: binary, positive_label: y, features: {x: numeric}, window: {size: 1m, allowed_lateness: 0s}}]\n"
    )
    rng = np.random.default_rng(3)

    def event(i, ts):
        p = float(rng.random())
        said = {"label": "y" if p > 0.5 else "n", "score": p}
        return {"event_id": f"e{i}", "ts": ts, "model": "m", "features": {"x": rng.normal()}, "prediction": said}

    cfg, store = open_replay(tmp_path, config)
    training = [{**event(-i, START - 60_000), "label": "y" if rng.random() < 0.5 else "n"} for i in range(1, 601)]
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(orjson.dumps(e) for e in training))
    list(build_reference(cfg, store, "m", tmp_path / "train.jsonl", (), True))
    labels = [{"event_id": "e0", "label": "y", "label_ts": START + 1}]
    replay_events(cfg, store, tmp_path, [event(i, START + 100 * i) for i in range(300)], labels)
    found = scores_of(store)
    store.close()
    row = found[0, "", "concept", "performance_change_by_concept"]
    assert row["value"] is None and row["level"] == "unsure" and "too few labelled rows" in row["evidence"]["reason"]


def test_sets_without_any_label_have_no_precision_and_are_no_fall_of_it():
    schema = Schema((), (), "multilabel", classes=("a", "b"), vectors={"labels": 2})
    none = np.zeros((30, 2))
    found = performance(schema, outcomes(30, labels=none, true_labels=none, true_others=np.zeros((30, 1))))
    for name in ("micro_precision", "micro_recall", "micro_f1", "macro_f1", "f1:a", "f1:b"):
        assert math.isnan(found[name].value) and found[name].evidence["reason"] == "no row has a label, predicted or true", name
    assert found["subset_accuracy"].value == 1.0 and found["hamming_loss"].value == 0.0
    only = none.copy()
    only[:9, 0] = 1.0
    found = performance(schema, outcomes(30, labels=only, true_labels=only, true_others=np.zeros((30, 1))))
    assert found["micro_f1"].value == found["f1:a"].value == 1.0 and "label 'b'" in str(found["f1:b"].evidence["reason"])


def test_rankings_of_which_no_label_names_a_relevant_item_say_so():
    schema = Schema((), (), "ranking", top_k=2)
    none = np.zeros((25, 1))
    found = performance(schema, outcomes(25, gains=np.zeros((25, 2)), ideal=np.zeros((25, 2)), relevant=none))
    assert found["no_relevant_share"].value == 1.0
    for name in ("ndcg_at_k", "map_at_k", "mrr", "hit_rate_at_k", "precision_at_k", "recall_at_k"):
        assert math.isnan(found[name].value) and "no label names a relevant item" in str(found[name].evidence["reason"]), name


def test_shares_of_classes_are_of_the_rows_whose_class_was_counted():
    predicted = ["yes"] * 10 + ["no"] * 10 + [None] * 20
    summary = PerformanceSummary.empty(BINARY)
    summary.add(outcomes(40, predicted, np.linspace(0, 1, 40), ["yes", "no"] * 20))
    shares = {s.name: s.value for s in score_performance(summary) if s.subject == "target"}
    assert shares == {"share:no": 0.5, "share:yes": 0.5}


def test_a_truth_that_is_the_forecast_lies_at_or_below_it_though_forecasts_come_as_float32():
    """Prices: 9.99 as float32 is less than 9.99, and 7.3 is more."""
    schema = Schema((), (), "quantile", quantiles=(0.1, 0.9), vectors={"quantiles": 2})
    truth = np.repeat([9.99, 7.3], 20)
    found = performance(schema, outcomes(40, value=truth, quantiles=np.stack([truth, truth], axis=1)))
    assert found["quantile_coverage:0.1"].value == found["quantile_coverage:0.9"].value == found["interval_coverage"].value == 1.0
