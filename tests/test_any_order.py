"""The first promise with everything on: however a log is read, cut, published, interrupted or shared, its results are one.

The log has two models, duplicates, late rows, versions, segments, and labels that come late, twice, corrected or never.
A calm run reads all of it and publishes once. Every other schedule must end in the same windows and scores, with the same
thresholds, levels, rules and evidence. The spans of what is remembered are shortened, so that few windows meet all of it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import event as sql_event

from detectors.calibrate import first_days as calibrate_days
from detectors.calibrate import history, weeks
from monitor import concept, first_days, past
from monitor.config import parse_config
from monitor.events import PartitionKey, RawBatch
from monitor.publish import publish_due
from monitor.references import build_reference
from monitor.runtime import build_engine, build_models
from monitor.store import open_store
from monitor.store.schema import alert, reference_score, score, window
from monitor.watermark import FAR_FUTURE_MS

START = 1_767_225_600_000
WINDOWS, PER_WINDOW, MINUTE = 18, 44, 60_000
SPAN = WINDOWS * MINUTE
DAY = 12 * MINUTE  # that long a day is here
CONFIG = """
store: {{url: "sqlite:///{folder}/s.db"}}
models:
  - name: credit
    task: binary
    positive_label: bad
    features: {{income: numeric, age: numeric, region: category}}
    numbers: [cost_usd]
    segments: [channel]
    fairness: {{protected: [channel]}}
    checks: [{{name: adult, expect: "age >= 18"}}]
    cost: {{budget_usd_per_day: 50}}
    window: {{size: 1m, slide: 1m, allowed_lateness: 10s}}
    reference: {{first_windows: 4}}
    min_rows: 20
    calibration: {{min_rows: 5}}
    dedup: {{horizon: 5m}}
    sample: {{rows: 20}}
    outliers: {{quantile: 0.99}}
    worst_segments: {{features: [income, age, region]}}
    multivariate: {{pca: true, mahalanobis: true, mmd: [features], correlation: {{pairs: [[income, age]]}}}}
    compare: [{{champion: "3", challenger: "4", metric: error}}]
  - name: price
    task: regression
    features: {{income: numeric}}
    window: {{size: 2m, slide: 1m, allowed_lateness: 10s}}
    reference: {{first_windows: 4}}
    min_rows: 10
    calibration: {{min_rows: 5}}
alerts:
  channels: {{log: {{type: log}}}}
  flapping: {{times: 2, windows: 8}}
  rules:
    - {{name: wavers, scores: [psi, error_share, latency_p95_ms, accuracy, mae], segments: ["*"], above: 0.2, min_rows: 5}}
    - {{name: slow, subjects: [latency], scores: [latency_p95_ms], segments: ["*"], above: 14, resolve_windows: 2, cooldown: 3m}}
    - {{name: two-of-four, scores: [js, mae], segments: ["*"], above: 0.05, for_windows: 2, of_windows: 4}}
    - {{name: errs, scores: [accuracy, f1], segments: ["*"], below: 0.72, resolve_above: 0.75, min_coverage: 0.3}}
    - {{name: fell, scores: [accuracy, roc_auc], segments: ["*"], fall_by: 0.02, sigmas: 0.5, learn_windows: 5}}
    - {{name: rose, scores: [mae, latency_p95_ms, error_share], segments: ["*"], rise_ratio: 1.2, sigmas: 0.5, learn_windows: 6}}
    - {{name: both, all_of: [wavers, two-of-four], segments: ["*"], resolve_windows: 2}}
    - {{name: either, any_of: [errs, fell], segments: ["*"]}}
