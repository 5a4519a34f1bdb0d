"""Labels as a subject of their own: coverage, delay, maturity, bias; and what predictions are worth."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from detectors.float_cells import CELLS, cell_of
from detectors.label_bias import bias, of_counts, of_scores
from detectors.labelled.tally import Tally
from detectors.labelled.value import value
from monitor.cli import main
from monitor.config import ConfigError, parse_config
from monitor.custom import load_function
from monitor.explained import print_evidence
from tests.replayed import START, open_replay, replay_events, scores_of

CONFIG = """
models:
  - name: m
    task: binary
    positive_label: default
    segments: [channel]
    window: {{size: 1m, allowed_lateness: 0s}}
    reference: {{first_windows: 1}}
    labels: {{wait: 30d, min_coverage: {least}}}
    min_rows: 20
    thresholds: {{accuracy: {{below: {{breach: 0.99}}}}}}
    performance:
      value: {{default: {{default: 100, repaid: -20}}, repaid: {{default: -50}}}}
      custom:
        - {{name: default_share, function: "tests.own_metrics:share_of_defaults"}}
        - {{name: with_interval, function: "tests.own_metrics:with_interval"}}
        - {{name: fails, function: "tests.own_metrics:fails"}}
        - {{name: leaves, function: "tests.own_metrics:leaves"}}
        - {{name: wrong_share, function: "tests.own_metrics:wrong_share"}}
