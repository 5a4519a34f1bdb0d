"""A change of performance is split into what other inputs did and what another relation did, and ranked by segment and feature."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2, chi2_contingency, nbinom, poisson
from statsmodels.stats.oaxaca import OaxacaBlinder
from statsmodels.stats.proportion import proportions_ztest

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.error_cells import ErrorCells, cells_of
from detectors.mix import calibration_shift, feature_share, grouped, segment_shares, split_change
from detectors.performance import PerformanceSummary
from detectors.rare_events import count_p
from monitor.change import _calibration, _classes
from monitor.references import build_reference
from tests.replayed import START, open_replay, replay_events, scores_of

BINARY = Schema((), (), "binary", "yes")


def outcomes(score, positive):
    n = len(score)
    return Outcomes(
        predicted_label=DictColumn((score >= 0.5).astype(np.int32), ["no", "yes"]),
        predicted_score=score,
        true_label=DictColumn(positive.astype(np.int32), ["no", "yes"]),
        true_value=np.full(n, np.nan),
        weight=np.ones(n, dtype=np.int64),
    )


def cells(score, positive):
    out = ErrorCells.empty(BINARY)
    out.add(outcomes(score, positive))
    return out


def draw(rng, n, a=2.0, flip=0.0):
    """Scores of a beta distribution, labels that are calibrated but for a share that is flipped."""
    score = rng.beta(a, 2.0, n)
    return score, (rng.random(n) < score) ^ (rng.random(n) < flip)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_the_split_is_the_oaxaca_blinder_decomposition_of_statsmodels():
    rng = np.random.default_rng(1)
    reference, window = cells(*draw(rng, 40_000)), cells(*draw(rng, 10_000, 4.0, 0.1))
    split = split_change(reference, window)
    keys = np.union1d(reference.keys, window.keys)
    starts = grouped(np.array([dict(zip(reference.keys, reference.rows, strict=True)).get(k, 0) for k in keys]), 50)
    rows = []
    for side, summary in ((1, reference), (0, window)):
        for key, n, wrong in zip(summary.keys, summary.rows, summary.errors, strict=True):
            group = np.searchsorted(starts, np.searchsorted(keys, key), side="right")
            rows += [(side, group, 1.0)] * int(wrong) + [(side, group, 0.0)] * int(n - wrong)
    table = pd.DataFrame(rows, columns=["side", "group", "error"])
    dummies = pd.get_dummies(table["group"], prefix="g", dtype=float)
    model = OaxacaBlinder(table["error"], dummies.assign(side=table["side"]), "side", hasconst=True, swap=False)
    endowments, coefficients, interaction, gap = model.three_fold().params
    assert split.by_inputs == pytest.approx(endowments, abs=1e-9)
    assert split.by_concept == pytest.approx(coefficients + interaction, abs=1e-9)
    assert split.realised - split.reference == pytest.approx(gap, abs=1e-9)
    assert split.reference + split.by_inputs + split.by_concept == pytest.approx(split.realised, abs=1e-12)


def test_other_inputs_alone_are_no_concept_drift_and_another_relation_alone_is_no_other_input():
    rng = np.random.default_rng(2)
    reference = cells(*draw(rng, 50_000))
    moved = split_change(reference, cells(*draw(rng, 20_000, 5.0)))
    assert abs(moved.by_inputs) > 10 * moved.by_inputs_se and abs(moved.by_concept) < 3 * moved.by_concept_se
    flipped = split_change(reference, cells(*draw(rng, 20_000, 2.0, 0.1)))
    assert flipped.by_concept > 8 * flipped.by_concept_se and flipped.concept_p < 1e-9
    assert abs(flipped.by_inputs) < 3 * flipped.by_inputs_se


def test_the_standard_errors_are_those_of_repeated_draws_and_the_p_value_keeps_its_level():
    rng = np.random.default_rng(3)
    splits = [split_change(cells(*draw(rng, 4000)), cells(*draw(rng, 1000, 3.0))) for _ in range(400)]
    for part in ("by_inputs", "by_concept"):
        values = np.array([getattr(s, part) for s in splits])
        claimed = np.mean([getattr(s, part + "_se") for s in splits])
        assert np.std(values) == pytest.approx(claimed, rel=0.15), part
    assert 0.02 <= np.mean([s.concept_p <= 0.05 for s in splits]) <= 0.09


@pytest.mark.parametrize(("rows", "reference_rows"), [(60, 20_000), (200, 2000), (1000, 20_000)])
def test_where_few_errors_or_positives_are_expected_the_p_values_keep_their_level_far_out(rows, reference_rows):
    """Scores of a rare class, one row of a hundred: half of all windows hold none."""
    rng = np.random.default_rng(rows)

    def draw_rare(n, lift=1.0):
        score = rng.beta(0.2, 20.0, n)
        return score, rng.random(n) < np.minimum(score * lift, 1.0)

    def by_cell(score, positive):
        cell = np.minimum(511, (score * 512).astype(int))
        return np.array([np.bincount(cell[~positive], minlength=512), np.bincount(cell[positive], minlength=512)])

    concept, shift = [], []
    for i in range(1000):
        if i % 20 == 0:
            known = draw_rare(reference_rows)
            reference, before = cells(*known), by_cell(*known)
        drawn_rows = draw_rare(rows)
        concept.append(split_change(reference, cells(*drawn_rows)).concept_p)
        shift.append(calibration_shift(before, by_cell(*drawn_rows))[1])
    for found in (np.array(concept), np.array(shift)):
        assert np.mean(found <= 0.05) <= 0.07 and np.mean(found <= 0.001) <= 0.005 and found.min() > 1e-6
    worse = draw_rare(rows, 30.0)
    assert split_change(reference, cells(*worse)).concept_p < 1e-4 and calibration_shift(before, by_cell(*worse))[1] < 1e-4


def test_the_errors_of_a_regression_whose_great_ones_are_rare_are_no_change():
    rng = np.random.default_rng(6)

    def drawn_errors(n, times=1.0):
        out = ErrorCells("regression")
        errors = times * np.exp(1.2 * rng.normal(size=n))
        out._take(cells_of(3.0 * rng.normal(size=n), "regression"), np.ones(n, dtype=np.int64), errors, errors**2)
        return out

    reference = drawn_errors(20_000)
    found = np.array([split_change(reference, drawn_errors(60)).concept_p for _ in range(600)])
    assert np.mean(found <= 0.05) <= 0.06 and np.mean(found <= 0.001) <= 0.005
    assert split_change(reference, drawn_errors(60, 5.0)).concept_p < 1e-4


@pytest.mark.parametrize(
    ("law", "mean", "variance"),
    [(poisson(0.6), 0.6, 0.6), (poisson(40), 40.0, 40.0), (binom(60, 0.1), 6.0, 5.4), (nbinom(3, 0.5), 3.0, 6.0)],
)
def test_the_p_value_of_a_count_is_scipys_law(law, mean, variance):
    for found in (0, 1, 3, 9, 60):
        upper, lower = law.sf(found) + law.pmf(found) / 2, law.cdf(found) - law.pmf(found) / 2
        assert count_p(found, mean, variance) == pytest.approx(min(1.0, 2 * min(upper, lower)), rel=1e-4)
    assert count_p(61, 6.0, 5.4) < 1e-60


def test_a_regressions_cells_follow_the_predicted_value():
    values = np.array([-1e30, -5.0, -0.1, 0.0, 1e-9, 0.5, 3.0, 1e300, np.nan])
    found = cells_of(values, "regression")
    assert (np.diff(found[:-1]) >= 0).all() and found[-1] < found[0]
    assert len(set(cells_of(np.linspace(1.0, 2.0, 1000, endpoint=False), "regression").tolist())) == 8


def test_a_split_needs_rows():
    few, empty = cells(np.array([0.5, 0.6]), np.array([True, False])), ErrorCells.empty(BINARY)
    assert split_change(few, empty) is None and split_change(empty, few) is None
    assert split_change(few, few).by_concept == 0.0


def test_the_calibration_shift_of_one_group_is_the_two_proportions_test():
    reference, window = np.array([[60], [40]]), np.array([[30], [50]])
    shift, p, groups = calibration_shift(reference, window)
    assert shift == pytest.approx(0.625 - 0.4) and groups == 1
    z = proportions_ztest([50, 40], [80, 100])[0]
    assert p == pytest.approx(chi2.sf(z * z * 179 / 180, 1), rel=1e-9)  # of all tables with these margins
    assert calibration_shift(np.array([[3], [2]]), window) is None


def test_the_calibration_shifts_p_value_keeps_its_level_and_sees_a_shift():
    rng = np.random.default_rng(4)

    def counts(n, power=1.0):
        score = rng.random(n)
        positive = rng.random(n) < score**power
        cell = np.minimum(49, (score * 50).astype(int))
        return np.array([np.bincount(cell[~positive], minlength=50), np.bincount(cell[positive], minlength=50)])

    null = [calibration_shift(counts(20_000), counts(2000))[1] for _ in range(400)]
    assert 0.02 <= np.mean(np.array(null) <= 0.05) <= 0.09
    assert calibration_shift(counts(20_000), counts(2000, 1.5))[1] < 1e-6


def drawn(rng, n, sharper=1.0):
    """Outcomes of three classes, the probabilities of few values, and the rows by confidence as scipy wants them."""
    levels = np.array([0.4, 0.6, 0.8])
    top, level = rng.integers(0, 3, n), rng.integers(0, 3, n)
    chances = np.repeat(((1 - levels[level]) / 2)[:, None], 3, axis=1)
    chances[np.arange(n), top] = levels[level]
    right = rng.random(n) < levels[level] ** sharper
    true = np.where(right, top, (top + rng.integers(1, 3, n)) % 3)
    names = ["a", "b", "c"]
    found = Outcomes(
        predicted_label=DictColumn(top.astype(np.int32), names), predicted_score=levels[level],
        true_label=DictColumn(true.astype(np.int32), names), true_value=np.full(n, np.nan),
        weight=np.ones(n, dtype=np.int64), vectors={"probabilities": chances.astype(np.float32)},
    )  # fmt: skip
    summary = PerformanceSummary.empty(Schema((), (), "multiclass", classes=("a", "b", "c"), vectors={"probabilities": 3}))
    summary.add(found)
    return summary, np.array([[(~right[level == i]).sum(), right[level == i].sum()] for i in range(3)]), (chances, true)


def test_the_calibration_shift_of_several_classes_is_that_of_the_predicted_one_and_names_the_classes():
    rng = np.random.default_rng(5)
    (reference, before, first), (window, now, second) = drawn(rng, 5000), drawn(rng, 2000, 2.0)
    shift, p, groups = _calibration(reference, window)
    rates = before[:, 1] / before.sum(axis=1), now[:, 1] / now.sum(axis=1)
    assert groups == 3 and shift == pytest.approx(now.sum(axis=1) / 2000 @ np.abs(rates[1] - rates[0]))
    statistic = sum(chi2_contingency([a, b], correction=False).statistic for a, b in zip(before, now, strict=True))
    assert p == pytest.approx(chi2.sf(statistic, 3), rel=1e-9) and p < 1e-9
    classes = {str(c["class"]): c for c in _classes(reference, window)["classes"]}
    for at, name in enumerate("abc"):  # each class against the rest, at each of the values of its probability
        statistic, gap, values = 0.0, 0.0, np.unique(first[0][:, at])
        for value in values:
            table = [[(c[c[:, at] == value].size and ((t == at) == hit)[c[:, at] == value].sum()) for hit in (False, True)]
                     for c, t in (first, second)]  # fmt: skip
            statistic += chi2_contingency(table, correction=False).statistic
            gap += sum(table[1]) / 2000 * abs(table[1][1] / sum(table[1]) - table[0][1] / sum(table[0]))
        assert classes[name]["shift"] == pytest.approx(gap, abs=1e-6)
        assert classes[name]["p_value"] == pytest.approx(chi2.sf(statistic, len(values)), rel=1e-9)
    assert _calibration(reference, drawn(rng, 2000)[0])[1] > 0.001


tables = st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=4)


@given(tables, tables, st.integers(1, 30), st.integers(1, 30))
def test_the_shares_of_segments_add_up_to_the_change(reference, window, rest_m, rest_n):
    sides = []
    for table, rest in ((reference, rest_m), (window, rest_n)):
        side = {name: (float(rows), float(min(wrong, rows))) for name, (rows, wrong) in table.items()}
        side[""] = (sum(r for r, _ in side.values()) + rest, sum(w for _, w in side.values()) + rest / 2)
        sides.append(side)
    m, n = sides[0][""], sides[1][""]
    shares = segment_shares(*sides)
    assert sum(s.total for s in shares) == pytest.approx(n[1] / n[0] - m[1] / m[0], abs=1e-9)
    assert [abs(s.total) for s in shares] == sorted((abs(s.total) for s in shares), reverse=True)


CONFIG = """
models:
  - name: m
    task: binary
    positive_label: "yes"
    features: {x: numeric, other: numeric, region: category}
    segments: [channel]
    window: {size: 1h}
    columns: {label: truth, prediction.label: predicted, prediction.score: p}
    thresholds: {accuracy: {below: {breach: 0.78}}}
