"""Champion against challenger: the answer may be looked at every window, and keeps its alpha; labels in any order agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest
from scipy.stats import norm
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from detectors.columns import Schema
from detectors.compare import (
    KEEP_WAITING,
    PROMOTE,
    ROLL_BACK,
    Piece,
    Sums,
    compare,
    latency_sums,
    metric_sums,
    paired,
    share_sums,
    unpaired,
    value_sums,
)
from detectors.latency import LatencySummary
from detectors.performance import PerformanceSummary
from detectors.score_names import worse
from detectors.trace import ErrorTrace
from monitor.compare import AS_SCORE
from monitor.config import ConfigError, parse_config
from monitor.config.compare import METRICS, OF_ANY_TASK, needs_labels
from monitor.runtime import compared_versions
from monitor.store.schema import alert
from monitor.store.schema import score as score_table
from tests.faults.config import differences, results
from tests.replayed import START, open_replay, replay_rounds
from tests.test_labelled_intervals import multilabel, quantile, ranking
from tests.test_labelled_metrics import TAGS


def sums(values):
    return Sums(float(len(values)), float(values.sum()), float((values * values).sum()))


def test_one_window_is_welchs_difference_of_means():
    rng = np.random.default_rng(1)
    a, b = rng.normal(5, 1, 400), rng.normal(5.2, 3, 90)
    piece = unpaired(sums(a), sums(b))
    found = compare(piece, 0.05, 0.0, True, 10, False)
    welch = CompareMeans(DescrStatsW(b), DescrStatsW(a))
    assert found.effect == pytest.approx(b.mean() - a.mean())
    se = welch.std_meandiff_separatevar
    assert se == pytest.approx(np.sqrt(a.var(ddof=1) / 400 + b.var(ddof=1) / 90))
    # the interval is where the likelihood ratio of the normal mixture stays under 1 / alpha
    t = 0.1 * b.std(ddof=1)
    for edge in (found.low, found.high):
        ratio = norm.pdf(found.effect, edge, np.hypot(se, t)) / norm.pdf(found.effect, edge, se)
        assert ratio == pytest.approx(1 / 0.05, rel=1e-6)
    assert found.high - found.low > 2 * 1.96 * se


def looks(rng, p_champion, p_challenger, rows, windows, min_effect=0.0, alpha=0.05):
    """The first answer, and whether the interval missed the true effect at any look."""
    total, answer, missed = Piece(), KEEP_WAITING, False
    a, b = rng.binomial(rows[0], p_champion, windows), rng.binomial(rows[1], p_challenger, windows)
    for i in range(windows):
        total += unpaired(share_sums(rows[0], int(a[i])), share_sums(rows[1], int(b[i])))
        found = compare(total, alpha, min_effect, True, 200, True)
        answer = found.answer if answer == KEEP_WAITING else answer
        missed |= not np.isnan(found.low) and not found.low <= p_challenger - p_champion <= found.high
    return answer, missed


@pytest.mark.parametrize("rows", [(100, 100), (190, 10)], ids=["even", "canary"])
@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_looking_at_every_window_does_not_inflate_the_false_answers(rows, rate):
    """200 comparisons of equal versions, 150 looks at each; a test of fixed size would err in far more than 5 %."""
    rng = np.random.default_rng(int(rate * 100) + rows[1])
    runs = [looks(rng, rate, rate, rows, 150) for _ in range(200)]
    wrong = np.mean([answer != KEEP_WAITING for answer, _ in runs])
    assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(("rows", "rate"), [((300, 30), 0.005), ((1000, 50), 0.001)])
def test_rare_great_numbers_in_a_small_canary_are_no_effect(rows, rate):
    """200 comparisons of equal versions, 50 looks: of rows that cost 1,000 seldom and nothing else, own variances erred in 35 to 57 %."""
    rng = np.random.default_rng(rows[1])
    wrong = 0
    for _ in range(200):
        total = Piece()
        for a, b in zip(rng.binomial(rows[0], rate, 50).tolist(), rng.binomial(rows[1], rate, 50).tolist(), strict=True):
            total += unpaired(Sums(rows[0], 1000.0 * a, 1e6 * a), Sums(rows[1], 1000.0 * b, 1e6 * b))
            if compare(total, 0.05, 0.0, True, 200, False).answer != KEEP_WAITING:
                wrong += 1
                break
    assert wrong <= 0.05 * 200


def test_a_fixed_test_that_is_looked_at_every_window_would_err():
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        a, b = np.cumsum(rng.binomial(100, 0.2, 150)), np.cumsum(rng.binomial(100, 0.2, 150))
        n = 100 * np.arange(1, 151)
        z = np.abs(a - b) / n / np.sqrt(2 * ((a + b) / 2 / n) * (1 - (a + b) / 2 / n) / n)
        wrong += bool((z[2:] > 1.96).any())
    assert wrong / 200 > 0.2


def test_the_interval_holds_the_true_effect_at_all_looks_together():
    rng = np.random.default_rng(4)
    for champion, challenger in ((0.01, 0.05), (0.3, 0.2)):
        missed = np.mean([looks(rng, champion, challenger, (190, 10), 100)[1] for _ in range(150)])
        assert missed <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_answers():
    rng = np.random.default_rng(5)
    assert looks(rng, 0.2, 0.1, (100, 100), 60)[0] == PROMOTE
    assert looks(rng, 0.1, 0.2, (100, 100), 60)[0] == ROLL_BACK
    # as good as the champion: promoted where it may be worse by 5 points, rolled back where it must be better by 5
    assert looks(rng, 0.1, 0.1, (100, 100), 200, min_effect=-0.05)[0] == PROMOTE
    assert looks(rng, 0.1, 0.1, (100, 100), 200, min_effect=0.05)[0] == ROLL_BACK
    higher = compare(unpaired(sums(rng.normal(1, 1, 900)), sums(rng.normal(2, 1, 900))), 0.05, 0.0, False, 10, False)
    assert higher.answer == PROMOTE and higher.low > 0
    few = compare(unpaired(share_sums(50, 1), share_sums(50, 40)), 0.05, 0.0, True, 200, True)
    assert few.answer == KEEP_WAITING and np.isnan(few.low)


def test_a_ramp_of_traffic_under_a_trend_is_no_effect():
    """The challenger gets most rows in the windows in which both are worse: pooled means differ, the effect does not."""
    total = Piece()
    for share, wrong in ((0.1, 0.1), (0.5, 0.3), (0.9, 0.6)):
        n, m = int(2000 * (1 - share)), int(2000 * share)
        total += unpaired(share_sums(n, round(n * wrong)), share_sums(m, round(m * wrong)))
    found = compare(total, 0.05, 0.0, True, 100, True)
    assert found.challenger - found.champion > 0.2
    assert found.effect == pytest.approx(0.0, abs=1e-3) and found.answer == KEEP_WAITING


def trace(ts, wrong):
    out = ErrorTrace.empty(Schema((), (), "multiclass", parts={"errors": {"pane_ms": 60_000, "cells": 5000}}))
    out._take((ts << out.level) // 60_000, np.ones(len(ts), dtype=np.int64), wrong.astype(float))
    return out


def test_pairs_need_fewer_rows_and_only_what_both_got_counts():
    rng = np.random.default_rng(6)
    ts = np.sort(rng.choice(60_000, 2000, replace=False))
    hard = rng.random(2000) < 0.3
    a = hard ^ (rng.random(2000) < 0.02)
    b = np.where(rng.random(2000) < 0.2, False, a)
    both = paired(trace(ts, a), trace(ts[100:], b[100:]), right=False)
    assert both.champion == both.challenger == 1900
    found = compare(both, 0.05, 0.0, True, 200, False)
    apart = compare(unpaired(sums(a[100:].astype(float)), sums(b[100:].astype(float))), 0.05, 0.0, True, 200, True)
    assert found.effect == pytest.approx((b[100:].astype(float) - a[100:]).mean()) == pytest.approx(apart.effect)
    assert found.high - found.low < 0.7 * (apart.high - apart.low)
    right = compare(paired(trace(ts, a), trace(ts, b), right=True), 0.05, 0.0, False, 200, False)
    assert right.answer == PROMOTE and right.champion == pytest.approx(1 - a.mean())


def test_pairs_keep_their_alpha_too():
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(100):
        total = Piece()
        for _ in range(60):
            hard = rng.random(60) < 0.1
            sides = [hard ^ (rng.random(60) < 0.03) for _ in range(2)]
            gap = sides[1].astype(float) - sides[0]
            off = gap - gap.mean()
            total += Piece(60, 60, sides[0].sum(), sides[1].sum(), gap.sum(), 60, 0, 0, 0, float(off @ off), 59, 60)
            if compare(total, 0.05, 0.0, True, 200, False).answer != KEEP_WAITING:
                wrong += 1
                break
    assert wrong <= 5 + 2 * np.sqrt(100 * 0.05 * 0.95)


def pairs_of(rng, pairs, extra):
    """A window of pairs of which the challenger alone errs in a share `extra`."""
    worse = (rng.random(pairs) < extra).astype(float)
    off = worse - worse.mean()
    return Piece(pairs, pairs, 0.0, worse.sum(), worse.sum(), pairs, 0, 0, 0, float(off @ off), pairs - 1.0, pairs)


@pytest.mark.parametrize("extra", [0.003, 0.01])
@pytest.mark.parametrize("window", [10, 100])
def test_pairs_that_seldom_differ_keep_their_alpha(extra, window):
    """The challenger is worse by exactly what it may be: no answer is right, and while no pair has differed none is given."""
    rng, wrong = np.random.default_rng(window), 0
    for _ in range(150):
        total = Piece()
        for _ in range(80):
            total += pairs_of(rng, window, extra)
            if compare(total, 0.05, -extra, True, 30, True).answer != KEEP_WAITING:
                wrong += 1
                break
    assert wrong / 150 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


@pytest.mark.parametrize("is_share", [True, False])
def test_versions_that_never_differ_are_promoted_where_the_challenger_may_be_a_little_worse(is_share):
    rng = np.random.default_rng(11)
    piece, total = pairs_of(rng, 100, 0.0), Piece()
    if not is_share:  # of errors in a unit
        piece = replace(piece, champion_sum=250.0, challenger_sum=250.0)
    answers = []
    for _ in range(200):
        total += piece
        found = compare(total, 0.05, -0.01, True, 30, is_share)
        answers.append(found.answer)
        assert found.effect == 0.0 and found.low < 0.0 < found.high
    assert answers[0] == KEEP_WAITING and answers[-1] == PROMOTE and ROLL_BACK not in answers
    assert compare(total, 0.05, 0.0, True, 30, is_share).answer == KEEP_WAITING  # no better, though
    no_errors = unpaired(share_sums(20_000, 0), share_sums(20_000, 0))
    assert compare(no_errors, 0.05, -0.01, True, 30, True).answer == PROMOTE


def test_which_way_is_better_is_what_the_names_of_scores_say():
    taken = METRICS
    assert set(AS_SCORE) < set(taken) and not any(needs_labels(name) for name in OF_ANY_TASK)
    assert all(worse(AS_SCORE.get(name, name)) in ("above", "below") for name in taken)
    assert {AS_SCORE.get(n, n) for n in taken if worse(AS_SCORE.get(n, n)) == "below"} == {
        "accuracy", "value_per_event", "subset_accuracy", "jaccard", "ndcg_at_k", "map_at_k", "mrr",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("task", "make", "metric"),
    [("multilabel", multilabel, "subset_accuracy"), ("multilabel", multilabel, "jaccard"), ("multilabel", multilabel, "hamming_loss"),
     ("ranking", ranking, "ndcg_at_k"), ("ranking", ranking, "mrr"), ("quantile", quantile, "pinball"), ("quantile", quantile, "crps")],
)  # fmt: skip
def test_other_tasks_are_compared_by_a_mean_over_their_rows(task, make, metric):
    rng = np.random.default_rng(9)
    schema = TAGS if task == "multilabel" else Schema((), (), task, quantiles=(0.1, 0.5, 0.9))
    sides = []
    for rows in (3000, 400):
        summary = PerformanceSummary.empty(schema)
        summary.add(make(rng, rows))
        sides.append((summary, {m.name: m for m in summary.metrics()}[metric]))
    found = compare(unpaired(*(metric_sums(side, metric) for side, _ in sides)), 0.05, 0.0, True, 30, metric == "subset_accuracy")
    (_, a), (_, b) = sides
    assert (found.champion, found.challenger) == pytest.approx((a.value, b.value))
    assert found.low < found.effect == pytest.approx(b.value - a.value) and found.effect < found.high
    # as wide as the interval at one look that the metric itself has, and some
    at_one_look = np.hypot(a.high - a.low, b.high - b.low)
    assert at_one_look < found.high - found.low < 3 * at_one_look
    assert metric_sums(sides[0][0], "accuracy") is None


def test_sums_of_latency_and_of_worth():
    rng = np.random.default_rng(8)
    values = rng.lognormal(3, 0.5, 5000)
    latency = LatencySummary()
    latency.add(values)
    found = latency_sums(latency)
    assert found.rows == 5000 and found.total == pytest.approx(values.sum())
    assert found.squares == pytest.approx((values**2).sum(), rel=0.01)
    perf = PerformanceSummary.empty(Schema((), (), "multiclass"))
    perf.confusion = {("a", "a"): 10, ("a", "b"): 3, ("b", "b"): 5}
    worth = value_sums(perf, {"a": {"a": 1.0, "b": -4.0}})
    assert (worth.rows, worth.total, worth.squares) == (18, 10 - 12, 10 + 48)


CONFIG = """
models:
  - name: m
    task: multiclass
    features: {}
    window: {size: 1m}
    min_rows: 50
    concept: {detectors: {}}
    compare:
      - {champion: "1", challenger: "2"}
      - {champion: "1", challenger: "2", metric: accuracy, mode: shadow}
      - {champion: "1", challenger: "2", metric: latency}
