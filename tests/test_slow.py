"""Slow detectors: in processes of their own, within limits, their results published once and with a reason where they fail."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import f1_score, roc_auc_score

from detectors import frame
from detectors.columns import DictColumn, Schema
from detectors.dle import LossModel, estimate_losses, fit_loss, window_errors
from detectors.domain import compare
from detectors.weighted import score_weighted
from monitor.cli import main
from monitor.config import ConfigError, load_config, parse_config
from monitor.decode.ids import hash_texts
from monitor.events import PartitionKey, RawBatch
from monitor.replay import ReplayBatch, replay
from monitor.runtime import build_engine, build_models
from monitor.slow import Limits, SlowRunner, wanted_of
from monitor.slow_worker import Job, run
from monitor.store import open_store
from monitor.store.sample_labels import labels_of
from monitor.store.schema import model_state, score
from tests.slow_world import START_MS, build, drive, found, plain, replayed, write_config

pytestmark = pytest.mark.timeout(600)  # children import heavy packages, seconds each on a busy machine
BINARY = """
name: m
task: binary
positive_label: "1"
features: {a: numeric, hidden_salary: numeric, town: category}
window: {size: 1h}
min_rows: 100
sample: {rows: 400, mask: [hidden_salary], keep: 1d}
"""
MODEL = f"""{BINARY}
multivariate: {{domain_classifier: true}}
evidently:
  - {{metric: ValueDrift, options: {{column: a}}}}
  - {{metric: DriftedColumnsCount}}
  - {{metric: NoSuchThing}}
thresholds: {{domain_auc: {{breach: 0.7}}}}
"""


def rows(rng, n, shift=0.0, start=0):
    a = rng.normal(size=n) + shift
    chance = 1 / (1 + np.exp(-a))
    return pd.DataFrame({
        "event_id": [f"e{start + i}" for i in range(n)], "ts": START_MS + (start + np.arange(n)) * 3_600_000 // n,
        "a": a, "hidden_salary": rng.normal(size=n) + a, "town": rng.choice(["x", "y"], n), "prediction.score": chance,
        "prediction.label": np.where(chance > 0.5, "1", "0"), "label": np.where(rng.random(n) < chance, "1", "0"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A reference, a calm hour and an hour whose feature a has moved, replayed with slow detectors."""
    folder = tmp_path_factory.mktemp("slow")
    rng = np.random.default_rng(0)
    config = write_config(folder, MODEL)
    build(folder, config, rows(rng, 3000))
    calm, moved = rows(rng, 900), rows(rng, 900, shift=1.5, start=900)
    replayed(folder, config, pd.concat([calm, moved]))
    store = open_store(f"sqlite:///{folder}/d.db")
    yield folder, store
    store.close()


def test_results_join_their_window_as_a_revision_judged_like_any_other(world):
    folder, store = world
    calm, moved = found(store, "multivariate", "domain_auc")
    assert calm["value"] < 0.6 and calm["level"] == "ok"
    assert moved["value"] > 0.75 and moved["level"] == "breach" and moved["rows"] == 400
    assert [r["value"] < 1e-6 for r in found(store, "multivariate", "domain_auc_p")] == [False, True]
    assert [w["revision"] for w in store.windows("m")] == [2, 2]
    subject = "estimated_performance_weighted"
    value, low, high = (found(store, subject, f"accuracy{end}")[0]["value"] for end in ("", "_low", "_high"))
    assert 0.0 < value - low < 0.15 and 0.0 < high - value < 0.15
    assert "resembles too little" in found(store, subject, "accuracy")[1]["evidence"]
    states = store.rows(model_state.select().where(model_state.c.name.startswith("slow:")))
    assert len(states) == 2
    cfg = load_config(folder / "c.yaml")
    model = build_models(cfg, store)["m"]
    profile = model.profile_named(model.active_profile)
    assert SlowRunner(store, Limits()).round(model, wanted_of(cfg.models[0], profile)) == 0, "nothing is computed twice"


