"""Every panel, annotation and variable of the dashboards answers from a real Prometheus and a real PostgreSQL that a real
daemon filled; their queries find a million scores by index; what compose provisions fits them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import orjson
import pytest
import yaml
from sqlalchemy import text

from dashboards import make
from dashboards.variables import ALL_ROWS
from monitor.checkpoint import ResourceSample
from monitor.config import load_config
from monitor.metrics import Metrics
from monitor.references import build_reference
from monitor.store import open_store
from tests.faults import config, traffic
from tests.faults.world import World
from tests.servers.ports import wait_for
from tests.servers.prometheus import Prometheus

pytestmark = pytest.mark.timeout(300)  # the first test that uses it waits for the daemon's run
HERE = Path(make.__file__).parent
DEPLOY = HERE.parent / "deploy"
BOARDS = {name: json.loads(make.render(name)) for name in make.DASHBOARDS}
# values of the variables in the daemon's run, and the macros of Grafana
CHOSEN = {
    "model": ["credit"], "segment": [ALL_ROWS], "feature": ["income"], "metric": ["accuracy"], "score": ["psi"], "instance": [".*"],
    "version": ["3", "4"], "features": ["income", "age", "region", "prediction"],
}  # fmt: skip
OF_PANEL = {"Shares of version $version": {"feature": ["region"]}}  # of a category
CONFIG = (
    config.TEMPLATE.replace("    segments: [channel]\n", "    segments: [channel]\n    checks: [{{name: adult, expect: 'age >= 21'}}]\n"
                            "    resources: [{{name: server, type: process, cgroup: self, every: 1h}}]\n")
    .replace("    - {{name: accuracy-fell, scores: [accuracy], subjects: [performance], channels: [hook]}}",
             "    - {{name: accuracy-fell, scores: [accuracy], subjects: [performance], channels: [hook, retrain]}}")
    .replace("for_windows: 2, channels: [hook]", "for_windows: 2, channels: [hook, gone]")
    .replace("  channels:\n", '  channels:\n    gone: {{type: webhook, url: "http://127.0.0.1:1/", allow_private: true}}\n    retrain: {{type: retrain, url: "http://127.0.0.1:{hook_port}/retrain", '
             "allow_private: true,\n      policy: {{mode: approve}}}}\n")
    .replace("\nalerts:\n", "\nalerts:\n  digests: [{{name: all, channels: [hook], every: weekly}}]\n")
)  # fmt: skip


def panels():
    return [(name, panel) for name, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row"]


def replaced(query: str, **other: list[str]) -> str:
    """A query as Grafana sends it: ${name:sqlstring} quoted and escaped, $name as it is; no variable and no macro is left."""
    for macro, value in (("$__unixEpochFrom()", "1"), ("$__unixEpochTo()", "4000000000"), ("$__interval_ms", "60000")):
        query = query.replace(macro, value)
    for name, values in {**CHOSEN, **other}.items():
        quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        query = query.replace(f"${{{name}:sqlstring}}", quoted)
        query = re.sub(rf"\${name}\b", "|".join(values).replace("\\", r"\\"), query)
    query = re.sub(r"\[\d+m\]", "[30s]", query)
    assert "$" not in query.replace(")$'", ""), query
    return query


@pytest.mark.parametrize("name", sorted(make.DASHBOARDS))
def test_the_committed_dashboards_are_those_of_the_code(name):
    assert (HERE / f"{name}.json").read_text() == make.render(name)


@pytest.mark.parametrize(("name", "panel"), panels(), ids=[f"{n}-{p['title']}" for n, p in panels()])
def test_every_panel_has_a_description_a_unit_and_thresholds(name, panel):
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"] and len(panel["description"]) > 10 and panel["description"].endswith("."), name
    assert defaults["unit"]
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None and all("color" in s for s in steps)
    assert [s["value"] for s in steps[1:]] == sorted(s["value"] for s in steps[1:])
    if panel["type"] in ("stat", "status-history") and len(steps) > 1:
        assert defaults["color"] == {"mode": "thresholds"}


def test_dashboards_fit_together():
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    for name, board in BOARDS.items():
        variables = {v["name"]: v for v in board["templating"]["list"]}
        assert {"prometheus", "postgres"} <= set(variables) and all(
            v["description"] or v["type"] == "datasource" for v in variables.values()
        )
        used = set(re.findall(r"\$\{?(\w+)", json.dumps([board["panels"], board["annotations"]])))
        unknown = {v for v in used if not v.startswith("__")} - set(variables)
        assert not unknown, f"{name} uses variables that it does not have: {unknown}"
        assert {"uid", "time"} <= set(board) and len({p["id"] for p in board["panels"]}) == len(board["panels"])
        _require_no_overlap(board["panels"])
        for link in re.findall(r"/d/([\w-]+)", json.dumps(board)):
            assert link in {b["uid"] for b in BOARDS.values()}
    assert {"model", "version", "segment", "features", "metric"} <= {v["name"] for v in BOARDS["model"]["templating"]["list"]}
    assert [a["name"] for a in BOARDS["model"]["annotations"]["list"]] == ["Alerts", "Retrains"]


# what the schema of the SDK leaves open: annotations of data sources have keys of their own, and the newer maxPerRow
BEYOND_SCHEMA = re.compile(r"annotations\.list\.\d+\.target\.\w+|panels\.\d+\.maxPerRow")


@pytest.mark.parametrize("name", sorted(make.DASHBOARDS))
def test_grafanas_own_schema_knows_every_key_and_value(name):
    """Read and written by the types that Grafana generates from its schemas, nothing is lost or changed."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARDS[name])))
    lost = [found for found in _lost(BOARDS[name], again) if not BEYOND_SCHEMA.fullmatch(found)]
    assert not lost, lost