"""


def traffic(windows=12, rows=60):
    rng = np.random.default_rng(9)
    events, labels = [], []
    for i in range(windows * rows):
        ts, hard = START + i * 60_000 // rows, rng.random() < 0.3
        for version, rate in (("1", 1.0), ("2", 0.3)):
            key = f"{version}-{i}"
            events.append(
                {"event_id": key, "ts": ts, "model": "m", "version": version, "features": {}, "prediction": {"label": "a"},
                 "latency_ms": float(rng.lognormal(2 if version == "1" else 3, 0.4))}
            )  # fmt: skip
            labels.append({"event_id": key, "label": "b" if hard and rng.random() < rate else "a", "label_ts": ts + 1})
    return events, labels


def run(folder, rounds):
    folder.mkdir()
    cfg, store = open_replay(folder, CONFIG)
    replay_rounds(cfg, store, rounds)
    rows = [dict(r) for r in store.rows(score_table.select().where(score_table.c.subject.startswith("compare:")))]
    store.close()
    return results(f"sqlite:///{folder}/r.db"), rows


def test_the_daemon_promotes_a_better_version_says_why_and_agrees_in_any_order_of_labels(tmp_path):
    events, labels = traffic()
    calm, rows = run(tmp_path / "calm", [[("events", events), ("labels", labels)]])
    shuffled = np.random.default_rng(1).permutation(np.array(labels, dtype=object))
    late, _ = run(
        tmp_path / "late",
        [[("events", events)], *([("events", []), ("labels", list(piece))] for piece in np.array_split(shuffled, 4))],
    )
    assert differences(late, calm) == []
    last = {(r["subject"], r["score"]): r for r in rows if r["window_start_ms"] == START + 11 * 60_000}
    assert {r["version"] for r in rows} == {"2"}
    better = last["compare:2/1:error", "promote"]
    assert (better["value"], better["level"]) == (1.0, "warn")
    why = orjson.loads(better["evidence"])
    assert why["answer"] == "promote" and why["interval"][1] < 0 and why["champion"]["rows"] == 720
    assert last["compare:2/1:accuracy", "promote"]["value"] == 1.0
    assert last["compare:2/1:accuracy", "compare_effect_low"]["value"] > 0
    slower = last["compare:2/1:latency", "roll_back"]
    assert (slower["value"], slower["level"]) == (1.0, "breach")
    first = {r["score"]: r["value"] for r in rows if r["window_start_ms"] == START and r["subject"] == "compare:2/1:error"}
    assert first["promote"] == first["roll_back"] == 0.0
    waiting = {r["score"]: r for r in rows if r["window_start_ms"] == START and r["subject"] == "compare:2/1:error"}
    assert orjson.loads(waiting["promote"]["evidence"])["answer"] == KEEP_WAITING


def test_the_preset_tells_of_both_answers_and_a_promotion_mildly(tmp_path):
    cfg, store = open_replay(tmp_path, f"{CONFIG}alerts: {{channels: {{c: {{type: log}}}}, route: {{channels: [c]}}}}\n")
    events, labels = traffic()
    replay_rounds(cfg, store, [[("events", events), ("labels", labels)]])
    compared = [r for r in store.rows(alert.select()) if r["subject"].startswith("compare:")]
    store.close()
    assert {(r["subject"], r["score"], r["rule"], r["severity"], r["status"]) for r in compared} == {
        ("compare:2/1:error", "promote", "challenger-better", "info", "firing"),
        ("compare:2/1:accuracy", "promote", "challenger-better", "info", "firing"),
        ("compare:2/1:latency", "roll_back", "challenger-worse", "warning", "firing"),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{champion: "1", challenger: "1"}', "must be two versions"),
        ('{champion: "1", challenger: "2", values: {a: {b: 1.0}}}', "go with metric: value"),
        ('{champion: "1", challenger: "2", metric: latency, mode: shadow}', "mode: canary"),
        ('{champion: "1", challenger: "2", metric: accuracy}', "allowed: latency, error_share, error"),
        ('{champion: "1", challenger: "2", alpha: 0.9}', "0.5"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(line, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(f"models: [{{name: m, task: regression, compare: [{line}]}}]", "c.yaml")


def test_worth_is_the_comparisons_own_or_the_models():
    text = """models: [{name: m, task: multiclass, %s compare: [{champion: "1", challenger: "2", metric: value%s}]}]"""
    with pytest.raises(ConfigError, match="nothing says what a prediction is worth"):
        parse_config(text % ("", ""), "c.yaml")
    for model, own, expected in (
        ("performance: {value: {a: {b: 2.0}}},", "", {"a": {"b": 2.0}}),
        ("", ", values: {a: {b: 3.0}}", {"a": {"b": 3.0}}),
    ):
        cfg = parse_config(text % (model, own), "c.yaml")
        assert compared_versions(cfg.models[0])[0].values == expected