def test_evidentlys_metrics_are_scores_equal_to_its_own(world):
    from scipy.stats import ks_2samp

    folder, store = world
    drift = found(store, "a", "evidently_value_drift")
    cfg = load_config(folder / "c.yaml")
    model = build_models(cfg, store)["m"]
    from detectors.sample import RowSample
    from tests.replayed import sample_of

    reference = RowSample.from_bytes(model.profile_named(model.active_profile).extras["sample"], model.schema).kept
    for row in drift:
        window = sample_of(store, model, row["window_start_ms"])
        assert row["value"] == pytest.approx(ks_2samp(reference.numeric["a"], window.numeric["a"]).pvalue, rel=1e-9)
    assert found(store, "evidently", "evidently_drifted_columns_count_share")[1]["value"] > 0
    failed = found(store, "evidently", "evidently_no_such_thing")
    assert all(r["value"] is None and "has no metric 'NoSuchThing'" in json.loads(r["evidence"])["reason"] for r in failed)


BESIDE = f"""{BINARY}
numbers: [queue_ms]
evidently:
  - {{metric: DataDriftPreset}}
  - {{metric: MeanValue, options: {{column: latency_ms}}}}
"""


def test_what_events_have_and_a_reference_of_training_rows_lacks_costs_no_metric_and_no_report(tmp_path):
    """Latency and queue delay are on no training row: Evidently takes no column that one side alone has."""
    rng = np.random.default_rng(4)
    config = write_config(tmp_path, BESIDE)
    build(tmp_path, config, rows(rng, 600))
    served = rows(rng, 400).assign(latency_ms=np.arange(400.0), queue_ms=1.0)
    replayed(tmp_path, config, served)
    store = open_store(f"sqlite:///{tmp_path}/d.db")
    (share,) = found(store, "evidently", "evidently_drifted_columns_count_share")
    (mean,) = found(store, "latency_ms", "evidently_mean_value")
    store.close()
    assert 0.0 <= share["value"] <= 1.0
    left_out = json.loads(share["evidence"])["left_out"]
    assert left_out == ["latency_ms: no row of the reference has one", "queue_ms: no row of the reference has one"]
    assert mean["value"] == pytest.approx(199.5)
    (said,) = drive(["report", *config, "--model", "m", "--window", "latest", "--out", tmp_path / "r.html"])
    assert "without latency_ms: no row of the reference has one" in said and "town" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(("kept", "code"), [(["y", "town"], 0), ([], 1)], ids=["others are fine", "none is"])
def test_a_column_that_evidently_cannot_show_is_left_out_of_the_report_and_named(tmp_path, kept, code):
    rng = np.random.default_rng(6)
    kinds = {"far": "numeric", "one": "numeric", "y": "numeric", "town": "category"}
    features = ", ".join(f"{f}: {kinds[f]}" for f in ["far", "one", *kept])
    model = f"task: none, features: {{{features}}}, window: {{size: 1h}}, sample: {{rows: 200}}"
    config = write_config(tmp_path, f"{{name: m, {model}}}")

    def drawn(n):
        one = np.append(rng.normal(size=n - 1), 1.7e308)
        data = {"far": rng.choice([-1e308, 1e308], n), "one": one, "y": rng.normal(size=n), "town": rng.choice(["ab", "cd"], n)}
        ids = {"event_id": [f"e{i}" for i in range(n)], "ts": START_MS + np.arange(n)}
        return pd.DataFrame({**ids, **{f: data[f] for f in ["far", "one", *kept]}})

    build(tmp_path, config, drawn(200))
    replayed(tmp_path, config, drawn(200))
    made = CliRunner().invoke(main, ["report", *config, "--model", "m", "--window", "latest", "--out", str(tmp_path / "r.html")])
    assert made.exit_code == code, made.output
    for column in ("far", "one"):
        assert f"{column}: Evidently cannot show its values (ValueError: " in made.output
    assert "y: " not in made.output and "Traceback" not in made.output
    if kept:
        assert "town" in (tmp_path / "r.html").read_text()


