"""A reference made of labelled rows knows how good the model was on them; one of the first release still opens."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score

from detectors.profile import Profile
from detectors.scoring import score_performance
from monitor.config import load_config
from monitor.references import build_reference
from monitor.store import open_store

# a profile of eight rows, as the first release wrote it
FIRST_RELEASE = (
    "AXicY2dgYNAGYjkgbmBkYAhhRtAaQLFopZKixMw8XUMlHQULHYVopQqlWBCVDKKUkjLzEosqgVJKhkqx0UYGBjoKQBQdrWQAFDMBKzQEs2JjW+VEd/aFLD"
    "oAoSdB6SYoXQSlk6B0EJR2gtJGUFoJSgtBaSYo/Wk/hH60nwEF2NhD6BgonQOla6B0D5T+AKX/QGkGBwjFAaV5oLQAlBaB0qJQWgJCf5KG0D8hdMMfCO3w"
    "D0JP+A+VZ5BxYITSFxcrXZ/oJQelFRwWuruuU56q5ODU3xXjrqUOpQ0cIP6zhNBXXCG0SAiENkmG0EeKIHRPE4QumAShkxY5GDLgBhwoPJhfXR1QVcmg8W"
    "kPGClUz0imOLn2jQJkAMtTcOAAoWB5CgbQ8xQMSKDxCQH6p8/dsX8Z9h4oOKB0JDldeX/CgfcTDEw+7A440KF16mznVocDYPkVBhD5fgWIfLTAAYHQKbOF"
    "X//fX777F2NV4Lv9Lh3Hz7nJ3d5/VzEx48H2I/sdQgLz/NbM39/lwvqvdd1C+1kzQWCn/dkzQDBnp316GhAs22lvYgwEm6HiZ3ZCw3uX/Z1tube35Z6GyB"
    "tfti8LYC8NYL9qX3M0HIjuQNU9sHeSveIoe+Wh/TGQcM1TiLlpz+w9J6kA0UuIugNvIOLH3kDccfKNPdjY01DxM2+g9r+xPweld6yWXyD+9J19oOtOy411"
    "H+xtVHh4/0z7ZC/4aOPmice/2e8BhYvGf3twOH1ld4CEi4gDJJyUHCDhZugAljd1hMj/DoDI30+AyF8oIKFMe2DvUq+++mnvQ9SwBLqVBskCLxgt0wYHgK"
    "UDYtXD8hSMjz1PMTCg5ymYOEqeIgIMVPpEbsUlwltxSUCWEbThB2LFxgIAo0d1GQ=="
)
CONFIG = """
store: {{url: "sqlite:///{folder}/d.db"}}
models:
  - name: m
    task: {task}
    {positive}
    features: {{x: numeric}}
    segments: [channel]
    columns: {{label: truth, prediction.label: predicted, prediction.score: p}}
"""


def build(tmp_path, task, columns):
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    (tmp_path / "c.yaml").write_text(
        CONFIG.format(folder=tmp_path, task=task, positive="positive_label: yes_" if task == "binary" else "")
    )
    cfg = load_config(tmp_path / "c.yaml")
    store = open_store(cfg.store.sqlalchemy_url())
    store.migrate()
    lines = list(build_reference(cfg, store, "m", tmp_path / "train.parquet", (), True))
    return Profile.from_bytes(store.references("m")[0].blob), lines


def values(profile, segment=""):
    return {s.name: s.value for s in score_performance(profile.performance[segment])}


@pytest.fixture
def labelled():
    rng = np.random.default_rng(3)
    n = 4000
    p = rng.beta(2, 2, n)
    truth = np.where(rng.random(n) < p, "yes_", "no_").astype(object)
    truth[::10] = None
    return {
        "x": rng.normal(size=n),
        "channel": rng.choice(["web", "app"], n),
        "p": p,
        "predicted": np.where(p >= 0.5, "yes_", "no_"),
        "truth": truth,
    }


def test_a_binary_reference_holds_the_performance_of_its_labelled_rows_and_of_their_segments(tmp_path, labelled):
    profile, lines = build(tmp_path, "binary", labelled)
    there = np.array([t is not None for t in labelled["truth"]])
    web = there & (labelled["channel"] == "web")
    for segment, rows in (("", there), ("channel=web", web)):
        truth = labelled["truth"][rows].astype(str)
        found = values(profile, segment)
        assert profile.performance[segment].rows == rows.sum()
        assert found["accuracy"] == pytest.approx(accuracy_score(truth, labelled["predicted"][rows]), abs=1e-12)
        assert found["roc_auc"] == pytest.approx(roc_auc_score(truth == "yes_", labelled["p"][rows]), abs=1e-3)
        assert found["log_loss"] == pytest.approx(log_loss(truth == "yes_", labelled["p"][rows]), abs=1e-9)
    assert "3600 with labels" in lines[-1]
    assert Profile.from_bytes(profile.to_bytes()).to_bytes() == profile.to_bytes()


def test_a_regression_reference_reads_values(tmp_path):
    rng = np.random.default_rng(4)
    truth = rng.normal(size=500)
    p = truth + rng.normal(size=500)
    nothing = pa.nulls(500, pa.string())
    profile, _ = build(
        tmp_path,
        "regression",
        {"x": p, "channel": nothing, "p": p, "predicted": nothing, "truth": np.where(truth > 2, np.nan, truth)},
    )
    there = truth <= 2
    assert values(profile)["mae"] == pytest.approx(mean_absolute_error(truth[there], p[there]))


def test_without_labels_there_is_no_performance(tmp_path, labelled):
    del labelled["truth"]
    profile, lines = build(tmp_path, "binary", labelled)
    assert profile.performance == {} and "with labels" not in lines[-1]


def test_a_reference_of_the_first_release_opens_and_is_written_anew():
    profile = Profile.from_bytes(base64.b64decode(FIRST_RELEASE))
    assert (profile.name, profile.rows, profile.performance, profile.extras) == ("train-1", 8, {}, {})
    assert profile.categorical["c"].counts == {"a": 4, "b": 2, "c": 2}
    again = Profile.from_bytes(replace(profile, extras={"of others": b"\0\1"}).to_bytes())
    assert again.extras == {"of others": b"\0\1"}
    assert again.numeric["x"].moments == profile.numeric["x"].moments
