"""What labels tell by feature, with a built reference and without one: biased labels, the segment that fell behind, where a drop came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from detectors.coarse_cells import counted_features
from detectors.columns import Columns, DictColumn, Schema
from detectors.expression import fields_of, parse_expression
from detectors.label_bias import bias, of_cells, of_counts
from detectors.profile import Profile
from detectors.truth import TRUE
from detectors.worst import PART as WORST
from detectors.worst import WorstCells
from detectors.worst_errors import PART
from monitor.references import build_reference
from monitor.runtime import build_models
from monitor.waiting_cells import has_cells
from tests.replayed import START, open_replay, replay_events, scores_of

N = 1200
SCHEMA = Schema(("income", "age"), ("region",))
CONFIG = """
models:
  - name: m
    task: binary
    positive_label: "1"
    features: {income: numeric, age: numeric, region: category}
    segments: [channel]
    window: {size: 1m}
    reference: {first_windows: 2}
    labels: {wait: 30d}
    min_rows: 30
    columns: {prediction.label: p}
    worst_segments: {features: [income, age, region]}
"""
BROKEN, BIASED, BY_REGION = 2, 3, 4  # windows; 0 and 1 are learned from


def rows(rng, window):
    table: dict[str, Any] = {
        "income": rng.gamma(2.0, 1000.0, N), "age": rng.normal(300.0, 5.0, N), "region": rng.choice(["N", "S", "it's"], N),
        "channel": rng.choice(["web", "app"], N),
    }  # fmt: skip
    table["age"][rng.random(N) < 0.05] = np.nan
    rate = np.where(table["region"] == "S", 0.2, 0.1)  # the south has always been worse
    if window == BROKEN:
        rate = np.where(table["income"] > 3000.0, 0.6, rate)
    table["wrong"] = rng.random(N) < rate
    lot = rng.random(N) < 0.5
    table["labelled"] = {
        BIASED: rng.random(N) < np.where(table["income"] > 2500.0, 0.9, 0.3),
        BY_REGION: (table["region"] != "N") & lot,
    }.get(window, lot)
    return table


@pytest.fixture(scope="module", params=["built", "learned"])
def found(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    rng = np.random.default_rng(3)
    cfg, store = open_replay(folder, CONFIG)
    if request.param == "built":
        parts = [rows(rng, 0) for _ in range(4)]
        train = {name: np.concatenate([t[name] for t in parts]) for name in parts[0]}
        columns = {name: train[name] for name in ("income", "age", "region", "channel")}
        columns |= {"p": ["1"] * 4 * N, "label": np.where(train["wrong"], "0", "1")}
        pq.write_table(pa.table(columns), folder / "train.parquet")
        list(build_reference(cfg, store, "m", folder / "train.parquet", (), True))
    windows, events, labels = [rows(rng, w) for w in range(5)], [], []
    for w, t in enumerate(windows):
        for i in range(N):
            ts, age = START + w * 60_000 + i * 50, float(t["age"][i])
            features = {"income": float(t["income"][i]), "age": None if np.isnan(age) else age, "region": str(t["region"][i])}
            events.append({"event_id": f"{w}-{i}", "ts": ts, "model": "m", "features": features, "prediction": {"label": "1"},
                           "segment": {"channel": str(t["channel"][i])}})  # fmt: skip
            if t["labelled"][i]:
                labels.append({"event_id": f"{w}-{i}", "label_ts": ts + 1000, "label": "0" if t["wrong"][i] else "1"})
    replay_events(cfg, store, folder, events, labels)
    scores = scores_of(store)
    store.close()
    return request.param, windows, scores


def test_labels_that_depend_on_a_feature_are_a_warning_that_names_it(found):
    _, _, scores = found
    for window, feature in ((BIASED, "income"), (BY_REGION, "region")):
        row = scores[window, "", "labels", "label_bias"]
        assert (row["level"], row["evidence"]["of"]) == ("warn", feature) and row["value"] > 0.2
    shares = list(scores[BIASED, "", "labels", "label_bias"]["evidence"]["labelled_share"])
    assert min(s["labelled_share"] for s in shares) < 0.4 and max(s["labelled_share"] for s in shares) > 0.8
    for window in (0, 1, BROKEN):
        assert scores[window, "", "labels", "label_bias"]["value"] == 0.0
        assert scores[window, "", "labels", "label_bias_p"]["value"] > 0.001


def test_the_comparison_of_a_category_is_scipys(found):
    _, windows, scores = found
    assert scores[BY_REGION, "", "labels", "label_bias"]["evidence"]["effects"].keys() >= {"income", "age", "region"}
    t = windows[BY_REGION]
    table = [[((t["region"] == r) & (t["labelled"] == came)).sum() for r in ("N", "S", "it's")] for came in (True, False)]
    theirs = stats.contingency.association(np.array(table), method="cramer")
    assert scores[BY_REGION, "", "labels", "label_bias"]["value"] == pytest.approx(theirs, abs=1e-9)


def test_the_segment_that_fell_behind_is_a_breach_and_the_one_that_was_always_worst_is_none(found):
    kind, windows, scores = found
    row = scores[BROKEN, "", "worst_segment", "segment_accuracy_drop_p"]
    assert row["level"] == "breach" and row["rule"].startswith("calibrated")
    t, evidence = windows[BROKEN], row["evidence"]
    assert "income >= " in evidence["where"]
    expression = parse_expression(evidence["where"], fields_of(SCHEMA))
    columns = Columns(
        rows=N, numeric={"income": t["income"], "age": t["age"]}, categorical={"region": DictColumn.from_list(t["region"].tolist())},
        score=np.full(N, np.nan), label=DictColumn.missing(N), latency_ms=np.full(N, np.nan), error=np.zeros(N, dtype=bool),
    )  # fmt: skip
    inside = (expression.truth(columns) == TRUE) & t["labelled"]
    assert evidence["rows"] == inside.sum() and evidence["inside"] == pytest.approx(1 - t["wrong"][inside].mean(), abs=1e-6)
    assert ("worst_segment", "segment_accuracy_gap") in {key[2:] for key in scores if key[0] == 0}
    for window in (0, 1, BIASED, BY_REGION):
        level = scores.get((window, "", "worst_segment", "segment_accuracy_drop_p"), {"level": "none"})["level"]
        assert level == ("none" if kind == "learned" and window < 2 else "ok"), window


def test_the_finding_of_a_drop_ranks_features_and_segments(found):
    _, _, scores = found
    why = scores[BROKEN, "", "performance", "accuracy"]
    assert why["level"] == "breach"
    why = why["evidence"]["change_since_reference"]
    assert {s["segment"].partition("=")[0] for s in why["segments"]} == {"channel"}
    whole = sum(s["change"] for s in why["segments"])
    assert whole < -0.05
    income = next(f for f in why["features"] if f["feature"] == "income")
    assert income["most_in"]["change"] < 0.25 * whole and income["most_in"]["by_its_errors"] < 0.25 * whole
    assert abs(income["change_if_it_alone_had_moved"]) < 0.02  # it did not move: its errors did
    assert why["by_concept"] == pytest.approx(whole, abs=0.05)


def test_a_feature_is_found_biased_by_chance_as_seldom_as_said():
    """Two thousand labellings by lot of five features, of few and of many rows: of_cells and of_counts keep the level."""
    rng = np.random.default_rng(5)
    p = []
    for round_ in range(2000):
        n = (120, 800)[round_ % 2]
        came = rng.random(n) < (0.3, 0.7)[round_ // 2 % 2]
        tests = []
        for k in range(3):
            cell = rng.choice(10, n, p=np.array([5, 5, 4, 4, 3, 3, 2, 2, 1, 1]) / 30)
            sides = [np.bincount(c, minlength=10).astype(float) for c in (cell[came], cell)]
            tests.append(of_cells(str(k), *sides, [str(i) for i in range(9)]))
        values = rng.choice(list("abcdefghijkl"), n, p=np.arange(12, 0, -1) / 78)
        tests.append(of_counts("c", *(dict(zip(*np.unique(v, return_counts=True), strict=True)) for v in (values[came], values))))
        p.append(bias([t for t in tests if t is not None])[1])
    for level in (0.2, 0.05, 0.01):
        share = np.mean(np.array(p) <= level)
        assert 0.5 * level <= share <= level + 3 * np.sqrt(level / 2000), (level, share)


def test_a_feature_that_is_missing_in_every_row_leaves_the_others_comparable(tmp_path):
    """A text's unknown words without a built reference, or a number that vanished: its cells are none, or all empty."""
    for cells in (0, 9):
        every = np.array([0.0] * cells + [500.0])
        assert of_cells("gone", every * 0.4, every, [str(i) for i in range(cells)]) is None
    rng = np.random.default_rng(3)
    events = [
        {
            "event_id": f"{window}-{i}", "ts": START + window * 60_000 + i * 100, "model": "m", "version": "1",
            "features": {"a": None if window else 1.5 * i, "b": float(rng.normal()), "note": "well then"}, "prediction": {"label": "1"},
        }
        for window in range(2) for i in range(300)
    ]  # fmt: skip
    text = (
        "models: [{name: m, task: binary, positive_label: '1', features: {a: numeric, b: numeric, note: text}, window: {size: 1m}}]"
    )
    cfg, store = open_replay(tmp_path, text)
    labels = [{"event_id": e["event_id"], "label": "1", "label_ts": e["ts"] + 5} for e in events if rng.random() < 0.5]
    replay_events(cfg, store, tmp_path, events, labels)
    scores = scores_of(store)
    store.close()
    assert not [key for key in scores if key[2] == "analysis"]
    assert scores[1, "", "labels", "label_bias"]["value"] == 0.0 and scores[1, "", "labels", "label_bias_p"]["value"] > 0.001