"""
EVENTS = [PartitionKey("log", "events", p) for p in range(2)]
LABELS = [PartitionKey("log", "labels", p) for p in range(2)]
Log = dict[PartitionKey, list[bytes]]
LIVED = ("reason", "revision", "at_ms", "grp", "evidence")  # of alerts: ARCHITECTURE.md, "Life of an alert"


@pytest.fixture(autouse=True)
def short_memories(monkeypatch):
    """Memories of 18 windows in place of months: chunks, epochs and the least number of windows are shrunk alike."""
    monkeypatch.setattr(past, "CHUNK", 3)
    monkeypatch.setattr(past, "EARLY", 7)
    monkeypatch.setattr(past, "ABOUT", past.KEEP_MS // (2 * MINUTE))
    monkeypatch.setattr(history, "LEAST_WINDOWS", 4)
    monkeypatch.setattr(past, "YOUNG_MS", 16 * MINUTE)
    monkeypatch.setattr(calibrate_days, "DAY_MS", DAY)
    monkeypatch.setattr(calibrate_days, "NEAR_MS", MINUTE // 2)
    monkeypatch.setattr(calibrate_days, "LEAST", 3)
    monkeypatch.setattr(first_days, "SOON_MS", MINUTE)
    monkeypatch.setattr(first_days, "WEEK_DAYS", 1)
    monkeypatch.setattr(past, "WEEK_MS", DAY)
    monkeypatch.setattr(weeks, "EAST", 1.0)  # the second day is the first Saturday of somebody
    monkeypatch.setattr(concept, "EPOCH", 4)


def one(rng, i, ts, model):
    """An event and its true label."""
    drifted, broken = ts - START > SPAN // 2, ts - START > 2 * SPAN // 3
    season = 0.8 * math.sin(2.0 * math.pi * (ts - START) / DAY) if model == "credit" else 0.0
    income = float(rng.lognormal(8.0 + season + (0.5 if drifted else 0.0), 0.5))
    event = {
        "event_id": f"{model}-{i}", "ts": ts, "model": model, "version": "3" if i % 3 else "4",
        "features": {"income": income}, "latency_ms": float(rng.lognormal(2.0, 0.4)), "status": "ok" if i % 31 else "error",
    }  # fmt: skip
    if model == "price":
        event["prediction"] = {"value": income / 10.0}
        return event, income / 10.0 + float(rng.normal(0, 30.0 if broken else 10.0))
    chance = float(rng.beta(1.0, 1.0))
    event["features"] |= {"age": int(rng.integers(16, 80)), "region": ("MA", "NY", "CA")[int(rng.integers(3))]}
    event |= {"segment": {"channel": ("web", "app")[i % 2]}, "cost_usd": float(rng.random()) / 100.0}
    event["prediction"] = {"label": "bad" if chance >= 0.5 else "good", "score": chance}
    truth = (rng.random() < chance) ^ (broken and rng.random() < 0.4)
    return event, "bad" if truth else "good"


def make_log(seed=1):
    """Messages of each partition in the order of its offsets, and the time at which each is read by a calm daemon."""
    rng = np.random.default_rng(seed)
    found: list[tuple[float, PartitionKey, dict[str, Any]]] = []
    for model, n in (("credit", WINDOWS * PER_WINDOW), ("price", WINDOWS * PER_WINDOW // 3)):
        for i, ts in enumerate(np.sort(rng.integers(START, START + SPAN, n)).tolist()):
            event, truth = one(rng, i, ts, model)
            key = EVENTS[int(rng.integers(2))]
            arrives = ts + (0 if rng.random() < 0.96 else 4_000 if rng.random() < 0.5 else 200_000)
            found.append((arrives, key, event))
            if i % 40 == 0:
                found.append((arrives + 300, key, event))
            draw = rng.random()
            if draw > 0.85:
                continue
            due = ts + rng.exponential(150_000.0)
            label = {"event_id": event["event_id"], "label": truth, "label_ts": ts + 1000}
            found.append((due, LABELS[int(rng.integers(2))], label))
            if draw < 0.05:
                wrong = truth + 5.0 if model == "price" else "good" if truth == "bad" else "bad"
                found.append((due + 9_000, LABELS[int(rng.integers(2))], {**label, "label": wrong, "label_ts": ts + 5000}))
            elif draw < 0.08:
                found.append((due + 100, LABELS[int(rng.integers(2))], label))
    found.sort(key=lambda f: f[0])
    log: Log = {key: [] for key in (*EVENTS, *LABELS)}
    times: dict[PartitionKey, list[float]] = {key: [] for key in log}
    for at, key, message in found:
        log[key].append(orjson.dumps(message))
        times[key].append(at)
    return log, times


def training(folder, rows=1500):
    rng = np.random.default_rng(9)
    pairs = [one(rng, i, START, "credit") for i in range(rows)]
    columns = {name: [e["features"][name] for e, _ in pairs] for name in ("income", "age", "region")}
    columns |= {"prediction": [e["prediction"]["label"] for e, _ in pairs], "score": [e["prediction"]["score"] for e, _ in pairs]}
    columns |= {"label": [t for _, t in pairs], "channel": [e["segment"]["channel"] for e, _ in pairs]}
    pq.write_table(pa.table(columns), folder / "train.parquet")
    return folder / "train.parquet"


@dataclass
class Daemons:
    """Engines over one store. shares: which partitions each engine owns."""

    folder: Any
    log: Log
    shares: list[list[PartitionKey]]
    built: Any = None

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.cfg = parse_config(CONFIG.format(folder=self.folder), "any_order.yaml")
        self.store = open_store(self.cfg.store.sqlalchemy_url())

        @sql_event.listens_for(self.store.engine, "connect")
        def _fast(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA synchronous=OFF")

        self.store.migrate()
        self.store.label_wait_ms = {m.name: m.labels.wait_ms for m in self.cfg.models}
        if self.built:
            list(build_reference(self.cfg, self.store, "credit", self.built, (), True))
        self.at = dict.fromkeys(self.log, 0)
        self.published = 0
        self.start()

    def start(self) -> None:
        """Begin with what the store has, as after a kill: what was read and not written is read again."""
        self.models = build_models(self.cfg, self.store)
        self.engines = [build_engine(self.cfg, self.models, ("log",)) for _ in self.shares]
        for engine, keys in zip(self.engines, self.shares, strict=True):
            claims = self.store.claim({key: key.topic for key in keys}, "test", 1, engine.keep_ms)
            engine.assign(claims.values())
            for key in keys:
                self.at[key] = max(0, claims[key].next_offset)

    def engine(self, key):
        return next(e for e, keys in zip(self.engines, self.shares, strict=True) if key in keys)

    def read(self, key, count):
        first = self.at[key]
        values = self.log[key][first : first + count]
        if values:
            self.at[key] += len(values)
            offsets = np.arange(first, first + len(values), dtype=np.int64)
            raw = RawBatch(key, offsets, np.full(len(values), -1, dtype=np.int64), values, first + len(values))
            self.engine(key).step(key.topic, raw)

    def cut(self, idle=()):
        for engine, keys in zip(self.engines, self.shares, strict=True):
            for key in keys:
                engine.set_idle(key, key in idle)
            cuts = engine.cut(1)
            assert not self.store.checkpoint(cuts, engine.absorb)
            engine.committed(cuts)

    def publish(self, ended=False, limit=100):
        """One round; ended: rounds until nothing is left."""
        for model in self.models.values():
            while True:
                with self.store.publishing(model.name) as tx:
                    done = publish_due(tx, model, lambda key: True, 1, 0, limit, FAR_FUTURE_MS if ended else None)
                self.published += len(done)
                if not ended or not done:
                    break

    def finish(self):
        """Read what is left, publish it; the results."""
        for key, values in self.log.items():
            self.read(key, len(values))
        self.cut()
        self.publish(ended=True)
        found = {name: [dict(r) for r in self.store.rows(table.select())] for name, table in
                 (("windows", window), ("scores", score), ("alerts", alert), ("references", reference_score))}  # fmt: skip
        self.store.close()
        return found


def of_scores(found):
    out = {}
    for row in found["windows"]:
        kept = {k: v for k, v in row.items() if k not in ("revision", "published_ms", "inputs")}
        out["window", row["model"], row["start_ms"]] = kept
    for row in found["references"]:
        out[tuple(row[k] for k in ("model", "reference", "segment", "subject", "score"))] = row
    for row in found["scores"]:
        key = tuple(row[k] for k in ("model", "window_start_ms", "version", "segment", "subject", "score"))
        assert key not in out, f"{key} is there twice"
        out[key] = {k: v for k, v in row.items() if k != "revision"} | {"evidence": json.loads(row["evidence"] or "{}")}
    for row in found["alerts"]:
        assert row["reason"] not in ("version_gone", "went_quiet", "rule_removed"), "these would tell what was lived"
        if row["reason"] != "withdrawn":
            out["alert", row["alert"]] = {k: v for k, v in row.items() if k not in LIVED}
    return out


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    return a == b


def differences(found, calm):
    left, right = of_scores(found), of_scores(calm)
    out = []
    for key in sorted(left.keys() | right.keys(), key=str):
        a, b = left.get(key, {}), right.get(key, {})
        out += [f"{key} {n}: {a.get(n)!r}, calm {b.get(n)!r}" for n in sorted(a.keys() | b.keys()) if not same(a.get(n), b.get(n))]
    return out


def in_time(d, times, rng, every, most, around=lambda: None):
    """Read as time passes, unevenly; publish after every so many polls."""
    ends = {key: len(values) for key, values in d.log.items()}
    polls = 0
    while any(d.at[key] < ends[key] for key in d.log):
        ahead = min((times[key][d.at[key]], key) for key in d.log if d.at[key] < ends[key])
        d.read(ahead[1], int(rng.integers(1, most)))
        polls += 1
        if polls % every == 0:
            d.cut()
            d.publish()
            around()


def restarts(d, rng):
    def around():
        if rng.random() < 0.3:
            for key in d.log:
                d.read(key, int(rng.integers(1, 30)))  # read, never written, and read again
            d.start()

    return around


def labels_late(d, times, rng):
    for key in EVENTS:
        d.read(key, 10**6)
    d.cut()
    d.publish(ended=True)
    while any(d.at[key] < len(d.log[key]) for key in LABELS):
        for key in LABELS:
            d.read(key, int(rng.integers(100, 200)))
        d.cut()
        d.publish(ended=True)


def labels_first(d, times, rng):
    for key in LABELS:
        d.read(key, 10**6)
    d.cut()
    while any(d.at[key] < len(d.log[key]) for key in EVENTS):
        for key in EVENTS:
            d.read(key, 200)
        d.cut()
        d.publish()


def one_partition_was_away(d, times, rng):
    """A partition that is idle holds nothing back; then it brings a past that no window had."""
    while d.at[EVENTS[0]] < len(d.log[EVENTS[0]]):
        for key in (EVENTS[0], *LABELS):
            d.read(key, 250)
        d.cut(idle=[EVENTS[1]])
        d.publish()
    while d.at[EVENTS[1]] < len(d.log[EVENTS[1]]):
        d.read(EVENTS[1], 500)
        d.cut()
        d.publish(ended=True)


SCHEDULES = {
    "as time passes, killed": lambda d, times, rng: in_time(d, times, rng, 12, 100, restarts(d, rng)),
    "labels late": labels_late,
    "labels first": labels_first,
    "a partition away": one_partition_was_away,
}


def backwards(log):
    """The same labels in other partitions, the oldest last: the windows that a reference is learned from get theirs when all
    others have been judged by it."""
    every = sorted((m for key in LABELS for m in log[key]), key=lambda m: -orjson.loads(m)["label_ts"])
    return {**log, LABELS[0]: every[::2], LABELS[1]: every[1::2]}


@pytest.fixture(scope="module")
def calm_runs(tmp_path_factory):
    """By reference: the log, when it is read, what a reference is built of, and the results of a calm run; made when asked for."""
    made: dict[str, Any] = {}

    def calm_run(reference):
        if reference not in made:
            folder = tmp_path_factory.mktemp(reference)
            log, times = make_log()
            built = training(folder) if reference == "built" else None
            made[reference] = log, times, built, Daemons(folder / "calm", log, [[*EVENTS, *LABELS]], built).finish()
        return made[reference]

    return calm_run


# what is learned of labels is fixed where the reference is built: their order is told by the first two
CASES = [*(("learned", name) for name in SCHEDULES), ("built", "as time passes, killed"), ("built", "a partition away")]


@pytest.mark.parametrize(("reference", "name"), CASES)
def test_every_schedule_ends_in_the_results_of_a_calm_run(tmp_path, calm_runs, reference, name):
    log, times, built, calm = calm_runs(reference)
    for basis in (
        "past",
        "held",
        "windows before",
        "same hour of earlier days",
        "same hour of earlier weeks",
        "first days of their kind",
    ):
        assert any(row["rule"].startswith("calibrated") and basis in row["rule"] for row in calm["scores"]), basis
    assert len({row["rule"] for row in calm["alerts"]}) >= 7 and {"firing", "resolved"} <= {row["status"] for row in calm["alerts"]}
    together, apart = [[*EVENTS, *LABELS]], [[EVENTS[0], LABELS[1]], [EVENTS[1], LABELS[0]]]
    at = list(SCHEDULES).index(name)
    mine = backwards(log) if name == "labels late" else log
    d = Daemons(tmp_path / "lived", mine, apart if at % 2 else together, built)
    SCHEDULES[name](d, times, np.random.default_rng(at))
    found = differences(d.finish(), calm)
    assert not found, json.dumps([f"{len(found)} differences", *found[:6]], indent=1)
