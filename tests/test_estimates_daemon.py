"""Estimates before labels through engine, store and publisher: they stand before any label, stay as they are when labels come
late, and then have their gap to what the labels show, and the error so far.

A multiclass model whose events carry the probabilities of all classes (CBPE), and a regression model with a sample of rows
(DLE, whose slow detector runs in this process here). The inputs of later windows move, so that performance falls.
"""

from __future__ import annotations

import json

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.config import parse_config
from monitor.estimate_errors import errors_so_far, estimates_of
from monitor.events import PartitionKey, RawBatch
from monitor.publish import publish_due
from monitor.references import build_reference
from monitor.runtime import build_engine, build_models
from monitor.slow import SlowRunner, limits_of, wanted_of
from monitor.slow_worker import run
from monitor.store import open_store
from monitor.store.schema import score
from monitor.watermark import FAR_FUTURE_MS

START, HOUR = 1_767_225_600_000, 3_600_000
EVENTS, LABELS = PartitionKey("log", "events", 0), PartitionKey("log", "labels", 0)
CLASSES = ("bird", "cat", "dog")
WINDOWS, PER_WINDOW = 4, 700
CONFIG = """
store: {{url: "sqlite:///{folder}/s.db"}}
models:
  - name: pets
    task: multiclass
    classes: [bird, cat, dog]
    features: {{x: numeric}}
    window: {{size: 1h}}
    labels: {{wait: 9d}}
  - name: prices
    task: regression
    features: {{x: numeric}}
    window: {{size: 1h}}
    sample: {{rows: 500}}
    labels: {{wait: 9d}}
"""


def pets(rng, n, alike):
    """x, the probabilities that the model gives, and the true classes, which follow them. alike: how alike the classes are."""
    x = rng.normal(alike, 0.5, n)
    logits = rng.normal(size=(n, 3)) * 4.0 * np.exp(-x)[:, None]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    truth = np.array(CLASSES)[(p.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1)]
    return x, p, truth


def prices(rng, n, moved):
    """x, the prediction, and the true value, which is off the more the greater x is."""
    x = rng.uniform(1 + moved, 2 + moved, n)
    return x, 10 * x, 10 * x + rng.normal(size=n) * x


def training(rng, folder):
    x, p, truth = (np.concatenate(parts) for parts in zip(pets(rng, 2500, 0.0), pets(rng, 2500, 1.5), strict=True))
    columns = {"x": x, "label": truth, "prediction.label": np.array(CLASSES)[p.argmax(axis=1)]}
    columns |= {f"prediction.probabilities.{name}": p[:, i] for i, name in enumerate(CLASSES)}
    pq.write_table(pa.table(columns), folder / "pets.parquet")
    x, guess, truth = (
        np.concatenate(parts) for parts in zip(*(prices(rng, 1000, moved) for moved in (0.0, 1.0, 2.0)), strict=True)
    )
    pq.write_table(pa.table({"x": x, "prediction.score": guess, "label": truth}), folder / "prices.parquet")


def log(rng):
    """Events of four windows and their labels."""
    events, labels = [], []
    for w in range(WINDOWS):
        x, p, truth = pets(rng, PER_WINDOW, 0.5 * w)
        y, guess, value = prices(rng, PER_WINDOW, 0.6 * w)
        for i in range(PER_WINDOW):
            ts = START + w * HOUR + i * (HOUR // PER_WINDOW)
            chances = dict(zip(CLASSES, p[i].tolist(), strict=True))
            one = {
                "event_id": f"c{w}-{i}",
                "ts": ts,
                "model": "pets",
                "features": {"x": x[i]},
                "prediction": {"probabilities": chances},
            }
            two = {"event_id": f"r{w}-{i}", "ts": ts, "model": "prices", "features": {"x": y[i]}, "prediction": {"value": guess[i]}}
            for event, label in ((one, truth[i]), (two, value[i])):
                events.append(orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY))
                said = {"event_id": event["event_id"], "label": label, "label_ts": ts + 30 * HOUR}
                labels.append(orjson.dumps(said, default=str, option=orjson.OPT_SERIALIZE_NUMPY))
    return events, labels


