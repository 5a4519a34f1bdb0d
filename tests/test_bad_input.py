"""Columns that say nothing, through the whole daemon with every statistic on and judged: a clear verdict each, never a crash."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.choice import Choice
from detectors.columns import Columns, DictColumn, Schema
from detectors.registry import STATISTICS
from detectors.score_names import DRIFT
from detectors.window import WindowSummary
from monitor.analysis import inputs
from monitor.budget import Calibration
from monitor.judging import NULLS
from monitor.model import Model
from monitor.verdicts import judge_window
from monitor.view import GroupView, WindowView
from tests.bench.quality.driftd import Memory
from tests.replayed import START, open_replay, replay_events, scored, scores_of

MINUTE_MS = 60_000
REFERENCE = 2  # windows
ROWS = 120
CONFIG = f"""
models:
  - name: m
    features: {{const: numeric, gone: numeric, huge: numeric, lone: numeric, fine: numeric, each: category, one: category, never: category}}
    window: {{size: 1m, allowed_lateness: 0s}}
    reference: {{first_windows: {REFERENCE}}}
    non_finite: missing
    min_rows: 30
    statistics: {{default: [{", ".join(STATISTICS)}]}}
    calibration: {{scores: [{", ".join(sorted(NULLS & {*DRIFT}))}], use_past: false}}
"""


def features(rng: np.random.Generator, window: int, row: int) -> dict[str, object]:
    return {
        "const": 7.0,
        "gone": rng.normal() if window < REFERENCE else None,  # missing since
        "huge": float(rng.choice([-1e308, 1e308])),
        "lone": 1.5 if window == 0 and row == 0 else None,  # one value in all
        "fine": rng.normal(),
        "each": f"{window}-{row}",
        "one": "a",
        "never": None,
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    rng = np.random.default_rng(1)
    rows = [ROWS, ROWS, ROWS, 1, ROWS]  # the fourth window has one row
    events = [
        {"event_id": f"{w}-{i}", "ts": START + w * MINUTE_MS + i, "model": "m", "features": features(rng, w, i)}
        for w, n in enumerate(rows)
        for i in range(n)
    ]
    return scored(tmp_path_factory.mktemp("bad"), CONFIG, events)


def test_what_has_no_value_is_unsure_and_what_is_judged_says_its_rule(found):
    judged = {key: row for key, row in found.items() if key[3] in DRIFT and row["reference"]}
    assert {key[2] for key in judged} >= {"const", "gone", "huge", "lone", "fine", "each", "one", "never"}
    for key, row in judged.items():
        if row["value"] is None or not math.isfinite(row["value"]):
            assert row["level"] == "unsure", key
        elif row["level"] in ("warn", "breach"):
            assert row["rule"], key
        if key[0] == 3:
            assert row["level"] == "unsure", key  # one row


@pytest.mark.parametrize(
    ("subject", "level", "reason"),
    [("const", "ok", ""), ("one", "ok", ""), ("fine", "ok", ""), ("gone", "unsure", "missing"), ("each", "unsure", "category of their own"),
     ("never", "unsure", "no value"), ("lone", "unsure", "missing")],
)  # fmt: skip
def test_each_has_a_clear_verdict(found, subject, level, reason):
    row = found[2, "", subject, "drift"]
    assert row["level"] == level and reason in str(row["evidence"].get("reason", ""))
    assert level == "unsure" or row["rule"].startswith("calibrated")


def test_a_stream_of_other_types_is_refused_counted_and_a_breach(tmp_path):
    rng = np.random.default_rng(2)
    cfg, store = open_replay(tmp_path, CONFIG)
    events = []
    for w in range(4):
        for i in range(ROWS):
            values = features(rng, w, i)
            if w == 3 and i % 3:
                values["fine"] = "a word"
            events.append({"event_id": f"{w}-{i}", "ts": START + w * MINUTE_MS + i, "model": "m", "features": values})
    replay_events(cfg, store, tmp_path, events)
    row = scores_of(store)[3, "", "schema", "wrong_type_share"]
    assert row["level"] == "breach" and row["value"] == pytest.approx(2 / 3, abs=0.01)


def test_ten_thousand_features_are_scored_and_judged():
    """As the publisher does: no verdict is missing, and none alarms. 60 rows of windows and of a learned reference."""
    names = tuple(f"f{i}" for i in range(10_000))
    schema = Schema(names, ())
    rng = np.random.default_rng(3)
    nothing = np.full(60, np.nan)
    reference, window = (WindowSummary.empty(schema, None) for _ in range(2))
    for summary in (reference, window):
        numbers = {name: rng.normal(size=60) for name in names}
        missing = DictColumn.missing(60)
        summary.add(Columns(60, numbers, {}, nothing, missing, nothing, np.zeros(60, dtype=np.bool_)))
    model = Model(
        "m", schema, MINUTE_MS, MINUTE_MS, 0, statistics=Choice(("js", "rank_shift")), calibration=Calibration(use_past=False)
    )
    part = GroupView(model, START, START + MINUTE_MS, "", "", window, None, None, reference, "learned")
    view = WindowView(model, START, part.end_ms, part.end_ms, {("", ""): part}, 0, Memory(), {("", ""): list(inputs(part))})
    found = [f for f in judge_window(view)["", ""] if f.score.name == "js"]
    assert len(found) == 10_000 and {f.level for f in found} <= {"ok", "warn"}
    assert all(f.rule == "calibrated js" and f.threshold > 0 for f in found)
