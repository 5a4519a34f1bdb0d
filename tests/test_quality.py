"""Data quality and outliers: against numpy, scipy's fences and SQL; and a verdict for every odd column."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import Columns, DictColumn, Schema
from detectors.profile import Profile
from detectors.quality import score_quality
from detectors.window import WindowSummary
from monitor.config import ConfigError, parse_config
from monitor.store.schema import alert_history
from tests.replayed import START, open_replay, replay_events, replay_rounds, scored, scores_of

SCHEMA = Schema(("x",), ("c",))


def columns(x, c=None, schema=SCHEMA) -> Columns:
    n = len(x)
    return Columns(
        rows=n,
        numeric={"x": np.asarray(x, dtype=float)},
        categorical={"c": DictColumn.from_list(["a"] * n if c is None else list(c))},
        score=np.full(n, np.nan),
        label=DictColumn.missing(n),
        latency_ms=np.full(n, np.nan),
        error=np.zeros(n, dtype=bool),
    )


def quality(reference, current, c_reference=None, c_current=None, grid=True):
    rows = columns(reference, c_reference)
    profile = Profile.build(rows, SCHEMA, "r") if grid else None
    learned = None if grid else WindowSummary.empty(SCHEMA, None)
    if learned is not None:
        learned.add(rows)
    window = WindowSummary.empty(SCHEMA, profile)
    window.add(columns(current, c_current))
    return {(s.subject, s.name): s for s in score_quality(window, profile, learned, "r")}


def fences(reference, factor):
    q1, q3 = np.quantile(reference, [0.25, 0.75])
    return q1 - factor * (q3 - q1), q3 + factor * (q3 - q1)


SHAPES = {
    "normal": lambda rng, n: rng.normal(0.5, 3, n),
    "gamma": lambda rng, n: rng.gamma(2.0, 100.0, n),
    "heavy": lambda rng, n: rng.standard_t(2, n),
    "integers": lambda rng, n: rng.poisson(6, n).astype(float),
}


@pytest.mark.parametrize("grid", [True, False], ids=["grid", "adaptive"])
@pytest.mark.parametrize("shape", SHAPES)
def test_shares_beyond_the_fences_and_the_range_are_numpys(shape, grid):
    rng = np.random.default_rng(5)
    reference, current = SHAPES[shape](rng, 20_000), SHAPES[shape](rng, 5_000) * (2.0 if shape == "integers" else 1.3)
    found = quality(reference, current, grid=grid)
    bound = 0.004 if shape != "integers" else 1e-9  # of whole numbers each has a cell of its own: exact
    for name, factor in (("outlier_share", 1.5), ("extreme_share", 3.0)):
        left, right = fences(reference, factor)
        exact = float(((current < left) | (current > right)).mean())
        assert found["x", name].value == pytest.approx(exact, abs=bound), name
        usual = float(((reference < left) | (reference > right)).mean())
        assert found["x", name].evidence["reference_share"] == pytest.approx(usual, abs=bound)
    exact = float(((current < reference.min()) | (current > reference.max())).mean())
    assert found["x", "out_of_range_share"].value == pytest.approx(exact, abs=1e-9 if grid else bound)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=60),
    st.booleans(),
)
def test_every_column_has_a_verdict_and_shares_are_shares(reference, current, grid):
    for score in quality(reference, current, grid=grid).values():
        assert math.isnan(score.value) or -1e-12 <= score.value <= 1 + 1e-12, score


def test_absent_and_constant_are_judged_against_the_reference():
    some = [1.0, 2.0, 3.0]
    assert quality(some, [np.nan] * 5)["x", "absent"].value == 1
    assert math.isnan(quality([np.nan] * 3, [np.nan] * 5)["x", "absent"].value)
    assert quality(some, some)["x", "absent"].value == 0
    assert quality(some, [7.0] * 5)["x", "constant"].value == 1
    assert quality([7.0] * 9, [7.0] * 5)["x", "constant"].value == 0  # as it was
    assert math.isnan(quality(some, [7.0])["x", "constant"].value)  # one row says nothing
    assert quality(some, [np.inf] * 5)["x", "constant"].value == 0
    assert quality(some, [np.inf] * 4 + [1.0])["x", "out_of_range_share"].value == pytest.approx(0.8)
    letters = quality(some, some, "abc", [None, None, None])
    assert letters["c", "absent"].value == 1 and math.isnan(letters["c", "constant"].value)
    assert quality(some, some, "abc", "aaa")["c", "constant"].value == 1


def test_a_reference_whose_middle_half_is_one_value_has_no_fences():
    score = quality([0.0] * 90 + [1.0] * 10, [0.0] * 50 + [9.0] * 50)["x", "outlier_share"]
    assert math.isnan(score.value) and "no fences" in score.evidence["reason"]


def test_strings_longer_than_any_of_the_reference():
    found = quality([1.0] * 4, [1.0] * 4, ["ab", "abc", "abcd", None], ["abc", "abcdefgh", "a", None])
    score = found["c", "length_out_of_range_share"]
    assert score.value == pytest.approx(2 / 3) and score.rows == 3
    assert score.evidence == {"lengths": [2, 4], "seen": [1, 8]}


MODEL = """
models:
  - name: credit
    features: {repaid: numeric, loan: numeric, email: category}
    window: {size: 1m, allowed_lateness: 0s}
    min_rows: 5
    checks: [{name: repaid_le_loan, expect: "repaid <= loan"}, {name: paired, expect: "not is_missing(email) or error"}]
    quality:
      freshness: true
      features: {repaid: {range: [0, 100]}, email: {pattern: "[^@]+@[^@]+", length: [3, 8]}}
    thresholds: {violation_share: {breach: 0.1}}