"""
N = 600


def run(folder, labelled, least=0.0, labels_of=lambda truth: truth, delays=None):
    """Scores of the one window (all rows); labelled(scores, channels) says which rows get their label."""
    rng = np.random.default_rng(5)
    scores, channel = rng.random(N), rng.choice(["web", "app"], N)
    truth = np.where(rng.random(N) < scores, "default", "repaid")
    predicted = np.where(scores >= 0.5, "default", "repaid")
    events = [
        {"event_id": f"e{i}", "ts": START + 50 * i, "model": "m", "segment": {"channel": str(channel[i])},
         "prediction": {"label": str(predicted[i]), "score": float(scores[i])}}
        for i in range(N)
    ]  # fmt: skip
    chosen = np.flatnonzero(labelled(scores, channel))
    delays = np.full(N, 3600.0) if delays is None else delays
    given = [
        {"event_id": f"e{i}", "label": labels_of(str(truth[i])), "label_ts": START + 50 * int(i) + int(1000 * delays[i])}
        for i in chosen
    ]
    cfg, store = open_replay(folder, CONFIG.format(least=least))
    replay_events(cfg, store, folder, events, given)
    found = {key[1:]: row for key, row in scores_of(store).items()}
    store.close()
    return found, (scores, predicted, truth, chosen)


def of(found, subject, segment=""):
    return {name: row["value"] for (s, about, name), row in found.items() if s == segment and about == subject}


def test_coverage_and_delays_are_those_of_the_rows(tmp_path):
    rng = np.random.default_rng(1)
    delays = np.round(rng.lognormal(6.0, 2.0, N), 3)
    found, (*_, chosen) = run(tmp_path, lambda s, c: rng.random(N) < 0.4, delays=delays)
    labels = of(found, "labels")
    assert labels["coverage"] == len(chosen) / N
    assert sum(of(found, "labels", f"channel={c}")["coverage"] for c in ("web", "app")) == pytest.approx(0.8, abs=0.1)
    for name, q in (("delay_p50_seconds", 0.5), ("delay_p95_seconds", 0.95), ("delay_p99_seconds", 0.99)):
        assert labels[name] == pytest.approx(np.quantile(delays[chosen], q, method="lower"), rel=0.01), name
    assert labels["unusable"] == 0 and labels["label_bias"] == 0.0 and labels["label_bias_p"] > 0.001


def test_no_label_is_a_coverage_of_nothing(tmp_path):
    found, _ = run(tmp_path, lambda s, c: np.zeros(N, bool))
    assert of(found, "labels") == {"coverage": 0.0} and of(found, "performance") == {}


def test_labels_that_say_nothing_for_the_task_are_counted(tmp_path):
    found, _ = run(tmp_path, lambda s, c: np.ones(N, bool), labels_of=lambda truth: [truth])
    labels = of(found, "labels")
    assert labels["coverage"] == 0.0 and labels["unusable"] == N and of(found, "performance") == {}


@pytest.mark.parametrize(
    ("labelled", "what"),
    [
        (lambda s, c: s > 0.5, "score"),
        (lambda s, c: np.abs(s - 0.5) < 0.2, "score"),
        (lambda s, c: c == "web", "segment channel"),
    ],
    ids=["only the rejected", "only the doubtful", "only one segment"],
)
def test_labels_that_come_for_some_rows_only_are_a_warning(tmp_path, labelled, what):
    found, _ = run(tmp_path, labelled)
    row = found["", "labels", "label_bias"]
    assert row["level"] == "warn" and row["threshold"] == 0.1 and row["value"] > 0.3
    assert row["evidence"]["of"] == what and found["", "labels", "label_bias_p"]["value"] < 1e-6


def test_labels_that_come_at_random_are_seldom_a_warning():
    """Rows labelled by lot: bias is found in none of a hundred windows."""
    rng = np.random.default_rng(3)
    for _ in range(100):
        scores = rng.random(2000)
        came = rng.random(2000) < 0.5
        counts = [np.bincount(cell_of(v), minlength=CELLS) for v in (scores[came], scores)]
        names = np.array(["a", "b", "c"])[rng.integers(0, 3, 2000)]
        tables = [dict(zip(*np.unique(v, return_counts=True), strict=True)) for v in (names[came], names)]
        tests = [of_scores(*counts), of_counts("predicted label", *tables)]
        assert bias(tests)[0] == 0.0


def test_the_comparisons_are_scipys():
    rng = np.random.default_rng(4)
    labelled, waiting = rng.beta(2, 3, 300), rng.beta(2, 2, 500)
    test = of_scores(*(np.bincount(cell_of(v), minlength=CELLS) for v in (labelled, np.concatenate([labelled, waiting]))))
    theirs = stats.ks_2samp(labelled, waiting, method="asymp")
    assert test.effect == pytest.approx(theirs.statistic, abs=0.02) and test.p == pytest.approx(theirs.pvalue, rel=0.5)
    test = of_counts("x", {"a": 30, "b": 70}, {"a": 100, "b": 120, "c": 0})
    table = [[30, 70], [70, 50]]
    theirs = stats.chi2_contingency(table, correction=False)
    assert test.p == pytest.approx(stats.chi2.sf(theirs.statistic * 219 / 220, 1))  # drawn without putting back
    assert test.effect == pytest.approx(stats.contingency.association(np.array(table), method="cramer"))
    assert of_counts("x", {"a": 5}, {"a": 500, "b": 400}) is None and of_scores(np.zeros(CELLS, int), np.ones(CELLS, int)) is None


def test_performance_is_unsure_until_labels_are_mature(tmp_path):
    rng = np.random.default_rng(6)
    for least, folder, level in ((0.0, "a", "breach"), (0.3, "b", "breach"), (0.9, "c", "unsure")):
        (tmp_path / folder).mkdir()
        found, _ = run(tmp_path / folder, lambda s, c: rng.random(N) < 0.5, least)
        row = found["", "performance", "accuracy"]
        assert row["level"] == level, (least, row)
        assert ("labels.min_coverage is 0.9" in row["rule"]) == (level == "unsure")
        assert found["", "labels", "coverage"]["level"] == "unjudged"


def test_what_predictions_are_worth(tmp_path):
    found, (_, predicted, truth, chosen) = run(tmp_path, lambda s, c: c == "web")
    worth = {("default", "default"): 100.0, ("default", "repaid"): -20.0, ("repaid", "default"): -50.0}
    money = np.array([worth.get((p, t), 0.0) for p, t in zip(predicted[chosen], truth[chosen], strict=True)])
    performance = of(found, "performance")
    assert performance["value_total"] == pytest.approx(money.sum()) and performance["value_per_event"] == pytest.approx(
        money.mean()
    )
    half = stats.t.ppf(0.975, len(money) - 1) * money.std(ddof=1) / np.sqrt(len(money))
    assert performance["value_per_event_low"] == pytest.approx(money.mean() - half, abs=0.05 * half)
    assert performance["value_total_high"] == pytest.approx((money.mean() + half) * len(money), abs=0.05 * half * len(money))
    assert value(Tally(None, {}), worth) == [] and value(Tally(None, {("a", "b"): 1}), {}) == []


def test_the_interval_of_what_predictions_are_worth_is_wilsons_of_two_worths_and_knows_of_a_cost_that_no_row_had():
    of = {m.name: m for m in value(Tally(None, {("a", "a"): 17, ("a", "b"): 2, ("b", "b"): 1}), {("a", "b"): -30.0})}
    low, high = proportion_confint(2, 20, method="wilson")
    found = of["value_per_event"]
    assert (found.value, found.low, found.high) == pytest.approx((-3.0, -30.0 * high, -30.0 * low))
    assert (of["value_total"].low, of["value_total"].high) == pytest.approx((20 * found.low, 20 * found.high))
    spared = value(Tally(None, {("a", "a"): 20}), {("a", "a"): 1.0, ("a", "b"): -499.0})[1]
    assert (spared.value, spared.high) == pytest.approx((1.0, 1.0))
    assert spared.low == pytest.approx(1.0 - 500.0 * proportion_confint(0, 20, method="wilson")[1])


@pytest.mark.parametrize("rows", [50, 200, 2000])
@pytest.mark.parametrize(
    "shares", [{("a", "a"): 0.95, ("b", "a"): 0.03, ("a", "b"): 0.02}, {("a", "a"): 0.3, ("b", "a"): 0.3, ("a", "b"): 0.4}]
)
def test_intervals_of_worth_hold_also_where_a_few_rows_cost_most(shares, rows):
    """Student's of the mean held in 60 % of windows of 50 rows, and in 90 of those of 200."""
    worth = {("a", "a"): 1.0, ("b", "a"): -3.0, ("a", "b"): -50.0}
    truth, held = sum(share * worth[pair] for pair, share in shares.items()), 0
    for drawn in np.random.default_rng(3).multinomial(rows, list(shares.values()), size=500).tolist():
        found = value(Tally(None, {pair: n for pair, n in zip(shares, drawn, strict=True) if n}), worth)[1]
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 500 <= 0.985, held


