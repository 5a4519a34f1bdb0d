"""A segment is compared with its own rows of the reference, from its first window on; one with too few, as before, with its past."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from detectors.columns import Columns, DictColumn, Schema
from detectors.profile import PREDICTION, Profile
from detectors.segment_profile import FORMAT, open_segment
from monitor.config import ConfigError, parse_config
from monitor.references import build_reference
from tests.replayed import START, open_replay, replay_events, scores_of

CONFIG = """
models:
  - name: m
    features: {x: numeric, kind: category}
    segments: [region, {name: high, where: "x >= 9"}]
    statistics: {default: [ks, chi2]}
    window: {size: 1h}
    reference: {segment_rows: 300}
    calibration: {use_past: false}
    min_rows: 30
"""
CENTRES = {"N": 0.0, "S": 5.0, "tiny": 2.0}


def rows(rng, n, moved=0.0):
    """Regions differ in x and in kind; the south may move."""
    region = rng.choice(list(CENTRES), n, p=[0.5, 0.48, 0.02])
    x = rng.normal([CENTRES[r] for r in region], 1.0) + np.where(region == "S", moved, 0.0)
    x[rng.random(n) < 0.05] = np.nan
    kind = np.where(rng.random(n) < np.where(region == "N", 0.2, 0.7), "a", "b")
    return {"x": x, "kind": kind, "region": region}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segments")
    rng = np.random.default_rng(1)
    cfg, store = open_replay(folder, CONFIG)
    reference, windows = rows(rng, 8000), [rows(rng, 2000), rows(rng, 2000, moved=0.6)]
    pq.write_table(pa.table(reference), folder / "train.parquet")
    lines = list(build_reference(cfg, store, "m", folder / "train.parquet", (), True))
    events = [
        {"event_id": f"{w}-{i}", "ts": START + w * 3_600_000 + i, "model": "m", "segment": {"region": str(t["region"][i])},
         "features": {"x": None if np.isnan(t["x"][i]) else float(t["x"][i]), "kind": str(t["kind"][i])}}
        for w, t in enumerate(windows) for i in range(2000)
    ]  # fmt: skip
    replay_events(cfg, store, folder, events)
    profile = Profile.from_bytes(store.references("m")[0].blob)
    found = scores_of(store)
    store.close()
    return reference, windows, found, profile, lines


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("region", ["N", "S"])
def test_its_scores_are_those_of_scipy_on_its_own_rows(scored, window, region):
    reference, windows, found, _, _ = scored
    sides = [(t["x"][t["region"] == region], t["kind"][t["region"] == region]) for t in (reference, windows[window])]
    theirs = ks_2samp(*(x[~np.isnan(x)] for x, _ in sides)).statistic
    assert found[window, f"region={region}", "x", "ks"]["value"] == pytest.approx(theirs, abs=0.01)
    table = [[(kind == name).sum() for name in "ab"] for _, kind in sides]
    assert found[window, f"region={region}", "kind", "chi2"]["value"] == pytest.approx(
        chi2_contingency(table, correction=False).statistic, rel=1e-9
    )


def test_it_has_a_verdict_in_its_first_window_and_a_small_one_waits_for_its_past(scored):
    _, _, found, profile, lines = scored
    assert set(profile.segments) == {"region=N", "region=S"} and "2 segments" in lines[-1]
    for region in ("N", "S"):
        row = found[0, f"region={region}", "x", "drift"]
        assert row["level"] == "ok" and row["threshold"] is not None
        assert found[0, f"region={region}", "x", "missing_share"]["level"] == "ok"
    assert found[0, "region=tiny", "x", "drift"]["level"] == "unsure"
    assert "too few past windows" in found[0, "region=tiny", "x", "drift"]["rule"]
    assert found[1, "region=S", "x", "drift"]["level"] == "breach"
    assert found[1, "region=N", "x", "drift"]["level"] == "ok"


def columns_of(table):
    n = len(table["x"])
    return Columns(
        rows=n, numeric={"x": table["x"]}, categorical={"kind": DictColumn.from_list(table["kind"].tolist())},
        score=np.linspace(0.0, 1.0, n), label=DictColumn.from_list(["yes", None] * (n // 2)),
        latency_ms=np.full(n, np.nan), error=np.zeros(n, dtype=bool),
    )  # fmt: skip


def test_a_segments_columns_are_those_that_were_counted_but_for_the_means_inside_cells():
    rng = np.random.default_rng(2)
    table = rows(rng, 6000)
    table["x"][:3] = np.inf, -np.inf, np.inf
    columns = columns_of(table)
    north = np.flatnonzero(table["region"] == "N")
    profile = Profile.build(columns, Schema(("x",), ("kind",)), "r").with_segments(columns, {"region=N": north}, 5, 100)
    back = Profile.from_bytes(profile.to_bytes())
    assert back.segments == profile.segments and back.of("region=S") is back and back.of("") is back
    mine, part = back.of("region=N"), columns.take(north)
    assert (mine.rows, mine.segment, mine.name, set(mine.numeric), len(mine.categorical)) == (
        len(north), "region=N", "r", {"x", PREDICTION}, 1,
    )  # fmt: skip
    for name, values in (("x", part.numeric["x"]), (PREDICTION, part.score)):
        column, exact = mine.numeric[name], profile.numeric[name].empty(profile.numeric[name].edges)
        exact.add(values)
        assert (column.counts == exact.counts).all() and column.moments == exact.moments
        assert (column.missing, column.infinite) == (exact.missing, exact.infinite)
        inner = slice(1, -1)
        width = np.diff(exact.edges)
        assert (np.abs(column.sums[inner] - exact.sums[inner]) <= exact.counts[inner] * width).all()
    assert mine.categorical["kind"].counts == {"a": (table["kind"][north] == "a").sum(), "b": (table["kind"][north] == "b").sum()}
    assert mine.label.counts["yes"] + mine.label.missing == len(north)
    with pytest.raises(ValueError, match="format"):
        open_segment(bytes([FORMAT + 1]) + profile.segments["region=N"][1:], profile.numeric)


def test_the_largest_segments_are_kept_and_a_column_takes_little():
    rng = np.random.default_rng(3)
    columns = columns_of(rows(rng, 6000))
    index = {f"k={i}": np.arange(i * 200) for i in range(20)}
    profile = Profile.build(columns, Schema(("x",), ("kind",)), "r").with_segments(columns, index, 3, 500)
    assert set(profile.segments) == {"k=17", "k=18", "k=19"}
    assert all(len(data) < 3 * 800 for data in profile.segments.values())
    assert not profile.with_segments(columns, index, 3, 10_000).segments
    with pytest.raises(ConfigError, match="segment_rows"):
        parse_config("models: [{name: m, reference: {segment_rows: 3}}]", "c")