"""


def test_what_the_config_forbids_is_a_breach_and_told_without_limits(tmp_path):
    text = MODEL.replace("    thresholds: {violation_share: {breach: 0.1}}\n", "").replace("min_rows: 5", "min_rows: 30")
    alerts = "alerts: {channels: {log: {type: log}}, route: {channels: [log]}}\n"
    events = [
        {"event_id": f"{w}-{i}", "ts": START + 60_000 * w + 100 * i, "model": "credit",
         "features": {"repaid": 500.0 if w else 1.0, "loan": 2.0, "email": "nobody at all" if w else "a@b"}}
        for w in range(2) for i in range(100)
    ]  # fmt: skip
    cfg, store = open_replay(tmp_path, text + alerts)
    replay_events(cfg, store, tmp_path, events)
    found, told = scores_of(store), store.rows(alert_history.select())
    store.close()
    for subject, score in (("check:repaid_le_loan", "violation_share"), ("repaid", "range_violation_share"),
                           ("email", "pattern_violation_share"), ("email", "length_violation_share")):  # fmt: skip
        before, after = found[0, "", subject, score], found[1, "", subject, score]
        assert (before["value"], before["level"]) == (0.0, "ok") and (after["value"], after["level"]) == (1.0, "breach")
        assert (subject, score, "firing") in {(r["subject"], r["score"], r["status"]) for r in told if r["rule"] == "rule-broken"}


def test_rules_of_the_config_are_counted_row_by_row(tmp_path):
    values = [(1, 2, "a@b"), (3, 2, "nobody"), (None, 2, "a@b"), (500, 900, "toolong@toolong"), (-1, 5, None), (5, 5, "q@q")]
    events = [
        {"event_id": f"e{i}", "ts": START + 1000 * i, "model": "credit", "status": "failed" if e is None else "ok",
         "features": {"repaid": r, "loan": b, "email": e}}
        for i, (r, b, e) in enumerate(values)
    ]  # fmt: skip
    found = scored(tmp_path, MODEL, events)
    row = found[0, "", "check:repaid_le_loan", "violation_share"]
    assert (row["value"], row["rows"], row["level"]) == (0.2, 5, "breach")
    assert row["evidence"] == {"violations": 1, "kept": 4, "unknown": 1}
    assert found[0, "", "check:paired", "violation_share"]["value"] == 0
    assert found[0, "", "repaid", "range_violation_share"]["value"] == pytest.approx(2 / 5)
    assert found[0, "", "email", "pattern_violation_share"]["value"] == pytest.approx(1 / 5)
    assert found[0, "", "email", "length_violation_share"]["value"] == pytest.approx(1 / 5)
    assert found[0, "", "traffic", "newest_event_age_ms"]["value"] == 55_000


def test_how_fresh_events_are_is_told_by_the_logs_own_times_and_by_no_clock(tmp_path):
    features = {"repaid": 1.0, "loan": 2.0, "email": "a@b"}
    events = [{"event_id": f"e{i}", "ts": START + 250 * i, "model": "credit", "features": features} for i in range(200)]
    (tmp_path / "log").mkdir()
    cfg, store = open_replay(tmp_path / "log", MODEL)
    replay_rounds(cfg, store, [[("events", events)]])  # the record times of this log: START and a day
    found = scores_of(store)
    store.close()
    assert found[0, "", "traffic", "newest_event_age_ms"]["value"] == 60_000 - 250 * 199
    delays = sorted(86_400_000 - 250 * i for i in range(200))
    assert found[0, "", "traffic", "ingest_delay_p50_ms"]["value"] == pytest.approx(delays[100], rel=0.01)
    of_file = scored(tmp_path, MODEL, events)  # nobody recorded when a line of a file came
    assert not any("ingest_delay" in name for _, _, _, name in of_file)
    assert of_file[0, "", "traffic", "newest_event_age_ms"]["value"] == 60_000 - 250 * 199


def test_a_feature_that_vanishes_is_a_breach_without_any_configuration(tmp_path):
    text = "models: [{name: m, features: {x: numeric, y: category}, window: {size: 1m, allowed_lateness: 0s}, min_rows: 5, reference: {first_windows: 1}}]"
    events = [
        {
            "event_id": f"e{i}",
            "ts": START + 1000 * i,
            "model": "m",
            "features": {"x": i % 7, "y": "ab"[i % 2]} if i < 60 else {"y": "a"},
        }
        for i in range(120)
    ]
    found = scored(tmp_path, text, events)
    assert found[1, "", "x", "absent"]["level"] == "breach" and found[0, "", "x", "absent"]["level"] == "ok"
    assert found[1, "", "y", "constant"]["level"] == "warn" and found[0, "", "y", "constant"]["level"] == "ok"


def test_mistakes_in_rules_are_found_before_the_daemon_starts():
    text = MODEL.replace("repaid: {range: [0, 100]}", "loann: {range: [1, 2]}, loan: {pattern: x}, repaid: {range: [5, 1]}")
    with pytest.raises(ConfigError) as caught:
        parse_config(text.replace("[^@]+@[^@]+", "(?=a)"), "c.yaml")
    found = {p.path: str(p) for p in caught.value.problems}
    assert "did you mean 'loan'" in found["models[0].quality.features.loann"]
    assert "must be a text" in found["models[0].quality.features.loan.pattern"]
    assert "least, greatest" in found["models[0].quality.features.repaid"]
    assert "look-around" in found["models[0].quality.features.email.pattern"]