def test_functions_of_the_users_own(tmp_path, caplog):
    found, (_, _, truth, chosen) = run(tmp_path, lambda s, c: c == "web")
    performance = of(found, "performance")
    assert performance["default_share"] == pytest.approx((truth[chosen] == "default").mean())
    assert (performance["with_interval_low"], performance["with_interval_high"]) == (0.5, 1.5)
    low, high = (performance[f"wrong_share_{end}"] for end in ("low", "high"))
    width = performance["accuracy_high"] - performance["accuracy_low"]
    assert performance["wrong_share"] == pytest.approx(1 - performance["accuracy"]) and high - low == pytest.approx(width, rel=0.35)
    assert "value_total" in performance and performance["accuracy"] > 0, "what a function does to its copy reaches nobody"
    row = found["", "performance", "fails"]
    assert row["value"] is None and row["level"] == "unsure" and "ZeroDivisionError" in row["evidence"]["reason"]
    row = found["", "performance", "leaves"]
    assert row["level"] == "unsure" and "SystemExit: no rows" in row["evidence"]["reason"], "a function ends no daemon"
    assert any("custom_metric_failed" in r.message and r.fields["metric"] == "fails" for r in caplog.records)


def raises(summary):
    return summary.metrics()["recall"]


def refused_by_brier(summary):
    return sum(m.value for m in summary.metrics() if m.name == "brier")