PLAIN = """
models:
  - {{name: m, task: {task}, {more} features: {{a: numeric, b: numeric, c: category, d: boolean, e: numeric, f: numeric, g: numeric, h: numeric, i: numeric}}}}
"""


@pytest.mark.parametrize(
    ("task", "more", "labels_come", "features"),
    [
        ("multiclass", "", True, ("a", "c", "b", "d", "e", "f", "g", "h")),
        ("multiclass", "worst_segments: {features: [i, c]},", True, ("i", "c")),
        ("multiclass", "labels: {by_input: false},", True, None),
        ("multiclass", "", False, None),
        ("none", "", True, None),
        ("multilabel", "classes: [x, y],", True, ("a", "c", "b", "d", "e", "f", "g", "h")),
        ("ranking", "labels: {by_input: false}, worst_segments: {features: [i, c]},", True, None),
    ],
)
def test_eight_features_are_looked_at_where_labels_come_and_the_config_says_nothing(tmp_path, task, more, labels_come, features):
    cfg, store = open_replay(tmp_path, PLAIN.format(task=task, more=more))
    found = build_models(cfg, store, labels_come)["m"].schema
    store.close()
    assert (PART in found.parts) == has_cells(found) == (features is not None)
    if features is not None:
        assert counted_features(found, PART) == counted_features(found, WORST) == features
        assert found.parts[WORST].get("only_rows", False) == ("worst_segments" not in more)