def test_without_a_built_reference_slow_detectors_say_so_and_a_report_compares_with_the_first_windows(tmp_path):
    rng = np.random.default_rng(5)
    config = write_config(tmp_path, f"{MODEL}reference: {{first_windows: 2}}\n")
    hours = [rows(rng, 300, start=300 * i).assign(ts=START_MS + i * 3_600_000 + np.arange(300)) for i in range(4)]
    replayed(tmp_path, config, pd.concat(hours))
    store = open_store(f"sqlite:///{tmp_path}/d.db")
    for subject, name in (("a", "evidently_value_drift"), ("multivariate", "domain_auc")):
        got = found(store, subject, name)
        assert len(got) == 4 and {(r["value"], r["level"]) for r in got} == {(None, "unsure")}
        assert "run `driftd reference build`" in got[0]["evidence"]
    store.close()
    made = ["report", *config, "--model", "m", "--out", tmp_path / "r.html", "--window"]
    assert "300 rows of 300, against 400 rows of first_2_windows" in drive([*made, "latest"])[0]
    text = (tmp_path / "r.html").read_text()
    assert "town" in text and "hidden_salary" not in text
    assert (
        "against no rows: it is one of the windows that the reference is learned from" in drive([*made, "2026-01-01T00:30:00Z"])[0]
    )


TEXTS = """
name: m
features: {a: numeric, town: category, comment: text}
window: {size: 1h}
sample: {rows: 1200, texts: [comment], text_chars: 60}
profile: evidently
profile_scores: [t_test, TVD]
"""
WORDS = np.array("late parcel driver polite refund broken window price cheap quality colour garden summer winter".split())


def spoken(rng, n, moved):
    """Rows whose texts have the first words the more often, the more they are moved."""
    weights = np.linspace(1 + moved, 1, len(WORDS))
    texts = [" ".join(words) for words in rng.choice(WORDS, (n, 12), p=weights / weights.sum())]
    ids = [f"e{i}" for i in range(n)]
    return pd.DataFrame(
        {
            "event_id": ids,
            "ts": START_MS + np.arange(n),
            "a": rng.normal(size=n),
            "town": rng.choice(["x", "y"], n),
            "comment": texts,
        }
    )


def test_the_drift_of_texts_is_evidentlys_own_of_the_kept_ones(tmp_path):
    """Through a whole daemon with more than 1,000 texts in the reference, and by its other test with fewer."""
    from evidently.legacy.utils.data_drift_utils import calculate_text_drift_score

    from detectors.formulas.evidently_tests import total_variation
    from detectors.sample import RowSample
    from monitor.evidently_texts import score_texts
    from tests.replayed import sample_of

    rng = np.random.default_rng(2)
    config = write_config(tmp_path, TEXTS)
    build(tmp_path, config, spoken(rng, 1500, 0.0))
    replayed(tmp_path, config, spoken(rng, 700, 3.0))
    store = open_store(f"sqlite:///{tmp_path}/d.db")
    model = build_models(load_config(tmp_path / "c.yaml"), store)["m"]
    before = RowSample.from_bytes(model.profile_named(model.active_profile).extras["sample"], model.schema).kept
    after = sample_of(store, model, START_MS)
    assert (before.rows, after.rows) == (1200, 700) and max(map(len, after.raw["comment"].values)) == 60
    texts = [pd.Series(side.raw["comment"].to_list()) for side in (before, after)]
    (row,) = found(store, "comment", "evidently.drift_score")
    want = calculate_text_drift_score(*texts, bootstrap=False)
    assert row["value"] == pytest.approx(want[0], abs=1e-9) and want[0] > 0.55 and row["rows"] == 700
    assert len(found(store, "a", "evidently.t_test")) == 1
    (permuted,) = found(store, "town", "evidently.TVD")
    sides = ({v: side.categorical["town"].to_list().count(v) for v in "xy"} for side in (before, after))
    assert permuted["value"] == total_variation(*sides)
    store.close()

    few = before.take(slice(0, 150))
    (score_,) = score_texts(after.take(slice(0, 120)), few, ["comment"], "r")
    want = calculate_text_drift_score(texts[0][:150], texts[1][:120], bootstrap=True, p_value=1 - 0.95)
    assert score_.value == pytest.approx(want[0], abs=1e-9)
    assert score_.evidence["test"] == "perc_text_content_drift" and score_.evidence["drifted"] == want[1]
    (nothing,) = score_texts(after, None, ["comment"], "r")
    assert math.isnan(nothing.value) and "the reference holds no texts" in nothing.evidence["reason"]


