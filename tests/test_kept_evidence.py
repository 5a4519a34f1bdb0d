"""What a calm finding keeps of its evidence when it is stored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from detectors.labelled.calibration import calibration
from detectors.labelled.tally import Metric
from detectors.score import Finding, Score
from detectors.scoring import metric_scores
from monitor.kept_evidence import kept_evidence


def _kept(score: Score, level: str = "unjudged") -> dict[str, Any]:
    text = kept_evidence(Finding(score, level), 50)
    return json.loads(text) if text else {}


def test_the_reliability_curve_is_kept_with_ece():
    cells = np.array([[50, 20], [10, 60]])
    scores = {s.name: s for s in metric_scores(calibration(cells, np.array([0.5])))}
    kept = _kept(scores["ece"])
    curve = kept["reliability_curve"]
    assert {"mean_score", "observed_rate", "rows"} <= curve.keys()
    assert sum(curve["rows"]) == 140
    assert "interval_95" not in kept, "its interval stands in rows of its own"


def test_the_interval_of_one_class_is_kept_and_that_of_a_metric_with_rows_of_its_own_is_not():
    one, whole = Metric("f1:a", 0.7, 0.6, 0.8, 100), Metric("f1", 0.7, 0.6, 0.8, 100)
    assert [_kept(s) for s in metric_scores([one])] == [{"interval_95": [0.6, 0.8]}]
    assert [_kept(s) for s in metric_scores([whole])] == [{}, {}, {}]


def test_all_of_it_is_kept_of_what_is_bad():
    score = Score("age", "psi", 0.4, 100, evidence={"moved": [1, 2], "statistic": "psi"})
    assert _kept(score, "breach") == {"moved": [1, 2], "statistic": "psi"}
    assert _kept(score) == {"statistic": "psi"}
    assert _kept(Score("fairness", "demographic_parity", 0.1, 100, evidence={"rows": {"a": 60, "b": 40}, "of": "a"})) == {}


def test_what_moved_is_made_for_what_is_bad_alone():
    asked = []

    def more() -> dict[str, object]:
        asked.append(1)
        return {"moved": ["a"]}

    calm = Score("age", "psi", 0.4, 100, evidence={"statistic": "psi"}, more=more)
    assert _kept(calm, "ok") == {"statistic": "psi"} and not asked
    assert _kept(calm, "warn") == {"statistic": "psi", "moved": ["a"]} and asked == [1]


def test_what_a_comparison_answers_while_it_waits_and_what_was_left_out_are_kept():
    waiting = Score("compare:2/1:error", "promote", 0.0, 100, evidence={"answer": "keep waiting", "alpha": 0.05})
    assert _kept(waiting, "ok") == {"answer": "keep waiting"}
    preset = Score("evidently", "evidently_mean_value", 1.0, 100, evidence={"left_out": ["latency_ms: ..."], "cut_texts": 2})
    assert _kept(preset) == {"left_out": ["latency_ms: ..."], "cut_texts": 2}
