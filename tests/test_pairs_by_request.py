"""Versions in shadow mode are paired by the request's id: whenever they answered, in any order of labels, within a bound."""

from __future__ import annotations

import numpy as np
import orjson
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import brier_score_loss, log_loss

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.compare import KEEP_WAITING, ROLL_BACK, Piece, compare, paired_requests
from detectors.losses import loss_key
from detectors.request_errors import VECTOR, RequestErrors, halves
from monitor.config import ConfigError, parse_config
from monitor.files import replay_batches
from monitor.parts import parts_of
from monitor.references import build_reference
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
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


def test_a_table_that_is_replayed_pairs_as_the_stream_does(tmp_path):
    events, labels = traffic()
    (tmp_path / "labels.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in labels))
    pd.json_normalize(events).rename(columns={"segment.request_id": "rid"}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in events))
    told = []
    for name, columns in (("jsonl", ""), ("parquet", "    columns: {segment.request_id: rid}\n")):
        (tmp_path / name).mkdir()
        cfg, store = open_replay(tmp_path / name, CONFIG + columns)
        models = build_models(cfg, store)
        pieces, _ = replay_batches(tmp_path / f"t.{name}", tmp_path / "labels.jsonl", cfg, decode_settings(cfg, models), "m")
        replay(pieces, build_engine(cfg, models, ("replay",)), store, 1)
        told.append({key: row["value"] for key, row in scores_of(store).items() if key[2].startswith("compare:")})
        store.close()
    assert told[0] == told[1] and len(told[0]) >= 14 and any(told[0].values())


def test_the_column_of_the_requests_is_no_feature_of_a_reference(tmp_path):
    cfg, store = open_replay(tmp_path, CONFIG + "    columns: {segment.request_id: rid}\n")
    pd.DataFrame({"x": np.arange(40.0), "rid": [f"r{i}" for i in range(40)], "request_id": 1.5}).to_parquet(tmp_path / "r.parquet")
    lines = list(build_reference(cfg, store, "m", tmp_path / "r.parquet", (), True))
    assert lines[0].startswith("x: numeric") and lines[1].startswith("saved")


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


LOSS = Schema((), (), "binary", "1", parts={"request_errors": {
    "pane_ms": 60_000, "requests": 5000, "losses": [["brier", "brier", {}], ["log_loss", "log_loss", {}], ["worth", "value", {"1": {"0": -5.0}}]],
}})  # fmt: skip


def judged(keys, chance, true, pane=0, weight=1):
    """What a version said to each request, and what was true."""
    n = len(keys)
    labels = [DictColumn(np.asarray(v).astype(np.int32), ["0", "1"]) for v in (chance > 0.5, true)]
    return Outcomes(
        labels[0], chance, labels[1], np.full(n, np.nan), np.full(n, weight, dtype=np.int64), ts_ms=np.full(n, pane * 60_000 + 1),
        vectors={VECTOR: halves(keys)},
    )  # fmt: skip


def losses_of(*outcomes):
    out = RequestErrors.empty(LOSS)
    for some in outcomes:
        out.add(some)
    return out