def test_metrics_of_labels_follow_the_labels_that_come(tmp_path):
    """Through the whole path: computed anew when another label comes, left out while they are of fewer labels."""
    table = rows(np.random.default_rng(4), 300)
    config = write_config(tmp_path, f"{BINARY}evidently: [{{metric: Accuracy}}]\n")
    build(tmp_path, config, table)
    came = table[["event_id", "label"]].assign(label_ts=START_MS + 3_700_000)
    rest = pd.concat([came[100:], came[:1].assign(label="0" if came["label"][0] == "1" else "1", label_ts=START_MS + 3_800_000)])
    replayed(tmp_path, config, table, came[:100])
    right = (table["prediction.label"] == table["label"]).to_numpy()
    store = open_store(f"sqlite:///{tmp_path}/d.db")
    try:
        (first,) = found(store, "evidently", "evidently_accuracy")
        assert first["value"] == pytest.approx(right[:100].mean())
    finally:
        store.close()
    replayed(tmp_path, config, table[-1:].assign(event_id="other", ts=START_MS + 7_300_000), rest)
    store = open_store(f"sqlite:///{tmp_path}/d.db")
    try:
        last = found(store, "evidently", "evidently_accuracy")[0]
        assert last["value"] == pytest.approx((right.sum() + 1 - 2 * right[0]) / 300)
    finally:
        store.close()


def test_labels_are_found_by_the_rows_hashes(store_url):
    store = open_store(store_url)
    try:
        store.migrate()
        known = 'models: [{name: m, task: binary, positive_label: "1", sample: {rows: 400}}]'
        cfg = parse_config(f"store: {{url: '{store_url}'}}\n{known}\n", "c")
        store.label_wait_ms = {"m": 10_000}
        models = build_models(cfg, store)
        ids = [f"e{i}" for i in range(6)]
        events = [{"event_id": i, "ts": START_MS, "model": "m", "features": {"a": 1.0}, "prediction": {"label": "1"}} for i in ids]
        labels = [{"event_id": i, "label": j % 2, "label_ts": START_MS + j * 4_000} for j, i in enumerate(ids[:5])]
        batches = []
        for role, part in (("events", events), ("labels", labels)):
            at, values = PartitionKey("f", role, 0), [json.dumps(v).encode() for v in part]
            offsets = np.arange(len(values), dtype=np.int64)
            batches.append(ReplayBatch(role, RawBatch(at, offsets, np.full(len(values), START_MS), values, len(values))))
        replay(batches, build_engine(cfg, models, ("f",)), store, START_MS)
        hashes = hash_texts([*ids, "nobody"])
        assert labels_of(store, hashes, 10_000, models["m"].schema) == ["0", "1", "0", None, None, None, None]
        assert labels_of(store, hashes, 20_000, Schema((), (), "regression")) == [0.0, 1.0, 0.0, 1.0, 0.0, None, None]
    finally:
        store.close()


def test_no_masked_feature_reaches_a_slow_detector_or_a_report(world, tmp_path):
    folder, store = world
    out = tmp_path / "r.html"
    made = CliRunner().invoke(
        main, ["report", "-c", str(folder / "c.yaml"), "--model", "m", "--window", "latest", "--out", str(out)]
    )
    assert made.exit_code == 0, made.output
    assert "400 rows of 900" in made.output
    text = out.read_text()
    assert "<html" in text and "town" in text and "hidden_salary" not in text


def test_estimates_stand_beside_what_labels_showed_and_how_wrong_they_were(world):
    from monitor.estimate_errors import Estimate, lines_of

    folder, _ = world
    shown = CliRunner().invoke(main, ["estimates", "-c", str(folder / "c.yaml"), "--model", "m", "--metric", "accuracy"])
    assert shown.exit_code == 0 and "estimated_performance accuracy: no labels yet, 2 windows estimated" in shown.output
    rows_ = [
        Estimate(START_MS + i * 3_600_000, "1", "estimated_performance", "accuracy", 0.9, 0.85, 0.95, realised)
        for i, realised in enumerate((0.88, 0.80, None))
    ]
    last = list(lines_of(rows_, None))[-1]
    assert last.endswith("accuracy: off by 0.06 on average over 2 windows with labels, inside the band in 1 of 2")


