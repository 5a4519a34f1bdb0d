"""Versions in shadow mode are paired by the request's id: whenever they answered, in any order of labels, within a bound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.compare import compare, paired_requests
from detectors.request_errors import VECTOR, RequestErrors, halves
from monitor.config import ConfigError, parse_config
from tests.faults.config import differences, results
from tests.replayed import START, open_replay, replay_rounds, scores_of


def part(keys, wrong, ts=None, requests=5000):
    schema = Schema((), (), "multiclass", parts={"request_errors": {"pane_ms": 60_000, "requests": requests}})
    out, n = RequestErrors.empty(schema), len(keys)
    out.add(
        Outcomes(
            predicted_label=DictColumn(wrong.astype(np.int32), ["a", "b"]), predicted_score=np.full(n, np.nan),
            true_label=DictColumn(np.zeros(n, dtype=np.int32), ["a"]), true_value=np.full(n, np.nan),
            weight=np.ones(n, dtype=np.int64), ts_ms=np.full(n, 30_000) if ts is None else ts, vectors={VECTOR: halves(keys)},
        )
    )  # fmt: skip
    return out


def answers(rng, n):
    keys = rng.integers(0, 2**64, n, dtype=np.uint64)
    hard = rng.random(n) < 0.3
    return keys, hard ^ (rng.random(n) < 0.02), np.where(rng.random(n) < 0.2, False, hard)


def test_the_difference_of_pairs_is_scipys_paired_t():
    rng = np.random.default_rng(1)
    keys, a, b = answers(rng, 2000)
    order = rng.permutation(2000)[:1900]  # in another order, and not all of them
    piece = paired_requests(part(keys, a), part(keys[order], b[order]), 0, right=False)
    assert piece.champion == piece.challenger == 1900
    gap = b[order].astype(float) - a[order]
    t = ttest_rel(b[order].astype(float), a[order]).statistic
    assert piece.effect / piece.weight == pytest.approx(gap.mean())
    error = np.sqrt(piece.challenger_off / piece.challenger_freedom / 1900)
    assert piece.effect / piece.weight / error == pytest.approx(t)
    right = paired_requests(part(keys, a), part(keys, b), 0, right=True)
    assert right.champion_sum == (~a).sum() and right.challenger_sum == (~b).sum()


def test_over_the_bound_the_same_requests_are_kept_of_both_and_the_effect_stays():
    rng = np.random.default_rng(2)
    keys, a, b = answers(rng, 40_000)
    one, other = part(keys, a, requests=6000), part(keys[:30_000], b[:30_000], requests=1500)
    assert len(one.keys) <= 6000 and len(other.keys) <= 1500 and other.level > one.level
    piece = paired_requests(one, other, 0, right=False)
    assert piece.champion == len(other.keys) > 800  # each of the other's requests has its pair
    found = compare(piece, 0.05, 0.0, True, 200, False)
    assert found.low < (b[:30_000].astype(float) - a[:30_000]).mean() < found.high


def test_each_pair_counts_once_however_windows_overlap():
    rng = np.random.default_rng(3)
    keys, a, b = answers(rng, 600)
    ts = rng.integers(0, 180_000, 600)
    later = np.minimum(ts + rng.integers(0, 50_000, 600), 179_999)
    one, other = part(keys, a, ts), part(keys, b, later)
    pairs = [paired_requests(one, other, pane, right=False).champion for pane in range(3)]
    assert sum(pairs) == 600 and min(pairs) > 0
    twice = part(np.concatenate([keys, keys[:50]]), np.concatenate([a, a[:50]]), np.concatenate([ts, ts[:50]]))
    assert (
        sum(paired_requests(twice, other, pane, right=False).champion for pane in range(3)) == 550
    )  # who answered twice is no pair


CONFIG = """
models:
  - name: m
    task: multiclass
    features: {}
    segments: [channel]
    window: {size: 2m, slide: 1m}
    min_rows: 50
    concept: {detectors: {}}
    compare: [{champion: "1", challenger: "2", mode: shadow, pair_by: request_id}]
"""


def traffic(rows=360):
    rng = np.random.default_rng(9)
    events, labels = [], []
    for i in range(rows):
        ts, hard = START + i * 1000, rng.random() < 0.3
        for version, rate in (("1", 1.0), ("2", 0.3)):
            key, behind = f"{version}-{i}", int(rng.integers(0, 900)) * (version == "2")
            events.append(
                {"event_id": key, "ts": ts + behind, "model": "m", "version": version, "features": {},
                 "segment": {"channel": "web", "request_id": f"r{i}"}, "prediction": {"label": "a"}}
            )  # fmt: skip
            labels.append({"event_id": key, "label": "b" if hard and rng.random() < rate else "a", "label_ts": ts + 1000})
    return events, labels


def run(folder, rounds):
    folder.mkdir()
    cfg, store = open_replay(folder, CONFIG)
    replay_rounds(cfg, store, rounds)
    found = scores_of(store)
    store.close()
    return results(f"sqlite:///{folder}/r.db"), found


def test_the_daemon_pairs_what_came_at_different_times_and_agrees_in_any_order_of_labels(tmp_path):
    events, labels = traffic()
    calm, found = run(tmp_path / "calm", [[("events", events), ("labels", labels)]])
    shuffled = np.random.default_rng(1).permutation(np.array(labels, dtype=object))
    late, _ = run(
        tmp_path / "late",
        [[("events", events)], *([("events", []), ("labels", list(piece))] for piece in np.array_split(shuffled, 3))],
    )
    assert differences(late, calm) == []
    why = [row["evidence"] for key, row in found.items() if key[2:] == ("compare:2/1:error", "promote") and row["level"] == "warn"]
    assert why and why[-1]["paired"] == "by request"
    assert max(e["champion"]["rows"] for e in why) >= 300
    assert {key[1] for key in found} == {"", "channel=web"}  # no request became a segment


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compare: [{champion: '1', challenger: '2', pair_by: r}]", "mode: shadow"),
        ("segments: [r], compare: [{champion: '1', challenger: '2', mode: shadow, pair_by: r}]", "is a segment of the model"),
        (
            "compare: [{champion: '1', challenger: '2', mode: shadow, pair_by: r}, "
            "{champion: '1', challenger: '3', mode: shadow, pair_by: q}]",
            "write one key for all",
        ),
    ],
)
def test_a_key_that_pairs_nothing_is_refused(line, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(f"models: [{{name: m, task: multiclass, {line}}}]", "c")
