"""Thousands of features through a built reference, publishing and the store: each gets its verdict, and only what moved alarms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from detectors.columns import Columns, DictColumn
from detectors.correlation import BLOCK, fit_pairs
from monitor import tabular
from monitor.files import replay_batches
from monitor.references import build_reference
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
from tests.replayed import START, open_replay, scores_of, windows_of

FEATURES, MOVED = 1200, (7, 800, 1199)


def test_over_a_thousand_features_are_judged_and_those_that_moved_are_found(tmp_path):
    cfg, store = open_replay(
        tmp_path,
        "models: [{name: m, window: {size: 1h, allowed_lateness: 0s}}]\nalerts: {channels: {c: {type: log}}}\n",
    )
    rng = np.random.default_rng(3)
    for name, rows in (("reference", 1000), ("events", 400)):
        values = rng.normal(size=(rows, FEATURES)).astype(np.float32)
        if name == "events":
            values[:, MOVED] += 6.0
        table = pd.DataFrame(values, columns=[f"f{i}" for i in range(FEATURES)])
        keys = pd.DataFrame({"event_id": [f"{name}-{i}" for i in range(rows)], "ts": START + np.arange(rows)})
        pd.concat([table, keys], axis=1).to_parquet(tmp_path / f"{name}.parquet")
    list(build_reference(cfg, store, "m", tmp_path / "reference.parquet", (), True))
    models = build_models(cfg, store)
    pieces, _ = replay_batches(tmp_path / "events.parquet", None, cfg, decode_settings(cfg, models), "m")
    replay(pieces, build_engine(cfg, models, ("replay",)), store, 1)
    assert [w["rows"] for w in windows_of(store)] == [400]
    drift = {key[2]: row for key, row in scores_of(store).items() if key[3] == "drift"}
    assert len(drift) == FEATURES and all(row["level"] in ("ok", "breach") for row in drift.values())
    assert sorted(name for name, row in drift.items() if row["level"] == "breach") == sorted(f"f{i}" for i in MOVED)


def test_a_wide_files_schema_is_read_once_and_not_once_a_column(tmp_path, monkeypatch):
    pd.DataFrame(np.zeros((3, 50)), columns=[f"f{i}" for i in range(50)]).to_parquet(tmp_path / "t.parquet")
    asked = []

    class Counted(pq.ParquetFile):
        @property
        def schema_arrow(self):
            asked.append(1)
            return super().schema_arrow

    monkeypatch.setattr(tabular.pq, "ParquetFile", Counted)
    batches, rows = tabular.read_batches(tmp_path / "t.parquet", [f"f{i}" for i in range(50)])
    assert rows == 3 and next(batches).num_columns == 50 and len(asked) <= 2


@pytest.mark.parametrize("strong", [0.0, 0.5])
def test_strong_pairs_are_those_of_the_whole_table_of_correlations(strong):
    rng = np.random.default_rng(5)
    count = 2 * BLOCK + 30
    values = rng.normal(size=(300, count))
    for a, b in ((3, 400), (10, 11), (BLOCK - 1, BLOCK)):
        values[:, b] = values[:, a] + rng.normal(size=300) * 0.1 * (a + 1) / count
    names = [f"f{i:03d}" for i in range(count)]
    numeric = dict(zip(names, values.T, strict=True))
    nothing = np.full(300, np.nan)
    columns = Columns(300, numeric, {}, nothing, DictColumn.missing(300), nothing, np.zeros(300, dtype=np.bool_))
    found = [(p.x, p.y) for p in fit_pairs(columns, [], strong, 40)]
    table = np.triu(np.abs(np.corrcoef(values.T)), 1)
    order = np.argsort(-table, axis=None)[: 40 if strong == 0.0 else 3]
    assert found == [(names[i], names[j]) for i, j in (divmod(int(at), count) for at in order)]