def drawn(rng, n, worse):
    """Requests, the champion's and the challenger's scores, and the truth. worse: by how much the challenger's scatter more."""
    truth = rng.normal(size=n)
    scores = [1 / (1 + np.exp(-(truth + rng.normal(size=n) * (0.5 + more)))) for more in (0.0, worse)]
    return rng.integers(0, 2**64, n, dtype=np.uint64), *scores, (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(int)


def test_the_losses_of_pairs_are_scikit_learns_of_each_row():
    keys, a, b, true = drawn(np.random.default_rng(5), 800, 0.5)
    one, other = losses_of(judged(keys, a, true)), losses_of(judged(keys[::-1], b[::-1], true[::-1]))
    for loss, whole in (("brier", brier_score_loss), ("log_loss", log_loss)):
        piece = paired_requests(one, RequestErrors.from_bytes(other.to_bytes(), LOSS), 0, False, loss)
        assert (piece.champion_sum / 800, piece.challenger_sum / 800) == pytest.approx((whole(true, a), whole(true, b)))
        each = [np.array([whole([t], [p], labels=[0, 1]) for t, p in zip(true, side, strict=True)]) for side in (a, b)]
        error = np.sqrt(piece.challenger_off / piece.challenger_freedom / 800)
        assert piece.effect / piece.weight / error == pytest.approx(ttest_rel(each[1], each[0]).statistic)
    worth = paired_requests(one, other, 0, False, "worth")
    assert worth.champion_sum == -5.0 * ((a > 0.5) & (true == 0)).sum()
    lost = losses_of(judged(keys, np.where(np.arange(800) < 100, np.nan, a), true))
    assert paired_requests(lost, other, 0, False, "brier").champion == 700, "a request without a score is no pair"


def test_losses_follow_corrections_and_merge_in_any_order():
    keys, a, _, true = drawn(np.random.default_rng(6), 500, 0.0)
    whole = losses_of(judged(keys, a, true))
    other = losses_of(judged(keys[200:], a[200:], true[200:]), judged(keys[:200], a[:200], 1 - true[:200]))
    other.add(judged(keys[:200], a[:200], 1 - true[:200], weight=-1))
    half = losses_of(judged(keys[:200], a[:200], true[:200]))
    half.merge(RequestErrors.from_bytes(other.to_bytes(), LOSS))
    assert list(half.sums) == ["error", "brier", "log_loss", "worth"]
    assert all(np.allclose(half.sums[name], whole.sums[name]) for name in whole.sums) and np.array_equal(half.rows, whole.rows)
    without = Schema((), (), "binary", "1", parts={"request_errors": {"pane_ms": 60_000, "requests": 5000}})
    old = RequestErrors.empty(without)
    old.add(judged(keys, a, true))
    assert np.isnan(RequestErrors.from_bytes(old.to_bytes(), LOSS).sums["brier"]).all(), "kept before the loss was asked for"
    assert paired_requests(RequestErrors.from_bytes(old.to_bytes(), LOSS), whole, 0, False, "brier") == Piece()


@pytest.mark.parametrize("loss", ["brier", "log_loss", "worth"])
def test_a_loss_that_is_looked_at_after_every_window_keeps_its_alpha_and_finds_what_is_worse(loss):
    rng = np.random.default_rng(8)

    def answer(worse):
        total = Piece()
        for pane in range(50):
            keys, a, b, true = drawn(rng, 60, worse)
            total += paired_requests(
                losses_of(judged(keys, a, true, pane)), losses_of(judged(keys, b, true, pane)), pane, False, loss
            )
            found = compare(total, 0.05, 0.0, loss != "worth", 200, False).answer
            if found != KEEP_WAITING:
                return found
        return KEEP_WAITING

    runs = 100
    wrong = sum(answer(0.0) != KEEP_WAITING for _ in range(runs))
    assert wrong / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)
    assert [answer(2.5) for _ in range(5)] == [ROLL_BACK] * 5


def test_what_can_be_paired_is_said_where_it_cannot():
    text = "models: [{{name: m, task: {}, compare: [{{champion: '1', challenger: '2', mode: shadow, metric: {}{}}}]{}}}]"
    positive = ", positive_label: '1'"
    with pytest.raises(ConfigError) as refused:
        parse_config(text.format("binary", "brier", "", positive), "c")
    assert "with pair_by brier, log_loss, mse, value, latency, error_share and the model's `numbers`" in str(refused.value)
    with pytest.raises(ConfigError) as other:
        parse_config(text.format("binary", "mse", ", pair_by: r", positive), "c")
    assert "a model of task binary has no mse" in str(other.value)
    cfg = parse_config(text.format("binary", "value", ", pair_by: r, values: {'1': {'0': -5}}", positive), "c")
    ((key, metric, worth),) = parts_of(cfg.models[0])["request_errors"]["losses"]
    assert (key, metric, worth) == (loss_key("value", {"1": {"0": -5.0}}), "value", {"1": {"0": -5.0}})
