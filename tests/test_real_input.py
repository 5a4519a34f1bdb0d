"""Data that nobody here made: NannyML's car loans, through real Kafka, labels later, against NannyML's own numbers."""

from __future__ import annotations

import time

import numpy as np
import orjson
import pandas as pd
import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.store import open_store
from monitor.store.schema import alert_history, score
from tests.faults.daemon import Daemon
from tests.faults.hook import Hook
from tests.servers.ports import wait_for

START_MS = 1_767_225_600_000
CHUNK, WINDOW_MS = 5_000, 3_600_000  # NannyML's chunks of 5,000 rows, each spread over one window of an hour
NUMERIC = ["car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"]
CATEGORICAL = ["salary_range", "repaid_loan_on_prev_car", "size_of_downpayment"]
CONFIG = """
store: {{url: "{store}"}}
sources:
  - {{name: loans, type: kafka, carries: events, topics: [loans], bootstrap_servers: "{kafka}", group: g}}
  - {{name: repaid, type: kafka, carries: labels, topics: [repaid], bootstrap_servers: "{kafka}", group: g}}
http: {{listen: "127.0.0.1:0"}}
models:
  - name: car-loan
    task: binary
    positive_label: "1"
    window: {{size: 1h, allowed_lateness: 1m}}
    labels: {{wait: 30d}}
    columns: {{prediction.score: y_pred_proba, prediction.label: y_pred, label: repaid, ts: timestamp, event_id: id}}
    thresholds:
      ks: {{breach: 0.1}}
      roc_auc: {{below: {{breach: {auc}}}}}
alerts:
  rules:
    - {{name: drift, subjects: [car_value], scores: [ks], channels: [hook]}}
    - {{name: auc-fell, subjects: [performance], scores: [roc_auc], channels: [hook]}}
  channels:
    hook: {{type: webhook, url: "http://127.0.0.1:{hook}/hook", allow_private: true}}
checkpoint: {{interval: 500ms}}
idle_timeout: 3s
log: {{format: json}}
"""


def events(data):
    """The rows as native events, one chunk a window."""
    for i, row in enumerate(data.to_dict("records")):
        ts = START_MS + i * WINDOW_MS // CHUNK
        features = {f: row[f] for f in NUMERIC} | {f: row[f] for f in CATEGORICAL}
        yield {
            "event_id": f"loan-{row['id']}", "ts": ts, "model": "car-loan", "version": "1",
            "features": {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in features.items()},
            "prediction": {"label": str(int(row["y_pred"])), "score": row["y_pred_proba"]},
        }  # fmt: skip


@pytest.fixture(scope="module")
def nannyml_results():
    import nannyml

    reference, analysis, targets = nannyml.load_synthetic_car_loan_dataset()
    analysis = analysis.merge(targets, left_on="id", right_on="id") if "id" in targets else analysis.join(targets)
    drift = nannyml.UnivariateDriftCalculator(
        column_names=NUMERIC + CATEGORICAL,
        continuous_methods=["kolmogorov_smirnov", "wasserstein"],
        categorical_methods=["chi2", "jensen_shannon"],
        chunk_size=CHUNK,
        computation_params={"kolmogorov_smirnov": {"calculation_method": "exact"}, "wasserstein": {"calculation_method": "exact"}},
    )
    found = drift.fit(reference).calculate(analysis).filter(period="analysis").to_df()
    performance = nannyml.PerformanceCalculator(
        y_pred_proba="y_pred_proba", y_pred="y_pred", y_true="repaid", metrics=["roc_auc", "accuracy", "precision", "recall", "f1"],
        problem_type="classification_binary", chunk_size=CHUNK,
    )  # fmt: skip
    realised = performance.fit(reference).calculate(analysis).filter(period="analysis").to_df()
    return reference, analysis, found, realised


