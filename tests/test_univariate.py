"""What a feature's drift says end to end: the chosen statistic and why, what moved, and a clear verdict for bad input."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from alerts.words import bars
from detectors.adaptive import AdaptiveSummary
from detectors.category import CategorySummary
from detectors.choice import Choice
from detectors.columns import Columns, DictColumn, Schema
from detectors.limits import Limit, judge
from detectors.numeric import GridSummary, make_grid
from detectors.profile import Profile
from detectors.registry import STATISTICS, defaults
from detectors.score import Score
from detectors.scoring import score_window
from detectors.univariate import AUTO, category_drift, numeric_drift
from detectors.window import WindowSummary
from monitor.references import build_reference
from tests.replayed import START, open_replay, replay_events, scored, scores_of

CONFIG = """
models:
  - name: m
    features: {{x: numeric, c: category}}
    window: {{size: 1m, allowed_lateness: 0s}}
    reference: {{first_windows: 2}}
    min_rows: 50
    {more}
    thresholds: {{drift: {{breach: 0.3}}}}
"""


def events(windows=4, rows=300, shift=2.0):
    """Windows of rows whose x and c move in the last one."""
    rng = np.random.default_rng(1)
    for w in range(windows):
        last = w == windows - 1
        for i in range(rows):
            features = {"x": rng.normal(shift if last else 0.0, 1.0), "c": "z" if last and i % 2 else "ab"[i % 2]}
            yield {"event_id": f"{w}-{i}", "ts": START + w * 60_000 + i, "model": "m", "features": features}


def test_the_drift_of_a_feature_says_which_statistic_it_is_why_and_what_moved(tmp_path):
    found = scored(tmp_path, CONFIG.format(more=""), list(events()))
    calm, moved = found[2, "", "x", "drift"], found[3, "", "x", "drift"]
    assert (calm["level"], moved["level"]) == ("ok", "breach")
    assert calm["value"] == found[2, "", "x", "ks"]["value"] and calm["evidence"] == {
        "statistic": "ks", "because": "numeric, a reference of fewer than 1000 rows"}  # fmt: skip
    said = moved["evidence"]
    assert said["p_value"] < 1e-9 and said["mean"][1] - said["mean"][0] == pytest.approx(2.0, abs=0.3)
    assert len(said["moved"]) <= 5 and {*said["moved"][0]} == {"range", "before", "after"}
    assert " to " in said["moved"][0]["range"] and said["moved"][0]["after"] - said["moved"][0]["before"] > 0.3
    category = found[3, "", "c", "drift"]["evidence"]
    assert category["statistic"] == "cramers_v" and category["new"] == ["z"]
    assert category["moved"][0] in ({"category": "z", "before": 0.0, "after": 0.5}, {"category": "b", "before": 0.5, "after": 0.0})
    assert (found[0, "", "x", "drift"]["level"], found[0, "", "x", "drift"]["value"]) == ("unsure", None)  # learning
    assert len(json.dumps(said)) < 1500
    shares = np.array([said["reference_shares"], said["current_shares"]])
    assert len(said["cells"]) == shares.shape[1] <= 12 and shares.sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-3)
    assert bars(said)[0] == said["cells"]


def test_the_config_chooses_statistics_and_the_first_is_the_headline(tmp_path):
    more = "statistics: {default: [energy, mean_shift], features: {c: [hellinger]}}"
    found = scored(tmp_path, CONFIG.format(more=more), list(events()))
    names = {(subject, name) for window, _, subject, name in found if window == 3}
    assert {("x", "energy"), ("x", "mean_shift"), ("x", "mean_shift_p"), ("c", "hellinger")} <= names
    assert not {("x", "psi"), ("x", "ks"), ("c", "psi")} & names
    assert found[3, "", "x", "drift"]["value"] == found[3, "", "x", "energy"]["value"]
    assert found[3, "", "c", "drift"]["evidence"]["because"] == "named first in the config"


@pytest.mark.parametrize("tool", ["evidently", "nannyml", "scouter"])
def test_a_profile_scores_windows_as_the_tool_does_on_the_same_rows(tmp_path, tool):
    from detectors.formulas import FORMULAS

    rows = list(events(windows=2))
    before = np.random.default_rng(2).normal(size=1500)
    frame = pd.DataFrame({"x": before, "c": ["a", "b"] * 750})
    frame.to_parquet(tmp_path / "ref.parquet")
    cfg, store = open_replay(tmp_path, CONFIG.format(more=f"profile: {tool}"))
    list(build_reference(cfg, store, "m", tmp_path / "ref.parquet", (), True))
    replay_events(cfg, store, tmp_path, rows)
    found = scores_of(store)
    x = np.array([e["features"]["x"] for e in rows if e["event_id"].startswith("1-")])
    for name, want in FORMULAS[tool].numeric(before, x).items():
        got = found[1, "", "x", f"{tool}.{name}"]
        assert got["value"] == pytest.approx(want, abs=1e-6) and got["rows"] == 300 and got["reference"] == "ref-1"
    assert found[1, "", "c", f"{tool}.{next(iter(FORMULAS[tool].category({'a': 1, 'b': 2}, {'a': 2, 'b': 2})))}"]["rows"] == 300


def test_a_profile_without_a_built_reference_says_that_it_needs_one(tmp_path):
    found = scored(tmp_path, CONFIG.format(more="profile: nannyml"), list(events()))
    got = found[3, "", "x", "nannyml.jensen_shannon"]
    assert got["value"] is None and got["level"] == "unsure" and "reference build" in got["evidence"]["reason"]


def columns(x, c=None) -> Columns:
    n = len(x)
    nothing = np.full(n, np.nan)
    category = {"c": DictColumn.from_list(["a"] * n if c is None else c)}
    return Columns(n, {"x": np.asarray(x, float)}, category, nothing, DictColumn.missing(n), nothing, np.zeros(n, dtype=bool))


BAD = {
    "constant": (np.full(300, 2.0), np.full(200, 2.0)),
    "constant, then another": (np.full(300, 2.0), np.full(200, 5.0)),
    "all missing": (np.arange(300.0), np.full(200, np.nan)),
    "reference all missing": (np.full(300, np.nan), np.arange(200.0)),
    "one row": (np.arange(300.0), np.ones(1)),
    "one row of reference": (np.ones(1), np.arange(200.0)),
    "infinite": (np.arange(300.0), np.where(np.arange(200) % 2, np.inf, -np.inf)),
    "huge": (np.full(300, 1e308), np.full(200, -1e308)),
    "denormal": (np.full(300, 5e-324), np.full(200, 0.0)),
    "no rows": (np.arange(300.0), np.empty(0)),
}
UNSURE = {"all missing", "reference all missing", "one row", "no rows"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("adaptive", [False, True], ids=["grid", "adaptive"])
def test_a_bad_column_has_a_clear_verdict_and_is_never_ok_by_default(case: str, adaptive: bool):
    r, c = BAD[case]
    edges = make_grid(r)
    both = [AdaptiveSummary() if adaptive else GridSummary.empty(edges) for _ in (r, c)]
    both[0].add(r)
    both[1].add(c)
    every = Choice(tuple(n for n, s in STATISTICS.items() if "numeric" in s.kinds))
    for choice in (AUTO, every):
        scores = list(numeric_drift("x", both[1], both[0], "r", choice))
        finding = {f.score.name: f for f in judge(scores, {"drift": Limit(breach=0.5)}, 50)}["drift"]
        if case in UNSURE:
            assert finding.level == "unsure"
        elif case == "constant" and choice is AUTO:
            assert finding.level == "ok" and finding.score.evidence["because"] == "numeric with 1 distinct values"
        elif case == "constant, then another" and choice is AUTO:
            assert finding.level == "breach" and finding.score.value == 1.0
        elif case == "infinite" and choice is AUTO:
            assert finding.level == "breach" and finding.score.evidence["statistic"] == "ks"
        if not math.isfinite(finding.score.value):
            assert finding.score.evidence["reason"]
        json.dumps([s.explained for s in scores], allow_nan=False)


def test_a_category_a_row_is_unsure_and_says_what_to_do():
    summary = CategorySummary()
    summary.add(DictColumn.from_list([str(i) for i in range(5000)]))
    (score,) = category_drift("id", summary, summary, "r")
    assert math.isnan(score.value) and "declare the feature as text" in str(score.evidence["reason"])
    assert judge([score], {}, 1)[0].level == "unsure"


def test_a_reference_with_other_types_or_without_the_feature_is_unsure_and_says_so():
    profile = Profile.build(columns(np.arange(100.0)), Schema(("x",), ("c",)), "r")
    swapped = Schema(("c",), ("x",))
    window = WindowSummary.empty(swapped, profile)
    n = 200
    nothing = np.full(n, np.nan)
    category = {"x": DictColumn.from_list(["1"] * n)}
    window.add(Columns(n, {"c": np.ones(n)}, category, nothing, DictColumn.missing(n), nothing, np.zeros(n, dtype=bool)))
    found = {s.subject: s for s in score_window(window, profile, None, 60.0) if s.name == "drift"}
    assert {f.level for f in judge(found.values(), {}, 1)} == {"unsure"}
    assert "another type than numeric" in found["c"].evidence["reason"]
    strange = WindowSummary.empty(Schema(("y",), ()), profile)
    assert "does not have y" in [s for s in score_window(strange, profile, None, 1.0) if s.name == "drift"][0].evidence["reason"]


def test_ten_thousand_features_are_scored():
    names = tuple(f"f{i}" for i in range(10_000))
    rng = np.random.default_rng(0)
    nothing = np.full(60, np.nan)
    rows = Columns(
        60, {n: rng.normal(size=60) for n in names}, {}, nothing, DictColumn.missing(60), nothing, np.zeros(60, dtype=bool)
    )
    reference, window = (WindowSummary.empty(Schema(names, ()), None) for _ in range(2))
    reference.add(rows)
    window.add(rows)
    found = [s for s in score_window(window, None, reference, 60.0) if s.name == "drift"]
    assert len(found) == 10_000 and {s.value for s in found} == {0.0}


def test_few_rows_are_unsure_whatever_the_value():
    for limits in ({"drift": Limit(breach=0.1)}, {}):
        assert judge([Score("x", "drift", 9.9, 3, "r")], limits, 50)[0].level == "unsure"
    assert judge([Score("traffic", "rows", 3.0, 3)], {}, 50)[0].level == "unjudged"


def test_defaults_are_there_for_both_kinds():
    assert set(defaults("numeric")) >= {"psi", "js", "ks", "wasserstein"} and "chi2" not in defaults("numeric")
    assert set(defaults("category")) == {"psi", "js", "chi2", "new_categories", "new_category_share"}


def test_every_score_that_says_nothing_says_why(tmp_path):
    """Few rows, and values that do not exist, of scores with a limit, without one, and calibrated."""
    rows = [*events(windows=3), *(e for e in events(windows=4, rows=20) if e["event_id"].startswith("3-"))]
    rows = [e | {"features": e["features"] | {"x": 1.0}} if e["ts"] >= START + 120_000 else e for e in rows]
    found = scored(tmp_path, CONFIG.format(more="calibration: {scores: [ks_p]}"), rows)
    unsure = {key: row for key, row in found.items() if row["level"] == "unsure"}
    assert [key for key, row in unsure.items() if not row["rule"].count(": ") and not (row["evidence"] or {}).get("reason")] == []
    assert unsure[3, "", "x", "wasserstein"]["evidence"]["reason"] == "too few rows, 20 of 50"
    assert unsure[3, "", "x", "drift"]["rule"] == "static drift: too few rows, 20 of 50"