def test_check_tries_a_function_and_says_what_it_raises_and_where(tmp_path):
    """A config is valid all the same: a function may refuse outcomes that never were."""
    entries = ", ".join(f"{{name: {n}, function: '{__name__}:{n}'}}" for n in ("raises", "refused_by_brier"))
    text = f"models:\n  - name: m\n    task: binary\n    positive_label: y\n    performance: {{custom: [{entries}]}}\n"
    (tmp_path / "c.yaml").write_text(text)
    done = CliRunner().invoke(main, ["check", "--quiet", str(tmp_path / "c.yaml")])
    assert done.exit_code == 0, done.output
    line = next(line for line in done.output.splitlines() if "custom[0]" in line)
    assert "c.yaml:5" in line and "TypeError" in line and "(test_label_scores.py, line " in line
    assert "custom[1]" not in done.output


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("nowhere.at_all:f", "cannot be imported"),
        ("tests.own_metrics:missing", "has no 'missing'"),
        ("tests.own_metrics:NOT_A_FUNCTION", "must be a function"),
    ],
)
def test_check_says_what_is_wrong_with_a_function(tmp_path, function, words):
    path = tmp_path / "c.yaml"
    path.write_text(
        f"models:\n  - name: m\n    task: regression\n    performance: {{custom: [{{name: x, function: '{function}'}}]}}\n"
    )
    done = CliRunner().invoke(main, ["check", str(path)])
    assert done.exit_code == 2 and words in done.output and "c.yaml:4: models[0].performance.custom[0].function" in done.output
    with pytest.raises(ValueError, match=words):
        load_function(function)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("task: regression, performance: {value: {a: {a: 1}}}", "means nothing for task regression"),
        ("task: multiclass, classes: [a, b], performance: {value: {a: {z: 1}}}", "there is no class 'z'"),
        ("task: regression, performance: {custom: [{name: mae, function: 'm:f'}]}", "a score of driftd's own"),
        ("task: regression, performance: {custom: [{name: x, function: 'm:f'}, {name: x, function: 'm:g'}]}", "earlier entry"),
        ("performance: {custom: [{name: x, function: 'm:f'}]}", "has no outcomes"),
        ("task: regression, performance: {custom: [{name: x, function: 'no colon'}]}", "function"),
        ("labels: {min_coverage: 2}", "min_coverage"),
    ],
)
def test_the_config_refuses(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(f"models: [{{name: m, {text}}}]", "c.yaml")


def test_limits_and_rules_may_name_a_metric_of_the_users_own():
    text = "models: [{name: m, task: regression, thresholds: {mine: {warn: 1}}, performance: {custom: [{name: mine, function: 'm:f'}]}}]\n"
    rule = "alerts: {rules: [{name: r, scores: [mine], channels: [c]}], channels: {c: {type: log}}}"
    assert parse_config(text + rule, "c.yaml").models[0].performance.custom[0].name == "mine"
    with pytest.raises(ConfigError, match="there is no score 'mime'"):
        parse_config(text + rule.replace("mine", "mime"), "c.yaml")


def test_evidence_of_bias_is_json():
    test = of_counts("x", {"a": 30, "b": 70}, {"a": 100, "b": 120})
    first = json.loads(json.dumps(bias([test])[2]))["labelled_share"][0]
    assert first == {"of": "a", "labelled_share": 0.3, "rows": 100}


def test_the_share_of_labelled_rows_is_shown_beside_its_rows_and_not_as_a_change(capsys):
    """As a pair of numbers it had read `0.3 -> 100`."""
    test = of_counts("x", {"a": 30, "b": 70}, {"a": 100, "b": 120})
    alert = {"model": "m", "version": "", "segment": "", "subject": "labels", "score": "label_bias", "status": "firing"}
    print_evidence({"alert": {**alert, "value": 0.3, "threshold": 0.1, "rows": 100, "evidence": bias([test])[2]}, "history": []})
    said = capsys.readouterr().out
    assert "->" not in said and re.search(r"a +0\.3 +100", said)
