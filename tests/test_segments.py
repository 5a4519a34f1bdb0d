"""Segments by expression are segments like any other: inputs, performance, references, fairness."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.config import ConfigError, config_hash, effective, parse_config
from tests.replayed import START, scored

MODEL = """
models:
  - name: credit
    task: binary
    positive_label: "yes"
    features: {age: numeric, region: category}
    segments: %s
    window: {size: 1m, allowed_lateness: 0s}
    min_rows: 20
    fairness: {protected: %s}
"""


def traffic(n=900, seed=3):
    rng = np.random.default_rng(seed)
    events, labels = [], []
    for i in range(n):
        age = None if i % 50 == 7 else float(rng.integers(18, 80))
        young = age is not None and age < 30
        predicted = "yes" if rng.random() < (0.2 if young else 0.5) else "no"
        events.append({
            "event_id": f"e{i}", "ts": START + i * 100, "model": "credit", "version": "1",
            "features": {"age": age, "region": str(rng.choice(["MA", "NY"]))},
            "prediction": {"label": predicted, "score": float(rng.random())},
            "segment": {"channel": "web" if i % 3 else "app", **({} if age is None else {"young": str(young).lower()})},
        })  # fmt: skip
        if i % 2:
            right = rng.random() < 0.8
            labels.append(
                {
                    "event_id": f"e{i}",
                    "label": predicted if right else ("no" if predicted == "yes" else "yes"),
                    "label_ts": START + 100_000 + i,
                }
            )
    return events, labels


def test_an_expression_segment_equals_the_key_that_says_the_same(tmp_path):
    events, labels = traffic()
    for name in ("key", "where"):
        (tmp_path / name).mkdir()
    by_key = scored(tmp_path / "key", MODEL % ("[channel, young]", "[young]"), events, labels)
    text = MODEL % ("[channel, {name: young, where: 'age < 30'}]", "[young]")
    by_expression = scored(tmp_path / "where", text, events, labels)
    assert by_expression.keys() == by_key.keys()
    for key, row in by_key.items():
        assert by_expression[key]["value"] == row["value"] and by_expression[key]["rows"] == row["rows"], key
    assert by_key[0, "young=true", "performance", "accuracy"]["rows"] > 20


def test_only_what_is_compared_counts_the_rows_outside(tmp_path):
    events, _ = traffic(300)
    segments = "[{name: young, where: 'age < 30'}, {name: ma, where: \"region == 'MA' and not error\"}]"
    found = scored(tmp_path, MODEL % (segments, "[ma]"), events)
    assert {key[1] for key in found} == {"", "young=true", "ma=true", "ma=false"}


def test_the_groups_of_an_expression_are_compared_and_four_fifths_is_the_limit(tmp_path):
    events, labels = traffic()
    found = scored(tmp_path, MODEL % ("[{name: young, where: 'age < 30'}]", "[young]"), events, labels)
    impact = found[0, "", "fairness:young", "disparate_impact"]
    chosen = [e for e in events if e["ts"] < START + 60_000 and e["features"]["age"] is not None]
    rate = {
        side: np.mean([e["prediction"]["label"] == "yes" for e in chosen if (e["features"]["age"] < 30) == side])
        for side in (True, False)
    }
    assert impact["value"] == pytest.approx(rate[True] / rate[False]) and impact["value"] < 0.8
    assert (impact["level"], impact["rule"]) == ("breach", "calibrated disparate_impact")
    assert impact["value"] < impact["threshold"] < 0.8 and impact["evidence"]["probability"] < impact["evidence"]["needed"]
    fixed = MODEL.replace("    min_rows", "    false_alarms_per_week: 0\n    min_rows") % (
        "[{name: young, where: 'age < 30'}]",
        "[young]",
    )
    (tmp_path / "fixed").mkdir()
    by_rule = scored(tmp_path / "fixed", fixed, events, labels)[0, "", "fairness:young", "disparate_impact"]
    assert (by_rule["level"], by_rule["threshold"], by_rule["rule"]) == ("breach", 0.8, "static disparate_impact")
    assert impact["evidence"]["four_fifths_rule"] == "broken" and set(impact["evidence"]["rates"]) == {"true", "false"}
    assert found[0, "", "fairness:young", "equal_opportunity_difference"]["rows"] >= 20


def test_groups_that_are_treated_alike_raise_no_alarm_though_four_fifths_are_broken_by_chance(tmp_path):
    rng = np.random.default_rng(5)
    events = [
        {"event_id": f"e{i}", "ts": START + i * 100, "model": "credit", "version": "1", "features": {"age": 30.0, "region": "MA"},
         "prediction": {"label": "yes" if rng.random() < 0.08 else "no", "score": 0.5}, "segment": {"channel": "ab"[i % 2]}}
        for i in range(18_000)
    ]  # fmt: skip
    found = scored(tmp_path, MODEL % ("[channel]", "[channel]"), events)
    rows = [row for key, row in found.items() if key[1:] == ("", "fairness:channel", "disparate_impact")]
    broken = [row for row in rows if row["value"] <= 0.8]
    assert len(rows) == 30 and len(broken) > 8
    assert {row["level"] for row in rows} == {"ok"}
    assert all(row["threshold"] < row["value"] for row in rows), "the limit is where it would have alarmed"


def test_a_segment_of_a_few_rows_is_unsure(tmp_path):
    events, _ = traffic(60)
    found = scored(tmp_path, MODEL % ("[{name: old, where: 'age > 79'}]", "[old]"), events)
    assert found[0, "", "fairness:old", "disparate_impact"]["level"] == "unsure"
    assert found[0, "", "fairness:old", "disparate_impact"]["value"] is None


def test_mistakes_are_found_before_the_daemon_starts():
    text = MODEL % ("[channel, {name: young, where: 'agee < 30'}, {name: x, where: 'age'}, {name: x, wher: 1}]", "[yung]")
    with pytest.raises(ConfigError) as caught:
        parse_config(
            text.replace("    fairness", "    checks: [{name: a, expect: 'age >'}, {name: a, expect: 'age > 1'}]\n    fairness"),
            "c.yaml",
        )
    found = {p.path: str(p) for p in caught.value.problems}
    assert "did you mean 'age'" in found["models[0].segments[1].where"]
    assert "true or false" in found["models[0].segments[2].where"]
    assert "taken" in found["models[0].segments[3]"]
    assert "did you mean 'where'" in found["models[0].segments[3].wher"]
    assert "column 6" in found["models[0].checks[0].expect"] and "taken" in found["models[0].checks[1].name"]
    assert "did you mean 'young'" in found["models[0].fairness.protected[0]"]


def test_segments_decide_results_and_show_in_the_effective_config():
    one = parse_config(MODEL % ("[channel]", "[]"), "c")
    two = parse_config(MODEL % ("[channel, {name: young, where: 'age < 30'}]", "[young]"), "c")
    assert config_hash(one, "credit") != config_hash(two, "credit")
    assert parse_config(effective(two), "e") == two
    assert two.models[0].segment_keys == ("channel",)
