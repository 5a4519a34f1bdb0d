"""Lists that nothing is relevant in have their label too: coverage, maturity and the window's row count them."""

from __future__ import annotations

import pytest

from tests.replayed import START, open_replay, replay_events, scores_of, windows_of

CONFIG = """
models:
  - name: m
    task: ranking
    top_k: 3
    window: {size: 1m, allowed_lateness: 0s}
    reference: {first_windows: 1}
    labels: {wait: 30d, min_coverage: 0.9}
    min_rows: 5
"""


@pytest.mark.parametrize(("labelled", "relevant"), [(40, 10), (40, 0), (20, 20)])
def test_labelled_rows_are_all_that_have_a_label(labelled, relevant, tmp_path):
    events = [
        {"event_id": f"e{i}", "ts": START + 100 * i, "model": "m", "prediction": {"items": ["b", "a", "c"]}} for i in range(40)
    ]
    labels = [
        {"event_id": f"e{i}", "label": ["a"] if i < relevant else [], "label_ts": START + 100 * i + 5000} for i in range(labelled)
    ]
    cfg, store = open_replay(tmp_path, CONFIG)
    replay_events(cfg, store, tmp_path, events, labels)
    (window,) = windows_of(store)
    found = {key[2:]: row for key, row in scores_of(store).items()}
    store.close()
    assert (window["rows"], window["labelled_rows"]) == (40, labelled)
    assert found["labels", "coverage"]["value"] == labelled / 40
    if relevant:
        level = found["performance", "mrr"]["level"]
        assert found["performance", "mrr"]["rows"] == relevant and (level == "unsure") == (labelled < 36), level
    else:
        row = found["performance", "mrr"]
        assert (row["value"], row["level"]) == (None, "unsure") and row["evidence"]["reason"] == "no label names a relevant item"
        assert found["performance", "no_relevant_share"]["value"] == 1.0