"""


def rows(rng, n, shifted=False, broken=False):
    """x decides how sure the model is; in a broken channel the labels are the other way round."""
    x = rng.normal(1.5 if shifted else 0.0, 1.0, n)
    score = 0.5 + 0.45 * np.tanh(np.abs(x - 1.5) * np.where(rng.random(n) < 0.5, 1, -1))
    channel = rng.choice(["web", "app"], n)
    positive = (rng.random(n) < score) ^ (broken & (channel == "app") & (rng.random(n) < 0.6))
    return {
        "x": x, "other": rng.normal(size=n), "region": rng.choice(["N", "S"], n), "channel": channel, "p": score,
        "predicted": np.where(score >= 0.5, "yes", "no"), "truth": np.where(positive, "yes", "no"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("change")
    rng = np.random.default_rng(6)
    cfg, store = open_replay(folder, CONFIG)
    pq.write_table(pa.table(rows(rng, 20_000)), folder / "train.parquet")
    list(build_reference(cfg, store, "m", folder / "train.parquet", (), True))
    events, labels = [], []
    for window, kind in enumerate(({}, {"shifted": True}, {"broken": True})):
        table = rows(rng, 1500, **kind)
        for i in range(1500):
            ts = START + window * 3_600_000 + i * 2000
            features = {"x": float(table["x"][i]), "other": float(table["other"][i]), "region": str(table["region"][i])}
            prediction = {"label": str(table["predicted"][i]), "score": float(table["p"][i])}
            events.append(
                {"event_id": f"{window}-{i}", "ts": ts, "model": "m", "version": "1", "features": features,
                 "prediction": prediction, "segment": {"channel": str(table["channel"][i])}}
            )  # fmt: skip
            labels.append({"event_id": f"{window}-{i}", "label": str(table["truth"][i]), "label_ts": ts + 1})
    replay_events(cfg, store, folder, events, labels)
    found = scores_of(store)
    store.close()
    return found


def test_the_report_tells_data_drift_from_concept_drift(scored):
    def part(window, name):
        return scored[window, "", "concept", f"performance_change_by_{name}"]["value"]

    calm, shifted, broken = range(3)
    assert part(calm, "concept_p") > 0.001 and abs(part(calm, "inputs")) < 0.03
    assert part(shifted, "inputs") < -0.08 and part(shifted, "concept_p") > 0.001
    assert part(broken, "concept") < -0.05 and part(broken, "concept_p") < 1e-6 and abs(part(broken, "inputs")) < 0.03
    for window in range(3):
        accuracy = scored[window, "", "performance", "accuracy"]["value"]
        expected = scored[window, "", "concept", "performance_expected_at_mix"]["value"]
        assert expected + part(window, "concept") == pytest.approx(accuracy, abs=1e-9)
    assert scored[broken, "", "concept", "calibration_shift_p"]["value"] < 1e-6
    assert scored[calm, "", "concept", "calibration_shift_p"]["value"] > 0.001


def test_the_finding_of_a_drop_ranks_features_and_segments_by_their_share(scored):
    shifted = scored[1, "", "performance", "accuracy"]["evidence"]["change_since_reference"]
    assert shifted["metric"] == "accuracy" and shifted["by_inputs"] < -0.08
    assert shifted["features"][0]["feature"] == "x" and shifted["features"][0]["change_if_it_alone_had_moved"] < -0.05
    assert all(abs(f["change_if_it_alone_had_moved"]) < 0.02 for f in shifted["features"][1:])
    broken = scored[2, "", "performance", "accuracy"]["evidence"]["change_since_reference"]
    assert broken["segments"][0]["segment"] == "channel=app" and broken["segments"][0]["by_its_errors"] < -0.05
    total = sum(s["change"] for s in broken["segments"])
    assert total == pytest.approx(broken["by_inputs"] + broken["by_concept"], abs=1e-5)


def test_inputs_that_the_scores_do_not_show_are_named_beside_what_is_laid_to_the_relation(tmp_path):
    """y depends on x, which the model uses, and on `other`, which it does not: other's shift alone costs accuracy."""
    rng = np.random.default_rng(9)
    cfg, store = open_replay(tmp_path, CONFIG.replace("0.78", "0.95"))

    def table(n, other=0.0, turned=False):
        x, hidden = rng.normal(size=n), rng.normal(other, 1.0, n)
        score = 1.0 / (1.0 + np.exp(-1.5 * x))
        positive = (rng.random(n) < 1.0 / (1.0 + np.exp(-1.5 * x - 1.2 * hidden))) ^ (turned & (rng.random(n) < 0.15))
        return {
            "x": x, "other": hidden, "region": rng.choice(["N", "S"], n), "channel": rng.choice(["web"], n), "p": score,
            "predicted": np.where(score >= 0.5, "yes", "no"), "truth": np.where(positive, "yes", "no"),
        }  # fmt: skip

    pq.write_table(pa.table(table(6000)), tmp_path / "train.parquet")
    list(build_reference(cfg, store, "m", tmp_path / "train.parquet", (), True))
    events, labels = [], []
    for window, kind in enumerate(({"other": 1.5}, {"turned": True})):
        drawn = table(1200, **kind)
        for i in range(1200):
            features = {"x": float(drawn["x"][i]), "other": float(drawn["other"][i]), "region": str(drawn["region"][i])}
            prediction = {"label": str(drawn["predicted"][i]), "score": float(drawn["p"][i])}
            ts = START + window * 3_600_000 + i
            events.append({"event_id": f"{window}-{i}", "ts": ts, "model": "m", "features": features, "prediction": prediction})
            labels.append({"event_id": f"{window}-{i}", "label": str(drawn["truth"][i]), "label_ts": ts})
    replay_events(cfg, store, tmp_path, events, labels)
    found = scores_of(store)
    store.close()
    moved, turned = (found[w, "", "performance", "accuracy"]["evidence"]["change_since_reference"] for w in (0, 1))
    assert moved["by_concept"] < -0.02 and list(moved["or_by_inputs_that_do_not_move_scores"]) == ["other"]
    assert turned["by_concept"] < -0.02 and "or_by_inputs_that_do_not_move_scores" not in turned


def test_a_feature_whose_mix_did_not_move_has_no_share():
    from detectors.feature_errors import Groups

    groups = Groups(np.array([]), ("a", "b"), np.array([50.0, 50.0, 0.0, 0.0]), np.array([5.0, 20.0, 0.0, 0.0]))
    assert feature_share(groups, np.array([5.0, 5.0, 0.0, 0.0])) == pytest.approx(0.0)
    assert feature_share(groups, np.array([0.0, 10.0, 0.0, 0.0])) == pytest.approx(0.15)
    assert feature_share(groups, np.zeros(4)) == 0.0
