"""What `sample.mask` hides is in no row that is kept, and no value of a masked category is told by what people see."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from detectors.columns import Columns, DictColumn, Outcomes, Schema
from detectors.dle import LossModel
from detectors.fits import fit_all
from detectors.sample import RowSample
from monitor.config import ConfigError, parse_config
from monitor.decode.native import NativeDecoder
from monitor.events import PartitionKey, RawBatch
from monitor.looking import distribution
from monitor.runtime import build_models, decode_settings
from monitor.slow_worker import Job, direct_loss
from monitor.store.schema import alert, reference_score, score
from monitor.window_rows import window_rows
from tests.replayed import START, open_replay, replay_events, sample_of, scores_of

SECRET = "anna@example.com"
HOUR = 3_600_000
CONFIG = """
models:
  - name: m
    task: binary
    positive_label: "yes"
    features: {age: numeric, mail: category, town: category, born: datetime, note: text}
    window: {size: 1h}
    reference: {first_windows: 2}
    false_alarms_per_week: 0
    thresholds: {js: {breach: 0.2}}
    sample: {rows: 50, mask: [MASK], keep: 3650d}
alerts: {rules: [{name: drift, scores: [js], channels: [log]}], channels: {log: {type: log}}}
"""
MASK = "mail, born, note"


def lived(folder, mask):
    """Three windows of 300 rows; in the last one nearly all mails are the secret one, and its rows are wrong."""
    rng = np.random.default_rng(1)
    cfg, store = open_replay(folder, CONFIG.replace("MASK", mask))
    events, labels = [], []
    for w in range(3):
        for i in range(300):
            ts, secret = START + w * HOUR + i * 1000, rng.random() < (0.9 if w == 2 else 0.3)
            mail = SECRET if secret else f"m{i % 5}@example.com"
            born = datetime.fromtimestamp((ts - int(rng.integers(10**12))) / 1000, UTC).isoformat()
            features = {"age": float(rng.normal()), "mail": mail, "town": "ab"[i % 2], "born": born, "note": f"hi {mail}"}
            events.append(
                {"event_id": f"{w}-{i}", "ts": ts, "model": "m", "features": features, "prediction": {"score": 0.9, "label": "yes"}}
            )
            labels.append({"event_id": f"{w}-{i}", "label": "no" if secret and w == 2 else "yes", "label_ts": ts + 1})
    replay_events(cfg, store, folder, events, labels)
    return cfg, store


def told(store):
    """All that the tables which people read say."""
    return json.dumps([[dict(r) for r in store.rows(table.select())] for table in (score, reference_score, alert)], default=str)


def test_no_masked_value_is_kept_in_a_row_or_told_by_a_score_or_an_alert(tmp_path):
    cfg, store = lived(tmp_path, MASK)
    found, text = scores_of(store), told(store)
    assert found[2, "", "mail", "js"]["level"] == found[2, "", "note.length", "js"]["level"] == "breach"
    assert SECRET not in text and "example.com" not in text and "share:a" in text
    moved = found[2, "", "mail", "js"]["evidence"]["moved"]
    assert moved[0]["category"].startswith("(masked ") and moved[0]["after"] > 0.8
    model = build_models(cfg, store)["m"]
    rows = window_rows(store, model, START, None, False, 10).rows
    assert len(rows) == 10 and set(rows[0]["features"]) == {"age", "town"}
    with store.reading.of_model("m") as tx:
        shown = distribution(tx, model, START, rows[0]["version"], "", "mail")
    assert shown["names"][0] == "(masked 1)" and max(shown["current"]) > 0.2 and shown["kind"] == "category"
    store.close()


def test_without_a_mask_the_same_values_are_told(tmp_path):
    """So that the test above can fail."""
    _, store = lived(tmp_path, "")
    found, text = scores_of(store), told(store)
    assert f"share:{SECRET}" in text and found[2, "", "mail", "js"]["evidence"]["moved"][0]["category"] == SECRET
    store.close()


def test_dead_letters_of_masked_models_keep_no_excerpt(tmp_path):
    bad = json.dumps({"event_id": "1", "ts": "soon", "model": "m", "features": {"mail": SECRET}}).encode()
    for mask, kept in ((MASK, 0), ("", len(bad))):
        cfg, store = open_replay(tmp_path, CONFIG.replace("MASK", mask))
        raw = RawBatch(PartitionKey("s", "t", 0), np.array([0, 1]), np.array([START, START]), [bad, b"{" + bad], 2)
        dead = NativeDecoder(decode_settings(cfg, build_models(cfg, store))).events(raw).dead
        assert [len(letter.excerpt) > 0 for letter in dead] == [bool(kept)] * 2
        store.close()


def test_segments_are_not_looked_for_by_a_masked_category(tmp_path):
    text = f"store: {{url: 'sqlite:///{tmp_path}/r.db'}}\n" + CONFIG.replace("MASK", MASK)
    with pytest.raises(ConfigError, match="'mail' is in sample.mask"):
        parse_config(text.replace("    window:", "    worst_segments: {features: [age, mail]}\n    window:"), "test")


def test_a_sample_that_was_stored_before_the_mask_loses_the_columns(tmp_path):
    _, store = lived(tmp_path, "")
    masked = parse_config(f"store: {{url: 'sqlite:///{tmp_path}/r.db'}}\n" + CONFIG.replace("MASK", MASK), "test")
    kept = sample_of(store, build_models(masked, store)["m"], START)
    assert kept is not None and set(kept.numeric) == {"age"} and set(kept.categorical) == {"town"}
    store.close()


def test_the_estimated_error_rests_on_what_the_samples_hold(tmp_path):
    """The loss grows with a feature that is masked: the model of the loss never sees it, so windows are not taken for others."""
    rng = np.random.default_rng(2)
    n = 4000
    hidden, shown = rng.random(n), rng.random(n)
    guess = rng.normal(size=n)
    schema = Schema(("hidden", "shown"), (), "regression", parts={"sample": {"rows": 500, "mask": ["hidden"], "estimate": True}})
    rows = Columns(
        rows=n, numeric={"hidden": hidden, "shown": shown}, categorical={}, score=guess, label=DictColumn.missing(n),
        latency_ms=np.full(n, np.nan), error=np.zeros(n, dtype=bool), numbers={},
    )  # fmt: skip
    true = guess + rng.normal(size=n) * (0.2 + 3.0 * hidden + shown)
    nothing = DictColumn.missing(n)
    fitted = fit_all(rows, Outcomes(nothing, guess, nothing, true, np.ones(n, dtype=np.int64)), schema)
    sample = RowSample.from_bytes(fitted["sample"], schema).kept
    error = float(np.abs(guess - true).mean())

    def found(fit):
        return {s.name: s for s in direct_loss(Job("dle", {}, schema, "ref", 500, sample, None, [], fit, []))}

    assert LossModel.from_bytes(fitted["dle"]).numeric == ("shown",)
    assert found(fitted["dle"])["mae"].value == pytest.approx(error, rel=0.05)
    before = fit_all(
        rows,
        Outcomes(nothing, guess, nothing, true, np.ones(n, dtype=np.int64)),
        replace(schema, parts={"sample": {"estimate": True}}),
    )
    lacks = found(before["dle"])["mae"]
    assert np.isnan(lacks.value) and "holds no hidden" in lacks.evidence["reason"]