def test_dle_goes_from_the_reference_through_a_child_to_scores_with_bands_and_gaps(tmp_path):
    """The error grows with x; so does x in the window: the estimate follows before any label, and labels confirm it."""
    rng = np.random.default_rng(1)

    def draw(n, least, start=0):
        x = rng.uniform(least, least + 1.0, n)
        return pd.DataFrame({
            "event_id": [f"e{i}" for i in range(n)], "ts": START_MS + np.arange(n) * 3_600_000 // n, "x": x,
            "prediction.score": x, "label": x + rng.normal(size=n) * x,
        })  # fmt: skip

    config = write_config(
        tmp_path, "{name: m, task: regression, features: {x: numeric}, window: {size: 1h}, sample: {rows: 500}, labels: {wait: 9d}}"
    )
    window = draw(1000, 2.0)
    assert "not estimated" not in build(tmp_path, config, pd.concat([draw(2000, 0.0), draw(2000, 2.0)]))
    replayed(tmp_path, config, window, window[["event_id", "label"]].assign(label_ts=START_MS + 7_200_000))
    store = open_store(f"sqlite:///{tmp_path}/d.db", read_only=True)
    rows_ = store.rows(score.select().where(score.c.subject.in_(("estimated_performance", "performance"))))
    store.close()
    value = {(r["subject"], r["score"]): r["value"] for r in rows_}
    expected = float(np.sqrt(2 / np.pi) * window["x"].mean())  # of the absolute error
    assert value["estimated_performance", "mae"] == pytest.approx(expected, rel=0.07)
    low, realised, high = (
        value[k] for k in (("estimated_performance", "mae_low"), ("performance", "mae"), ("estimated_performance", "mae_high"))
    )
    assert low < realised < high
    assert value["estimated_performance", "mae_gap"] == pytest.approx(value["estimated_performance", "mae"] - realised)
    assert value["estimated_performance", "rmse"] == pytest.approx(value["performance", "rmse"], rel=0.15)


def test_a_regression_reference_says_why_nothing_can_be_estimated(tmp_path):
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"a": rng.normal(size=400), "prediction.score": rng.normal(size=400), "label": rng.normal(size=400)})
    said = build(tmp_path, write_config(tmp_path, "{name: m, task: regression}"), data)
    assert "not estimated: the model keeps no sample of rows" in said


@pytest.mark.parametrize(
    ("window", "words"),
    [("2020-01-01T00:00:00Z", "no published window holds"), ("yesterday", "write a time")],
)
def test_a_report_of_no_window_says_so(world, window, words):
    folder, _ = world
    made = CliRunner().invoke(main, ["report", "-c", str(folder / "c.yaml"), "--model", "m", "--window", window])
    assert made.exit_code == 2 and words in made.output


@pytest.mark.parametrize(
    ("limits", "words"),
    [(Limits(timeout_s=0.3), "took longer than slow.timeout"), (Limits(memory_bytes=150_000_000), "slow.memory")],
    ids=["time", "memory"],
)
def test_a_detector_over_its_limit_ends_and_says_so(world, limits, words):
    """Through the whole path: the window keeps its other scores, has no value here, and is not tried again."""
    folder, store = world
    cfg = load_config(folder / "c.yaml")
    model = build_models(cfg, store)["m"]
    wanted = wanted_of(cfg.models[0], model.profile_named(model.active_profile))[:1]
    other = [type(wanted[0])(wanted[0].detector, {"again": words})]
    runner = SlowRunner(store, limits)
    assert runner.round(model, other) == 2 and runner.round(model, other) == 0
    with store.publishing("m") as tx:
        state = json.loads(tx.load_state(f"slow:{START_MS}"))
    (entry,) = state["scores"]
    assert entry[1:4] == ["multivariate", "domain_auc", None] and words in entry[5]["reason"]