@pytest.mark.timeout(300)
def test_drift_and_the_fall_of_auc_are_found_where_nannyml_finds_them(tmp_path, kafka, postgres, nannyml_results):
    reference, analysis, drift, realised = nannyml_results
    url = postgres.url(postgres.new_database())
    hook = Hook()
    auc_limit = float(realised["roc_auc"]["lower_threshold"].iloc[0])
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG.format(store=url, kafka=kafka.bootstrap, hook=hook.port, auc=auc_limit))
    as_text = {
        c: reference[c].map(lambda v: None if pd.isna(v) else str(v).lower() if isinstance(v, bool) else str(v))
        for c in CATEGORICAL
    }
    reference.drop(columns=["timestamp"]).assign(**as_text).to_parquet(tmp_path / "reference.parquet")
    types = [t for f in NUMERIC for t in ("--type", f"{f}=numeric")]
    command = ["reference", "build", "-c", str(config), "--model", "car-loan", "--from", str(tmp_path / "reference.parquet")]
    built = CliRunner().invoke(main, [*command, *types])
    assert built.exit_code == 0, built.output

    kafka.create("loans", 4)
    kafka.create("repaid", 2)
    producer = kafka.producer()
    daemon = Daemon(config, tmp_path / "log")
    daemon.start()
    try:
        made = list(events(analysis))
        for i, event in enumerate(made):
            producer.produce("loans", orjson.dumps(event), partition=i % 4, timestamp=event["ts"])
        producer.flush(60)
        windows = len(analysis) // CHUNK
        wait_for(lambda: len(daemon.events("published")) >= windows - 1, 60, "windows without labels")
        for i, (event, label) in enumerate(zip(made, analysis["repaid"].tolist(), strict=True)):
            body = {"event_id": event["event_id"], "label": str(int(label)), "label_ts": event["ts"] + 86_400_000}
            producer.produce("repaid", orjson.dumps(body), partition=i % 2)
        producer.flush(60)
        store = open_store(url, read_only=True)

        def labelled():
            found = store.windows("car-loan")
            return len(found) == windows and all(w["labelled_rows"] == w["rows"] == CHUNK for w in found)

        wait_for(labelled, 90, "all windows with all their labels")
        time.sleep(1.0)
        rows = store.rows(score.select().where(score.c.segment == "").order_by(score.c.window_start_ms))
        alerts = store.rows(alert_history.select().where(alert_history.c.status == "firing"))
        store.close()
        wait_for(lambda: len(hook.by_key) >= 2, 30, "both alerts to be sent")
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        hook.close()

    def ours(subject, name):
        return np.array([r["value"] for r in rows if r["subject"] == subject and r["score"] == name], dtype=float)

    for feature in NUMERIC:
        theirs = drift[feature]["kolmogorov_smirnov"]["value"].to_numpy(float)
        np.testing.assert_allclose(ours(feature, "ks"), theirs, atol=1e-3, err_msg=feature)
        spread = float(reference[feature].std())
        distance = drift[feature]["wasserstein"]["value"].to_numpy(float)
        np.testing.assert_allclose(ours(feature, "wasserstein") * spread, distance, rtol=0.01, atol=1e-3 * spread, err_msg=feature)
    for feature in CATEGORICAL:
        theirs = drift[feature]["jensen_shannon"]["value"].to_numpy(float)
        np.testing.assert_allclose(ours(feature, "js"), theirs, atol=1e-3, err_msg=feature)
    for metric in ("roc_auc", "accuracy", "precision", "recall", "f1"):
        theirs = realised[metric]["value"].to_numpy(float)
        np.testing.assert_allclose(ours("performance", metric), theirs, atol=1e-3, err_msg=metric)

    # NannyML's published estimates (CBPE, chunks of 5,000); its sampling errors are 0.0018 and 0.0033
    published = {
        "roc_auc": [0.970744, 0.971011, 0.971407, 0.971091, 0.971123, 0.96109, 0.961825, 0.961073, 0.962533, 0.961316],
        "accuracy": [0.941792, 0.943321, 0.945492, 0.944816, 0.944645, 0.910714, 0.911149, 0.911193, 0.914389, 0.911731],
    }
    for metric, expected in published.items():
        estimated = ours("estimated_performance", metric)
        np.testing.assert_allclose(estimated, expected, atol=3e-4, err_msg=metric)
        np.testing.assert_allclose(
            ours("estimated_performance", f"{metric}_gap"), estimated - ours("performance", metric), atol=1e-9
        )

    theirs_drift = int(np.argmax(drift["car_value"]["kolmogorov_smirnov"]["value"].to_numpy(float) >= 0.1))
    assert theirs_drift > 0 and int(np.argmax(ours("car_value", "ks") >= 0.1)) == theirs_drift
    theirs_fall = int(np.argmax(realised["roc_auc"]["alert"].to_numpy(bool)))
    assert int(np.argmax(ours("performance", "roc_auc") <= auc_limit)) == theirs_fall
    first: dict[str, int] = {}
    for a in alerts:
        at = (a["since_ms"] - START_MS) // WINDOW_MS
        first[a["rule"]] = min(at, first.get(a["rule"], at))
    assert set(first) == {"drift", "auc-fell"} and hook.by_key
    assert first["drift"] in (theirs_drift, theirs_drift + 1) and first["auc-fell"] in (theirs_fall, theirs_fall + 1)
