"""The rows that a window kept, in the terminal and over HTTP: masked, farthest first, or the reason why there are none."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from monitor.cli import main
from monitor.config import load_config
from monitor.health import Health
from monitor.metrics import Metrics
from monitor.panes import Pane
from monitor.references import build_reference
from monitor.runtime import build_models
from monitor.store import open_store
from monitor.store.schema import pane, score
from monitor.web import Access, Shown, Token
from monitor.web.server import build_app
from tests.replayed import START, replay_events

KEPT = "    sample: {rows: 30, mask: [income]}\n    outliers: {quantile: 0.99, worst_rows: 5}\n"


def write(folder, options):
    path = folder / "c.yaml"
    path.write_text(
        f"store: {{url: 'sqlite:///{folder}/d.db'}}\nmodels:\n  - name: m\n    task: none\n    window: {{size: 1m}}\n"
        f"    features: {{income: numeric, age: numeric, note: category}}\n{options}"
    )
    return path


def made(folder, options, reference=True, note="=a"):
    rng = np.random.default_rng(1)
    n = 400
    cfg = load_config(write(folder, options))
    store = open_store(cfg.store.url)
    store.migrate()
    table = {"income": rng.normal(10, 1, n), "age": rng.normal(40, 5, n), "note": [note] * n}
    pq.write_table(pa.table(table), folder / "train.parquet")
    if reference:
        list(build_reference(cfg, store, "m", folder / "train.parquet", (), True))
    events = [
        {"event_id": f"e{i}", "ts": START + i * 100, "model": "m", "version": "12"[i % 2],
         "features": {"income": 10.0, "age": 400.0 + i if i % 100 == 7 else 40.0, "note": note}, "prediction": {"score": 0.5}}
        for i in range(n)
    ]  # fmt: skip
    replay_events(cfg, store, folder, events)
    store.close()
    return folder / "c.yaml"


def rows(config, *options, code=0):
    done = CliRunner().invoke(main, ["rows", "-c", str(config), "--model", "m", "--window", "latest", *options])
    assert done.exit_code == code, done.output
    return done.output


def api(config, **params):
    cfg = load_config(config)
    store = open_store(cfg.store.url)
    health = Health()
    for say in (health.set_store, health.set_assigned, health.set_lag_known):
        say(True)
    access = Access([Token.of("push", ["ingest"], "p"), Token.of("look", ["read"], "r")])
    shown = Shown(store, build_models(cfg, store), {}, lambda: START, "", "0")
    client = TestClient(build_app(Metrics(), health, None, access, 10_000, shown), base_url="http://localhost")
    path = f"/v1/models/m/windows/{START}/rows"
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"Authorization": "Bearer p"}).status_code == 403
    answer = client.get(path, params=params, headers={"Authorization": "Bearer r"})
    store.close()
    return answer


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return made(tmp_path_factory.mktemp("rows"), KEPT)


def test_the_farthest_rows_are_shown_first_and_nothing_masked(config):
    found = [json.loads(line) for line in rows(config, "--worst", "--format", "jsonl").splitlines()]
    assert [r["features.age"] for r in found] == [707.0, 607.0, 507.0, 407.0]
    assert [r["distance"] for r in found] == sorted((r["distance"] for r in found), reverse=True)
    assert all("features.income" not in r for r in found) and {r["version"] for r in found} == {"2"}
    text = rows(config, "--worst")
    assert "707" in text and "4 of 4 rows kept, without income (sample.mask)" in text
    answer = api(config, worst=True, limit=2).json()
    assert answer["kept"] == 4 and [r["features"]["age"] for r in answer["rows"]] == [707.0, 607.0]
    assert answer["masked"] == ["income"] and answer["reason"] == ""


def test_the_worst_rows_are_bounded_and_what_is_masked_is_nowhere_in_them(tmp_path):
    """Five rows lie far from the reference, two may be kept: the farthest of each version, of all its panes, in the store's bytes."""
    secret = "a very private note"
    options = "    sample: {rows: 30, mask: [note, prediction]}\n    outliers: {quantile: 0.99, worst_rows: 2}\n"
    config = made(tmp_path, options, note=secret)
    found = [json.loads(line) for line in rows(config, "--worst", "--format", "jsonl").splitlines()]
    assert [r["features.age"] for r in found] == [707.0, 607.0]
    assert all("features.note" not in r and r.get("score") is None for r in found)
    cfg = load_config(config)
    store = open_store(cfg.store.url)
    model = build_models(cfg, store)["m"]
    kept = 0
    for row in store.rows(pane.select()):
        for (_, segment), summary in Pane.from_bytes(bytes(row["blob"]), model).groups.items():
            for name in ("sample", "worst_rows"):
                assert (name in summary.parts) == (segment == "")
                if segment == "":
                    assert secret.encode() not in summary.parts[name].to_bytes()
                    kept += summary.parts[name].rows
            assert summary.categorical["note"].counts == {secret: summary.rows}, "it is counted all the same"
    assert kept > 4
    shares = {
        r["value"] for r in store.rows(score.select().where(score.c.score == "multivariate_outlier_share", score.c.version == "2"))
    }
    store.close()
    assert shares == {4 / 200}, "all of them are counted, however few are kept"


def test_the_sample_is_shown_by_version_and_no_spreadsheet_runs_it(config):
    whole = api(config, limit=1000).json()
    assert whole["kept"] == 60 and {r["version"] for r in whole["rows"]} == {"1", "2"}  # 30 of each version
    one = api(config, limit=1000, version="1").json()
    assert one["kept"] == 30 and all(r["version"] == "1" and r["distance"] is None for r in one["rows"])
    times = [r["ts_ms"] for r in whole["rows"]]
    assert times == sorted(times)
    table = list(csv.DictReader(io.StringIO(rows(config, "--format", "csv", "--limit", "7"))))
    assert len(table) == 7 and table[0]["features.note"] == "'=a" and "distance" not in table[0]


def test_where_there_are_none_it_says_what_to_configure(config, tmp_path):
    bare = made(tmp_path, "", reference=False)
    assert "write sample: {rows: 1000" in rows(bare, code=1)
    assert "worst_rows: 20" in rows(bare, "--worst", code=1)
    answer = api(bare, worst=True).json()
    assert answer["rows"] == [] and "write sample" in answer["reason"]
    assert "no rows of that version" in rows(config, "--version", "9", code=1)
    assert "driftd reference build" in rows(made(_sub(tmp_path), KEPT, reference=False), "--worst", code=1)
    assert "the config has m" in rows(config, "--model", "x", code=2)
    assert "holds that time" in rows(config, "--window", "2001-01-01", code=2)
    assert api(config, limit=0).status_code == 422


def _sub(folder):
    out = folder / "more"
    out.mkdir()
    return out
