"""What the config asks for and a window cannot say is no missing row: it is `unsure`, with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from tests.replayed import START, open_replay, replay_events, scores_of

HOUR = 3_600_000
CONFIG = """
models:
  - name: m
    task: multiclass
    features: {x: numeric}
    window: {size: 1h, allowed_lateness: 0s}
    min_rows: 20
    labels: {min_coverage: %g}
    multivariate: {pca: true, mahalanobis: true, mmd: [features]}
    compare: [{champion: "1", challenger: "2", mode: %s%s}]
alerts: {channels: {c: {type: log}}}
"""


def run(folder, versions, mode="canary", pair_by="", coverage=0.0, labelled=False):
    rng = np.random.default_rng(1)
    cfg, store = open_replay(folder, CONFIG % (coverage, mode, pair_by))
    events = [
        {"event_id": f"{v}-{i}", "ts": START + i * 1000, "model": "m", "version": v, "features": {"x": rng.normal()},
         "segment": {"rid": f"{v}-{i}"}, "prediction": {"label": "a"}} for v in versions for i in range(60)
    ]  # fmt: skip
    labels = [{"event_id": e["event_id"], "label": "a", "label_ts": e["ts"]} for e in events] if labelled else []
    replay_events(cfg, store, folder, events, labels)
    return scores_of(store)


@pytest.mark.parametrize(
    ("versions", "options", "why"),
    [
        (("1",), {}, "the window has no row of version 2"),
        (("1", "2"), {"coverage": 0.9}, "too few labels have come"),
        (("1", "2"), {"mode": "shadow", "pair_by": ", pair_by: rid", "labelled": True}, "no two rows are a pair yet"),
    ],
    ids=["a version that never comes", "no labels", "no pairs"],
)
def test_a_comparison_without_anything_to_compare_keeps_waiting_and_says_why(tmp_path, versions, options, why):
    found = run(tmp_path, versions, **options)
    for answer in ("promote", "roll_back"):
        row = found[0, "", "compare:2/1:error", answer]
        assert (row["value"], row["level"], row["version"]) == (None, "unsure", "2")
        assert row["evidence"] == {"answer": "keep waiting", "reason": why}


def test_features_together_say_that_they_need_a_built_reference(tmp_path):
    found = run(tmp_path, ("1",))
    for subject, name in (("multivariate", "reconstruction_error"), ("multivariate", "mahalanobis"), ("multivariate", "mmd")):
        row = found[0, "", subject, name]
        assert (row["value"], row["level"]) == (None, "unsure")
        assert row["evidence"]["reason"] == "it needs a built reference: run `driftd reference build`"