def test_rows_alone_are_counted_as_they_are_beside_failures_and_latency():
    rng = np.random.default_rng(6)
    n = 500
    columns = Columns(
        rows=n, numeric={"income": rng.normal(size=n), "age": rng.normal(size=n)},
        categorical={"region": DictColumn.from_list(rng.choice(["N", "S"], n).tolist())},
        score=np.full(n, np.nan), label=DictColumn.missing(n), latency_ms=np.full(n, 3.0), error=np.zeros(n, dtype=bool),
    )  # fmt: skip
    names, parts = ["income", "age", "region"], []
    for options in ({"features": names}, {"features": names, "only_rows": True}):
        schema = Schema(SCHEMA.numeric, SCHEMA.categorical, parts={WORST: options})
        part = WorstCells.empty(schema)
        part.bind(Profile.build(columns, schema, "r"))
        part.add(columns)
        parts.append(part)
        assert (WorstCells.from_bytes(part.to_bytes(), schema).singles == part.singles).all()
    assert (parts[0].singles[:, :, 0] == parts[1].singles[:, :, 0]).all() and parts[1].pairs.size == 0
    other = Schema(SCHEMA.numeric, SCHEMA.categorical, parts={WORST: {"features": names}})
    assert not WorstCells.from_bytes(parts[1].to_bytes(), other).singles.any()  # the config was changed since
    with pytest.raises(ValueError, match="do not merge"):
        parts[0].merge(parts[1])


OTHER_TASKS = {
    "multilabel": ("classes: [cat, dog]", {"labels": ["cat"]}, ["cat", "dog"]),
    "ranking": ("top_k: 3", {"items": ["b", "a", "c"]}, ["a"]),
    "quantile": ("quantiles: [0.1, 0.5, 0.9]", {"quantiles": {"0.1": 1, "0.5": 2, "0.9": 3}}, 2.5),
}


@pytest.mark.parametrize("built", [True, False], ids=["built", "learned"])
@pytest.mark.parametrize("task", OTHER_TASKS)
def test_tasks_without_an_error_a_row_have_the_bias_of_labels_by_input_too(task, built, tmp_path):
    what, prediction, label = OTHER_TASKS[task]
    cfg, store = open_replay(
        tmp_path,
        f"""
models:
  - name: m
    task: {task}
    {what}
    features: {{income: numeric, region: category}}
    window: {{size: 1m}}
    reference: {{first_windows: 1}}
    labels: {{wait: 30d}}
    min_rows: 30
""",
    )
    rng = np.random.default_rng(9)
    if built:
        table = {"income": rng.gamma(2.0, 1000.0, N), "region": rng.choice(["N", "S"], N)}
        pq.write_table(pa.table(table), tmp_path / "train.parquet")
        list(build_reference(cfg, store, "m", tmp_path / "train.parquet", (), True))
    events, labels = [], []
    for w in range(3):
        income, region, lot = rng.gamma(2.0, 1000.0, N), rng.choice(["N", "S"], N), rng.random(N)
        for i in range(N):
            ts, features = START + w * 60_000 + i * 50, {"income": float(income[i]), "region": str(region[i])}
            events.append({"event_id": f"{w}-{i}", "ts": ts, "model": "m", "features": features, "prediction": prediction})
            if lot[i] < (0.5 if w < 2 else 0.9 if income[i] > 2500.0 else 0.3):
                labels.append({"event_id": f"{w}-{i}", "label_ts": ts + 1000, "label": label})
    replay_events(cfg, store, tmp_path, events, labels)
    scores = scores_of(store)
    store.close()
    assert scores[1, "", "labels", "label_bias"]["value"] == 0.0 and scores[1, "", "labels", "label_bias_p"]["value"] > 0.001
    row = scores[2, "", "labels", "label_bias"]
    assert (row["level"], row["evidence"]["of"]) == ("warn", "income") and row["value"] > 0.2
    came = sum(1 for found in labels if found["event_id"].startswith("2-"))
    assert scores[2, "", "labels", "coverage"]["value"] == came / N
    assert not [key for key in scores if key[2] == "worst_segment"], "there is no error of which segments could be worst"
