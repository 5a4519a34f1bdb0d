"""Every task from event to score: predictions leave what their labels need, in any order, corrected labels too."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

from detectors.columns import Columns, DictColumn, Schema
from detectors.profile import Profile
from detectors.ragged import Ragged
from monitor.decode.ids import hash_texts
from monitor.decode.vectors import label_pairs
from monitor.payload import has_payload, pack, unpack
from monitor.references import build_reference
from tests.replayed import START, open_replay, replay_events, scores_of

CONFIG = """
models:
  - name: m
    task: {task}
    {more}
    top_k: 2
    window: {{size: 1m, allowed_lateness: 0s}}
    reference: {{first_windows: 1}}
    numbers: []
    min_rows: 1
"""
N = 300


def run(folder, task, more, predictions, labels, url=None):
    """The scores of performance in the one window of these predictions; every fifth label comes wrong first."""
    rng = np.random.default_rng(1)
    cfg, store = open_replay(folder, CONFIG.format(task=task, more=more))
    events = [{"event_id": f"e{i}", "ts": START + 100 * i, "model": "m", "prediction": p} for i, p in enumerate(predictions)]
    given = [{"event_id": f"e{i}", "label": v, "label_ts": START + 200_000} for i, v in enumerate(labels)]
    wrong = [{**given[i], "label": labels[(i + 7) % N], "label_ts": START + 100_000} for i in range(0, N, 5)]
    given = [given[i] for i in rng.permutation(N)]
    replay_events(cfg, store, folder, events, [*given[: N // 2], *wrong, *given[N // 2 :]])
    found = {key[3]: row["value"] for key, row in scores_of(store).items() if key[1] == "" and key[2] in ("performance", "labels")}
    store.close()
    return found


def test_multiclass_with_probabilities(tmp_path):
    rng = np.random.default_rng(2)
    names = np.array(["bird", "cat", "dog"])
    place = rng.integers(0, 3, N)
    chances = rng.dirichlet([1, 1, 1], N) * 0.7 + 0.3 * np.eye(3)[place]
    predictions = [{"probabilities": dict(zip(names.tolist(), row, strict=True))} for row in chances.tolist()]
    found = run(tmp_path, "multiclass", "classes: [dog, cat, bird]", predictions, names[place].tolist())
    assert found["coverage"] == 1.0
    assert found["log_loss"] == pytest.approx(metrics.log_loss(names[place], chances, labels=names), rel=1e-5)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(names[place], chances, multi_class="ovr"), abs=1e-3)
    assert found["accuracy"] == pytest.approx((chances.argmax(axis=1) == place).mean())
    assert found["accuracy_low"] < found["accuracy"] < found["accuracy_high"]


def test_multilabel(tmp_path):
    rng = np.random.default_rng(3)
    names = np.array(["a", "b", "c"])
    t = rng.random((N, 3)) < 0.4
    p = np.where(rng.random((N, 3)) < 0.8, t, ~t)
    lists = [names[row].tolist() for row in t]
    single = [row[0] if len(row) == 1 else row for row in lists]  # one label may come without its brackets
    found = run(tmp_path, "multilabel", "classes: [a, b, c]", [{"labels": names[row].tolist()} for row in p], single)
    assert found["coverage"] == 1.0
    assert found["subset_accuracy"] == pytest.approx(metrics.accuracy_score(t, p))
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(t, p, average="micro"))
    assert found["hamming_loss"] == pytest.approx(metrics.hamming_loss(t, p))


def test_ranking(tmp_path):
    rng = np.random.default_rng(4)
    pool = [f"item {i}" for i in range(9)]
    ranked = [[pool[i] for i in rng.permutation(9)[:4]] for _ in range(N)]
    truth = [
        {pool[i]: int(rng.integers(1, 4)) for i in rng.permutation(9)[:3]} if n % 2 else [pool[i] for i in rng.permutation(9)[:2]]
        for n in range(N)
    ]
    found = run(tmp_path, "ranking", "", [{"items": items} for items in ranked], truth)
    gains = [[label.get(i, 0) if isinstance(label, dict) else float(i in label) for i in pool] for label in truth]
    scores = [[4 - items.index(i) if i in items else 0.0 for i in pool] for items in ranked]
    expected = metrics.ndcg_score(gains, scores, k=2)
    first = [
        next((1 / (n + 1) for n, i in enumerate(items) if i in label), 0.0) for items, label in zip(ranked, truth, strict=True)
    ]
    assert found["coverage"] == 1.0
    assert found["ndcg_at_k"] == pytest.approx(expected, rel=1e-6) and found["mrr"] == pytest.approx(np.mean(first))


def test_a_ranking_of_which_nothing_is_relevant_is_labelled_and_usable(tmp_path):
    items = [f"item {i}" for i in range(4)]
    found = run(tmp_path, "ranking", "", [{"items": items}] * N, [[items[0]] if i % 3 else [] for i in range(N)])
    assert (found["coverage"], found["unusable"]) == (1.0, 0.0)
    assert found["no_relevant_share"] == pytest.approx(np.mean([i % 3 == 0 for i in range(N)])) and found["mrr"] == 1.0


def test_a_list_that_goes_on_behind_its_hundredth_item_is_counted(tmp_path):
    items = [f"item {i}" for i in range(120)]
    predictions = [{"items": items[: 100 if i % 4 else 120]} for i in range(N)]
    found = run(tmp_path, "ranking", "", predictions, [[items[i % 3 * 50]] for i in range(N)])
    assert found["cut_list_share"] == pytest.approx(np.mean([i % 4 == 0 for i in range(N)]))
    assert found["mrr"] == pytest.approx(np.mean([[1.0, 1 / 51, 0.0][i % 3] for i in range(N)]))


def test_quantile_forecasts(tmp_path):
    rng = np.random.default_rng(5)
    f = np.sort(rng.normal(10, 2, (N, 3)), axis=1)
    y = rng.normal(10, 2, N)
    predictions = [{"quantiles": dict(zip(("0.1", "0.5", "0.9"), row, strict=True))} for row in f.tolist()]
    found = run(tmp_path, "quantile", "quantiles: [0.1, 0.5, 0.9]", predictions, y.tolist())
    theirs = [metrics.mean_pinball_loss(y, f[:, i], alpha=q) for i, q in enumerate((0.1, 0.5, 0.9))]
    assert found["pinball"] == pytest.approx(np.mean(theirs), rel=1e-6) and found["coverage"] == 1.0
    assert found["interval_coverage"] == ((f[:, 0] <= y) & (y <= f[:, 2])).mean()


def columns(n, **fields):
    none = np.full(n, np.nan)
    values = {"score": none, "label": DictColumn.missing(n), "latency_ms": none, "error": np.zeros(n, bool), **fields}
    return Columns(rows=n, numeric={}, categorical={}, **values)


def test_a_payload_of_other_classes_is_as_good_as_none():
    old = Schema((), (), "multiclass", classes=("a", "b"), vectors={"probabilities": 2})
    packed = pack(old, columns(2, vectors={"probabilities": np.array([[0.25, 0.75], [np.nan, np.nan]], np.float32)}))
    none, true = Ragged.missing(2, np.uint8), DictColumn.from_list(["a", "b"])
    assert packed.to_bytes()[1] is None
    np.testing.assert_array_equal(unpack(old, packed, none, true)["probabilities"], [[0.25, 0.75], [np.nan, np.nan]])
    for classes in (("b", "a"), ("a", "b", "c")):
        new = Schema((), (), "multiclass", classes=classes, vectors={"probabilities": len(classes)})
        assert np.isnan(unpack(new, packed, none, true)["probabilities"]).all()
    assert not has_payload(Schema((), (), "binary", "a")) and pack(Schema((), (), "binary", "a"), columns(2)) is None


def test_labels_that_are_equal_are_equal_bytes():
    assert label_pairs(["b", "a", "b"]) == label_pairs(["a", "b"]) == label_pairs({"a": 1, "b": 1.0})
    assert label_pairs([]) == b"" and len(label_pairs({"a": 3})) == 12
    assert label_pairs(["a"])[:8] == hash_texts(["a"])[0, 0].tobytes()


def test_a_reference_of_these_tasks_knows_its_performance(tmp_path):
    for task, more, data, metric in (
        ("multilabel", "classes: [a, b]", {"labels": [["a"], ["b"]], "label": [["a"], ["a", "b"]]}, "subset_accuracy"),
        ("ranking", "", {"items": [["a", "b"], ["b"]], "label": [["b"], ["b"]]}, "mrr"),
        ("quantile", "quantiles: [0.5]", {"quantile_0.5": [1.0, 2.0], "label": [1.0, 3.0]}, "pinball"),
        ("multiclass", "classes: [a, b]", {"proba_a": [0.9, 0.2], "proba_b": [0.1, 0.8], "label": ["a", "a"]}, "log_loss"),
    ):
        folder = tmp_path / task
        folder.mkdir()
        pq.write_table(pa.table({"ts": [START, START + 1], **data}), folder / "r.parquet")
        cfg, store = open_replay(folder, CONFIG.format(task=task, more=more))
        list(build_reference(cfg, store, "m", folder / "r.parquet", (), True))
        profile = Profile.from_bytes(store.references("m")[0].blob)
        expected = {"subset_accuracy": 0.5, "mrr": 0.75, "pinball": 0.25, "log_loss": -np.log([0.9, 0.2]).mean()}[metric]
        assert {m.name: m.value for m in profile.performance[""].metrics()}[metric] == pytest.approx(expected, rel=1e-5)
        store.close()