class Daemon:
    def __init__(self, folder):
        self.cfg = parse_config(CONFIG.format(folder=folder), "estimates.yaml")
        self.store = open_store(self.cfg.store.sqlalchemy_url())
        self.store.migrate()
        self.store.label_wait_ms = {m.name: m.labels.wait_ms for m in self.cfg.models}
        for name in ("pets", "prices"):
            list(build_reference(self.cfg, self.store, name, folder / f"{name}.parquet", (), True))
        self.models = build_models(self.cfg, self.store)
        self.engine = build_engine(self.cfg, self.models, ("log",))
        keys = {EVENTS: "events", LABELS: "labels"}
        self.engine.assign(self.store.claim(keys, "test", 1, self.engine.keep_ms).values())

    def feed(self, key, values):
        offsets = np.arange(len(values), dtype=np.int64)
        for at in range(0, len(values), 1000):
            part = values[at : at + 1000]
            self.engine.step(key.topic, RawBatch(key, offsets[at : at + 1000], np.full(len(part), -1), part, at + len(part)))
        cuts = self.engine.cut(1)
        assert not self.store.checkpoint(cuts, self.engine.absorb)
        self.engine.committed(cuts)

    def publish(self):
        for model in self.models.values():
            with self.store.publishing(model.name) as tx:
                publish_due(tx, model, lambda key: True, 1, 0, 100, FAR_FUTURE_MS)

    def slow(self):
        runner = SlowRunner(self.store, limits_of(self.cfg))
        settings = {m.name: m for m in self.cfg.models}
        for name, model in self.models.items():
            runner.round(model, wanted_of(settings[name], model.profile_named(model.active_profile)))

    def scores(self, model, subject):
        rows = self.store.rows(score.select().where(score.c.model == model, score.c.subject == subject, score.c.segment == ""))
        return {(r["window_start_ms"], r["score"]): r["value"] for r in rows}

    def verdicts(self, model, metric):
        c = score.c
        wanted = (c.model == model, c.subject == "estimated_performance", c.segment == "", c.score == metric)
        rows = self.store.rows(score.select().where(*wanted).order_by(c.window_start_ms))
        return [(r["level"], r["rule"]) for r in rows]


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """What a daemon says before any label, and after all of them."""
    folder = tmp_path_factory.mktemp("estimates")
    rng = np.random.default_rng(4)
    training(rng, folder)
    events, labels = log(rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SlowRunner, "run", lambda self, *jobs: [json.loads(json.dumps(run(job))) for job in jobs])
        daemon = Daemon(folder)
        daemon.feed(EVENTS, events)
        daemon.publish()
        daemon.slow()
        daemon.publish()
        before = {name: daemon.scores(name, "estimated_performance") for name in daemon.models}
        early = {name: list(errors_so_far(estimates_of(daemon.store, name))) for name in daemon.models}
        assert not any(name == metric for model in daemon.models for _, name in daemon.scores(model, "performance")
                       for metric in ("accuracy", "mae"))  # fmt: skip
        daemon.feed(LABELS, labels)
        daemon.publish()
    yield daemon, before, early
    daemon.store.close()


@pytest.mark.parametrize(("model", "metrics"), [("pets", ("accuracy", "f1", "roc_auc")), ("prices", ("mae", "rmse"))])
def test_an_estimate_stands_before_labels_and_beside_what_they_show(lived, model, metrics):
    daemon, before, early = lived
    after, realised = daemon.scores(model, "estimated_performance"), daemon.scores(model, "performance")
    for metric in metrics:
        said, shown, inside = [], [], 0
        for w in range(WINDOWS):
            at = START + w * HOUR
            estimate, truth = after[at, metric], realised[at, metric]
            assert before[model][at, metric] == estimate and (at, f"{metric}_gap") not in before[model]
            assert after[at, f"{metric}_gap"] == pytest.approx(estimate - truth, abs=1e-12)
            inside += after[at, f"{metric}_low"] <= truth <= after[at, f"{metric}_high"]
            said.append(estimate)
            shown.append(truth)
        assert inside == WINDOWS, metric
        assert np.corrcoef(said, shown)[0, 1] > 0.9 and abs(said[-1] - said[0]) > 0.5 * abs(shown[-1] - shown[0])
        off = float(np.mean(np.abs(np.subtract(said, shown))))
        lines = list(errors_so_far(estimates_of(daemon.store, model)))
        want = f"estimated_performance {metric}: off by {off:.4g} on average over 4 windows with labels, inside the band in 4 of 4"
        assert want in lines
        assert f"estimated_performance {metric}: no labels yet, 4 windows estimated" in early[model]


def test_an_estimated_error_is_held_against_the_references(lived):
    """Each window's inputs move further. The reference holds rows as they are from the first window to beyond the last."""
    daemon, _, _ = lived
    levels = [level for level, rule in daemon.verdicts("prices", "mae") if rule.startswith("calibrated mae")]
    assert levels == ["ok", "ok", "breach", "breach"]