def test_grafanas_own_schema_would_lose_a_key_that_is_misspelt():
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    wrong = {**BOARDS["daemon"], "refersh": "30s"}
    assert list(_lost(wrong, json.loads(JSONEncoder().encode(Dashboard.from_json(wrong))))) == ["refersh"]


def _lost(before, after, path=""):
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from _lost(value, after[key], f"{path}{key}.") if key in after else [path + key]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, pair in enumerate(zip(before, after, strict=True)):
            yield from _lost(*pair, f"{path}{i}.")
    elif before != after:
        yield path.rstrip(".")


def _require_no_overlap(listed):
    taken = set()
    for panel in listed:
        p = panel["gridPos"]
        cells = {(x, y) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])}
        assert p["x"] + p["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_what_compose_provisions_are_the_sources_and_files_that_dashboards_want():
    provided = yaml.safe_load((DEPLOY / "grafana/datasources/driftd.yaml").read_text())["datasources"]
    uids = {source["type"]: source["uid"] for source in provided}
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "datasource":
                assert uids[variable["query"]] == variable["current"]["value"]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    mounts = {
        m.split(":")[1]: m.split(":")[0]
        for s in ("grafana", "prometheus")
        for m in compose["services"][s]["volumes"]
        if m[0] == "."
    }
    assert all((DEPLOY / path).exists() for path in mounts.values())
    found = yaml.safe_load((DEPLOY / "grafana/dashboards/driftd.yaml").read_text())["providers"][0]["options"]["path"]
    assert (DEPLOY / mounts[found]).resolve() == HERE
    rules = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["rule_files"]
    assert [(DEPLOY / mounts[path]).resolve() for path in rules] == [HERE / "rules.yml"]


@pytest.fixture(scope="module")
def lived(tmp_path_factory, kafka, postgres):
    """One run of the daemon over a log with everything in it, scraped by Prometheus: (store, Prometheus, metrics page)."""
    folder = tmp_path_factory.mktemp("lived")
    world = World(folder, kafka, postgres.url(postgres.new_database()), 6_000, template=CONFIG)
    prometheus = None
    try:
        daemon = world.daemon()
        store = open_store(world.url)
        store.migrate()
        _build_reference(folder, daemon.config, store)
        minutes = range(traffic.START_MS, traffic.START_MS + 1_200_000, 60_000)
        values = {"cpu_cores": 1.5, "memory_bytes": 2e9}
        store.add_resource_samples([ResourceSample("credit", "server", ts + 30_000, values) for ts in minutes])
        with store.engine.begin() as conn:  # a window of last year: the daemon is not new, so it owes the newest digest
            conn.execute(text("INSERT INTO model_window SELECT 'credit', 1735689600000, 1735689660000, 1, 1, 1, 0, '', '', '', 0"))
        daemon.start()
        world.produce(len(world.records) // 2)
        world.wait_read()
        prometheus = Prometheus(daemon.address().removeprefix("http://"))
        assert prometheus.query('up{job="driftd"} == 1')
        world.produce()
        world.wait_read()
        wait_for(lambda: store.rows(text("SELECT 1 FROM retrain")), 30, "a retrain to be asked for")
        wait_for(lambda: store.rows(text("SELECT 1 FROM outbox WHERE state = 'sent'")), 30, "a notification to be sent")
        wait_for(lambda: store.rows(text("SELECT 1 FROM outbox WHERE grp = 'digest:all' AND state = 'sent'")), 30, "the digest")
        yield store, prometheus, daemon.get("/metrics")[1]
        store.close()
    finally:
        if prometheus is not None:
            prometheus.close()
        world.close()


def _build_reference(folder, path, store):
    """Of the log's own first calm minutes, with their labels, so that performance is estimated."""
    calm = traffic.make(3_000, 1, span_ms=600_000, seed=9)
    labels, events = {}, []
    for record in calm:
        found = _parsed(record.value)
        if found and record.topic == "labels":
            labels[found["event_id"]] = found["label"]
        elif found and found.get("prediction") and found["ts"] < traffic.START_MS + 300_000:
            events.append(found)
    rows = [
        {**e["features"], "prediction.label": e["prediction"]["label"], "prediction.score": e["prediction"]["score"],
         "label": labels[e["event_id"]]} for e in events if e["event_id"] in labels
    ]  # fmt: skip
    (folder / "calm.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    assert "with labels" in list(build_reference(load_config(path), store, "credit", folder / "calm.jsonl", (), True))[-1]


def _parsed(value):
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None


def test_every_metric_of_the_daemon_stands_on_a_dashboard_or_in_a_rule():
    shown = " ".join(json.dumps(board) for board in BOARDS.values()) + (HERE / "rules.yml").read_text()
    names = {metric.name for metric in Metrics().registry.collect()}
    assert len(names) > 20 and {name for name in names if name not in shown} == set()


def test_the_page_of_metrics_is_what_prometheus_wants(lived):
    checked = subprocess.run(["promtool", "check", "metrics"], input=lived[2], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", sorted(make.DASHBOARDS))
def test_every_query_answers(lived, name):
    store, prometheus, _ = lived
    empty = []
    for panel in BOARDS[name]["panels"]:
        for target in panel.get("targets", ()):
            query = replaced(target.get("expr") or target["rawSql"], **OF_PANEL.get(panel["title"], {}))
            found = prometheus.query(query) if "expr" in target else store.rows(text(query.replace(":", r"\:")))
            if not found or all(row.get("value", 0) is None for row in found):
                empty.append(f"{panel['title']}: {query}")
    for annotation in BOARDS[name]["annotations"]["list"]:
        if not store.rows(text(replaced(annotation["target"]["rawSql"]))):
            empty.append(annotation["name"])
    for variable in BOARDS[name]["templating"]["list"]:
        if variable["type"] == "query" and not _values(variable, store, prometheus):
            empty.append(f"variable {variable['name']}: {variable['query']}")
    assert not empty, "\n".join(empty)


def _values(variable, store, prometheus):
    query = variable["query"]
    if variable["datasource"]["type"] != "prometheus":
        return store.rows(text(replaced(query)))
    series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
    names = [found["metric"][label] for found in prometheus.query(f"count by ({label}) ({series})")]
    return [n for n in names if re.match(variable["regex"].strip("/"), n)] if variable["regex"] else names


def test_hostile_names_are_text_in_every_query(lived):
    """What events call their features is no SQL: each variable stands in a query quoted by Grafana, not by the query."""
    store, evil = lived[0], ["x'); DROP TABLE score; --\\", 'y"']
    for name, panel in panels():
        for target in panel["targets"]:
            if "rawSql" in target:
                bare = set(re.findall(r"\$\{?(\w+)\}?(?!:sqlstring|\w)", target["rawSql"])) - {
                    "__unixEpochFrom",
                    "__unixEpochTo",
                    "__interval_ms",
                }
                assert not bare, f"{name} {panel['title']}: {bare}"
                query = replaced(
                    target["rawSql"],
                    version=evil,
                    features=evil,
                    **{n: evil[:1] for n in ("model", "segment", "feature", "metric", "score")},
                )
                with store.engine.connect() as conn:
                    conn.exec_driver_sql(query.replace("%", "%%"))


def test_what_is_chosen_at_first_is_in_the_list(lived):
    store = lived[0]
    variables = {v["name"]: v for v in BOARDS["model"]["templating"]["list"]}
    found = {
        n: [next(iter(r.values())) for r in _values(variables[n], *lived[:2])] for n in ("segment", "metric", "features", "version")
    }
    assert found["segment"] == [ALL_ROWS, "channel=app", "channel=web"] and found["version"] == ["3", "4"]
    assert "accuracy" in found["metric"] and not any(m.endswith(("_low", "_high")) for m in found["metric"])
    assert set(found["features"]) >= {"age", "income", "region"}
    distribution = next(p for p in BOARDS["feature"]["panels"] if p["title"].startswith("Distribution"))
    rows = store.rows(text(replaced(distribution["targets"][0]["rawSql"]).replace(":", r"\:")))
    for side in ("reference", "now"):
        assert sum(r[side] for r in rows) == pytest.approx(1.0, abs=0.01)


def test_what_describes_the_reference_stands_beside_every_window(lived):
    board = {p["title"]: p for p in BOARDS["feature"]["panels"]}
    panel = board["Quantiles of version $version"]
    drawn = {}
    for target in panel["targets"]:
        for r in lived[0].rows(text(replaced(target["rawSql"], version=["3"]).replace(":", r"\:"))):
            drawn.setdefault(r["metric"], {})[r["time"]] = r["value"]
    names = [f"{side} {q}" for side in ("window", "reference") for q in ("p05", "p25", "p50", "p75", "p95")]
    assert sorted(drawn) == sorted(names)
    assert set(drawn["window p50"]) <= set(drawn["reference p50"]) and len(drawn["window p50"]) > 5
    for low, high in zip(names[5:], names[6:], strict=False):  # one built reference: flat lines that do not cross
        assert len(set(drawn[low].values())) == 1 and drawn[low].popitem()[1] < drawn[high].popitem()[1]
    shaded = {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}
    assert shaded == set(names)
    shares = board["Shares of version $version"]["targets"]
    of_window, of_reference = (
        {r["metric"].split(" ", 1)[1] for r in lived[0].rows(text(replaced(t["rawSql"], feature=["region"]).replace(":", r"\:")))}
        for t in shares
    )
    assert of_window and of_window == of_reference


def test_the_estimate_and_its_band_stand_beside_what_labels_showed(lived):
    panel = next(p for p in BOARDS["model"]["panels"] if p["title"] == "$metric of version $version")
    rows = lived[0].rows(text(replaced(panel["targets"][0]["rawSql"]).replace(":", r"\:")))
    assert {r["metric"] for r in rows} == {f"{kind}{end}" for kind in ("realised", "estimated") for end in ("", "_low", "_high")}
    shaded = {
        o["matcher"]["options"]: p["value"]
        for o in panel["fieldConfig"]["overrides"]
        for p in o["properties"]
        if p["id"] == "custom.fillBelowTo"
    }
    assert shaded == {"realised_high": "realised_low", "estimated_high": "estimated_low"}


@pytest.fixture(scope="module")
def million(postgres):
    """A store of a million scores of fifty features in 2,000 windows."""
    store = open_store(postgres.url(postgres.new_database()))
    store.migrate()
    with store.engine.begin() as conn:
        conn.execute(
            text(
                """INSERT INTO score (model, window_start_ms, version, segment, subject, score, window_end_ms, revision, value, rows,
                reference, threshold, level) SELECT 'credit', 1767225600000 + w * 60000, '3', '', 'f' || f, s, 0, 1, random(), 100,
                'r', 0.1, 'ok' FROM generate_series(1, 2000) w, generate_series(1, 50) f,
                unnest(ARRAY['psi','drift','js','missing_share','std','min','max','p50','p95','count']) s"""
            )
        )
        conn.execute(text("INSERT INTO model_window SELECT 'credit', 1767225600000 + w * 60000, 0, 1, 1, 1, 0, '', '', '', 0 "
                          "FROM generate_series(1, 2000) w"))  # fmt: skip
        conn.execute(
            text(
                "INSERT INTO resource_sample SELECT 'credit', 'server', 1767225600000 + w * 60000, '{}' FROM generate_series(1, 2000) w"
            )
        )
    with store.engine.begin() as conn:
        conn.execute(text("ANALYZE"))
    yield store
    store.close()


def _plan(store, query):
    with store.engine.connect() as conn:
        return conn.exec_driver_sql("EXPLAIN (ANALYZE, FORMAT JSON) " + query.replace("%", "%%")).scalar()[0]


def _nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def test_a_dashboards_query_on_a_million_score_rows_takes_under_50_ms(million):
    query = """SELECT window_start_ms / 1000 AS time, value FROM score WHERE model = 'credit' AND segment = '' AND subject = 'f7'
        AND score = 'psi' AND window_start_ms BETWEEN 1767225600000 AND 1767325600000 ORDER BY 1"""
    plans = [_plan(million, query) for _ in range(5)]
    assert sorted(p["Execution Time"] for p in plans)[2] < 50.0
    assert "Seq Scan" not in json.dumps(plans[0])


def test_every_query_finds_a_million_scores_by_index(million):
    """The heatmap's too, of six hours and ten features; it reads no score that it does not show."""
    some = [f"f{i}" for i in range(1, 11)]
    asked = 0
    for name, panel in panels():
        for target in panel["targets"]:
            if "FROM score" not in target.get("rawSql", ""):
                continue
            query = target["rawSql"].replace("$__unixEpochFrom()", "1767290000").replace("$__unixEpochTo()", "1767311600")
            nodes = list(_nodes(_plan(million, replaced(query, features=some, feature=["f7"]))["Plan"]))
            scans = [n for n in nodes if n.get("Relation Name") == "score"]
            assert scans and not any(n["Node Type"] == "Seq Scan" for n in scans), f"{name} {panel['title']}"
            asked += 1
            if panel["type"] == "status-history":
                assert sum(n["Actual Rows"] for n in scans) == 3600
                assert all(n.get("Rows Removed by Filter", 0) == 0 for n in scans), panel["title"]
    assert asked > 20