def test_a_detector_that_takes_its_child_with_it_takes_no_other_one(world, monkeypatch):
    """The shared child ends without an answer: each runs in one of its own, and only the one at fault has no value."""
    folder, store = world
    cfg = load_config(folder / "c.yaml")
    model = build_models(cfg, store)["m"]
    (good,) = wanted_of(cfg.models[0], model.profile_named(model.active_profile))[:1]
    kind = type(good)
    bad = kind(good.detector, {"hangs": True})
    started, whole = [], SlowRunner.run

    def ends(self, *jobs):
        started.append(len(jobs))
        lost = [Job.from_bytes(job).options == bad.options for job in jobs]
        return [{"error": "its process ended"}] * len(jobs) if any(lost) else whole(self, *jobs)

    monkeypatch.setattr(SlowRunner, "run", ends)
    runner = SlowRunner(store, Limits())
    assert runner.round(model, [good, bad]) == 2
    assert started == [2, 1, 1] * 2
    with store.publishing("m") as tx:
        scores = json.loads(tx.load_state(f"slow:{START_MS}"))["scores"]
    assert [entry[3] is None for entry in scores if entry[2] == "domain_auc"] == [False, True]


def test_results_of_other_rows_than_the_windows_are_left_out():
    from monitor.slow_scores import NO_REFERENCE, slow_scores
    from monitor.view import GroupView, WindowView

    class Memory:
        def load_state(self, name):
            return json.dumps({"rows": 10, "reference": "r", "scores": [["", "multivariate", "domain_auc", 0.5, 9, {}]]}).encode()

    class Inputs:
        def __init__(self, rows):
            self.rows = rows

    for count, expected in ((10, 1), (11, 0)):
        group = GroupView(None, 0, 1, "", "", Inputs(count), None, None, None, "r")
        view = WindowView(SimpleNamespace(slow=[("multivariate", "domain_auc")]), 0, 1, 0, {("", ""): group}, 0, Memory(), {})
        found = [score for _, score in slow_scores(view)]
        assert [s.value for s in found if s.value == s.value] == [0.5] * expected
        assert [s.evidence["reason"] for s in found if s.value != s.value] == [NO_REFERENCE["reason"]]  # the group has no profile


def test_a_child_says_what_is_missing_or_wrong():
    assert "error" in run(b"nonsense")
    answer = run(_job("dle", b"\x09"))
    assert "loss model of format" in answer["error"]


def _job(detector, fit):
    from detectors.columns import Schema
    from detectors.sample import RowSample, numbered

    schema = Schema(("a",), (), "regression", parts={"sample": {"rows": 50}})
    sample = RowSample.empty(schema)
    sample.add(numbered(plain({"a": np.arange(60.0)}, np.arange(60.0))))
    return Job(detector, {}, schema, "r", 60, sample.kept, None, [], fit).to_bytes(sample.to_bytes(), b"")


def test_slow_detectors_without_a_sample_are_refused():
    with pytest.raises(ConfigError) as caught:
        parse_config("models: [{name: m, multivariate: {domain_classifier: true}, evidently: [{metric: ValueDrift}]}]", "c")
    assert {p.path for p in caught.value.problems} == {"models[0].multivariate.domain_classifier", "models[0].evidently"}


def test_the_domain_classifier_finds_what_nannymls_finds_and_nothing_where_nothing_is():
    """NannyML's asks LightGBM; both have the same rows."""
    import nannyml

    reference, analysis, _ = nannyml.load_synthetic_car_loan_dataset()
    numeric = ["car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"]
    texts = ["salary_range", "repaid_loan_on_prev_car", "size_of_downpayment"]

    def columns(data):
        return plain({c: data[c] for c in numeric}, data["y_pred_proba"], None, {c: data[c].astype(str) for c in texts})

    sample = reference.sample(800, random_state=1).reset_index(drop=True)
    windows = [analysis.iloc[at : at + 5000].sample(800, random_state=2) for at in (0, 25_000)]
    theirs = nannyml.DomainClassifierCalculator(feature_column_names=numeric + texts, chunk_size=800)
    found = theirs.fit(sample).calculate(pd.concat(windows, ignore_index=True)).filter(period="analysis").to_df()
    aurocs = found["domain_classifier_auroc"]["value"].tolist()
    calm, moved = (compare(columns(sample), columns(window), shuffles=3) for window in windows)
    assert calm.auc == pytest.approx(aurocs[0], abs=0.05) and calm.p > 0.01
    assert moved.auc == pytest.approx(aurocs[1], abs=0.03) and moved.p < 1e-9


def test_weighted_estimates_hold_where_calibration_depends_on_the_inputs():
    """In group g = 1 the score is useless; the window holds nine in ten of it. CBPE does not see that, weights do."""
    from tests.test_estimated import binary_schema, estimate, reference_of

    def draw(rng, n, share):
        g = (rng.random(n) < share).astype(float)
        score_ = rng.random(n)
        truth = np.where(rng.random(n) < np.where(g == 1, 0.5, score_), "1", "0")
        label = np.where(score_ > 0.5, "1", "0")
        return plain({"g": g, "x": rng.normal(size=n)}, score_, label), label, truth

    rng = np.random.default_rng(3)
    reference, label, truth = draw(rng, 3000, 0.3)
    window, guess, later = draw(rng, 1500, 0.9)
    realised = float((guess == later).mean())
    domain = compare(reference, window, shuffles=2)
    found = {s.name: s.value for s in score_weighted(reference, list(truth), window, domain.weights, "1", 1500, "r")}
    schema = binary_schema()
    plain_cbpe, _ = estimate(schema, reference_of(schema, reference.score, label, truth), window.score, guess)
    assert abs(found["accuracy"] - realised) < 0.05 < 0.1 < abs(plain_cbpe["accuracy"] - realised)
    few = score_weighted(reference, list(truth), window, np.where(np.arange(3000) < 50, 80.0, 0.0), "1", 1500, "r")
    assert all(math.isnan(s.value) and "are worth 50" in s.evidence["reason"] for s in few)


def test_where_weighted_scores_cannot_be_calibrated_there_is_no_estimate_but_a_reason():
    """The truth is likely at both ends of the score: no rising function of it says how likely."""
    rng = np.random.default_rng(5)
    score_ = rng.random(3000)
    truth = rng.random(3000) < np.abs(2 * score_ - 1)
    reference = plain({"x": rng.normal(size=3000)}, score_, np.where(score_ > 0.5, "1", "0"))
    args = reference, np.where(truth, "1", "0").tolist(), reference, np.ones(3000), "1", 3000, "r"
    off, *metrics = score_weighted(*args)
    assert off.name == "calibration_error" and off.value == pytest.approx(0.172, abs=0.03), "by integration"
    assert {s.name for s in metrics} == {"accuracy", "precision", "recall", "f1", "specificity", "roc_auc"}
    assert all(
        math.isnan(s.value) and "error is 0.1" in s.evidence["reason"] and "limit 0.05" in s.evidence["reason"] for s in metrics
    )
    assert not any(math.isnan(s.value) for s in score_weighted(*args, limit=0.5))


def test_where_losses_cannot_be_predicted_dle_says_no_number_but_the_reason():
    from detectors.columns import Outcomes, Schema
    from detectors.sample import RowSample, numbered

    def job(error):
        rng = np.random.default_rng(2)
        columns = plain({f"n{i}": rng.normal(size=3000) for i in range(10)}, np.zeros(3000))
        none = DictColumn.missing(3000)
        truth = error(rng, columns.numeric["n0"])
        fit = fit_loss(columns, Outcomes(none, columns.score, none, truth, np.ones(3000, dtype=np.int64)))
        schema = Schema(tuple(columns.numeric), (), "regression", parts={"sample": {"rows": 3000}})
        sample = RowSample.empty(schema)
        sample.add(numbered(columns))
        return fit, Job("dle", {}, schema, "r", 3000, sample.kept, None, [], fit.to_bytes()).to_bytes(sample.to_bytes(), b"")

    wild, data = job(lambda rng, x: rng.lognormal(0, 1.5, len(x)) * rng.choice([-1, 1], len(x)))
    (off, *metrics) = run(data)["scores"]
    assert off[1] == "calibration_error" and off[2] == pytest.approx(wild.off) and wild.off > 0.7
    assert [m[1:3] for m in metrics] == [["mae", None], ["mse", None], ["rmse", None]]
    assert all("the error cannot be predicted" in m[4]["reason"] and "limit is 25%" in m[4]["reason"] for m in metrics)
    tame, data = job(lambda rng, x: rng.normal(size=len(x)) * np.exp(x))
    found = {name: value for _, name, value, *_ in run(data)["scores"]}
    assert tame.off < 0.4 and found["mae"] > 0 and found["calibration_error"] == pytest.approx(tame.off)
    head, *texts = frame.split(wild.to_bytes()[1:])
    old = LossModel.from_bytes(b"\x01" + frame.join([json.dumps(json.loads(head)[:6]).encode(), *texts]))
    assert old.models == wild.models and old.reason == "", "a model of an earlier release goes on"


def test_the_bands_of_weighted_estimates_hold_the_truth_as_often_as_they_say_and_are_no_wider():
    """Under covariate shift that moves calibration, over windows of which all rows, or two in five, are in the sample."""
    from sklearn.metrics import accuracy_score, precision_score, recall_score

    def draw(rng, n, shift):
        x, z = rng.normal(shift, 1, n), rng.normal(size=n)
        score_ = 1 / (1 + np.exp(-(x + z)))
        truth = rng.random(n) < np.where(x > 0.5, 0.25 + 0.5 * score_, score_)
        return plain({"x": x}, score_, np.where(score_ > 0.5, "1", "0")), truth

    off = {}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shift, sampled = (0.0, 0.3, 0.6, 0.9)[seed % 4], 600 if seed % 2 else 1500
        (reference, known), (window, later) = draw(rng, 2000, 0.0), draw(rng, 1500, shift)
        weights = np.exp(shift * reference.numeric["x"])
        seen = window.take(slice(0, sampled))
        scores = score_weighted(reference, np.where(known, "1", "0").tolist(), seen, weights / weights.mean(), "1", 1500, "r")
        found = {s.name: s.value for s in scores}
        guess = window.score > 0.5
        realised = {
            "accuracy": accuracy_score(later, guess), "precision": precision_score(later, guess),
            "recall": recall_score(later, guess), "f1": f1_score(later, guess),
            "specificity": recall_score(~later, ~guess), "roc_auc": roc_auc_score(later, window.score),
        }  # fmt: skip
        for name, value in realised.items():
            off.setdefault(name, []).append((found[name] - value) / ((found[f"{name}_high"] - found[f"{name}_low"]) / 6))
    for name, errors in off.items():  # in standard errors
        assert np.mean(np.abs(errors) <= 3) >= 0.95, (name, errors)
        assert 0.7 < np.std(errors) < 1.35 and abs(np.mean(errors)) < 1, (name, np.mean(errors), np.std(errors))


def test_dle_equals_nannymls_on_its_car_prices_within_its_sampling_error():
    import nannyml

    reference, analysis, targets = nannyml.load_synthetic_car_price_dataset()
    features = ["car_age", "km_driven", "price_new", "accident_count", "door_count", "fuel", "transmission"]
    metrics = ["mae", "rmse"]
    dle = nannyml.DLE(feature_column_names=features, y_pred="y_pred", y_true="y_true", metrics=metrics, chunk_size=6000)
    theirs = dle.fit(reference).estimate(analysis).filter(period="analysis").to_df()

    def columns(data):
        return plain({c: data[c] for c in features[:5]}, data["y_pred"], None, {c: data[c].astype(str) for c in features[5:]})

    from detectors.columns import Outcomes

    n = len(reference)
    outcomes = Outcomes(
        DictColumn.missing(n), reference["y_pred"].to_numpy(float), DictColumn.missing(n), reference["y_true"].to_numpy(float),
        np.ones(n, dtype=np.int64),
    )  # fmt: skip
    model = LossModel.from_bytes(fit_loss(columns(reference), outcomes).to_bytes())
    assert model.skill > 0.05
    for i in range(len(analysis) // 6000):
        chunk = analysis.iloc[i * 6000 : (i + 1) * 6000]
        ours = estimate_losses(model, columns(chunk))
        errors = window_errors(model, {k: v for k, (v, _) in ours.items()}, 6000)
        for metric in metrics:
            row = theirs[metric].iloc[i]
            assert abs(ours[metric][0] - row["value"]) < row["sampling_error"], (metric, i)
        for metric in ("mae",):
            assert errors[metric] == pytest.approx(theirs[metric].iloc[i]["sampling_error"], rel=1e-9)
