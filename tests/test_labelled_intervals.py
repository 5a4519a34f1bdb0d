"""Intervals hold what they promise: of many samples, about 95 % of the intervals hold the value of the population.

The population's value is that of a large sample of it. Between 91 and 99.5 % of REPEATS samples is what chance
(three standard errors of 1.4 %) and normal approximations allow; metrics whose intervals are wider by design may hold it always.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from detectors.columns import Schema
from detectors.labelled import curves, intervals
from detectors.performance import PerformanceSummary
from tests.test_labelled_metrics import CLASSES, MULTI, TAGS, outcomes

REPEATS = 250
ALWAYS = {
    "roc_auc_weighted",
    "roc_auc",
    "roc_auc_ovo",
    "macro_f1",
    "interval_coverage_error",
    "cut_list_share",  # no list is: 0 of all rows
    "quantile_crossing_share",  # nor do these cross
}  # multiclass and multilabel: see their files
CLASSWISE = {"classwise_ece", "ece", "brier_reliability", "brier_resolution", "brier_uncertainty"}  # as if classes erred together
OF_GAPS = {
    "ece",
    "mce",
    "brier_reliability",
    "score_ks",
    "quantile_calibration_error",
}  # a calibrated model's reach to 0


def binary(rng, n):
    y = rng.random(n) < 0.35
    score = 1 / (1 + np.exp(-rng.normal(np.where(y, 0.6, -0.8), 1.2)))
    names = np.array(["no", "yes"])
    return outcomes(n, names[(score >= 0.5) * 1], score, names[y * 1])


def multiclass(rng, n):
    place = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    logits = rng.normal(size=(n, 4)) + 1.2 * np.eye(4)[place]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.array(CLASSES)
    return outcomes(n, names[chances.argmax(axis=1)], chances.max(axis=1), names[place], probabilities=chances)


def multilabel(rng, n):
    t = rng.random((n, 4)) < [0.5, 0.4, 0.3, 0.2]
    p = np.where(rng.random((n, 1)) < 0.3, rng.random((n, 4)) < 0.5, t)  # labels of a row go wrong together
    return outcomes(n, labels=p, true_labels=t, true_others=np.zeros((n, 1)))


def regression(rng, n):
    y = rng.normal(20, 4, n)
    return outcomes(n, None, y + rng.normal(0.5, 2, n), value=y)


def ranking(rng, n):
    gains = np.where(rng.random((n, 10)) < 0.25, rng.integers(1, 4, (n, 10)), 0).astype(float)
    relevant = (gains > 0).sum(axis=1, keepdims=True)
    return outcomes(n, gains=gains, ideal=np.sort(gains, axis=1)[:, ::-1], relevant=relevant)


def quantile(rng, n):
    middle = rng.normal(10, 3, n)
    return outcomes(n, value=middle + rng.normal(0, 1.2, n), quantiles=middle[:, None] + stats.norm.ppf([0.1, 0.5, 0.9]))


@lru_cache
def true_values(task):
    schema, sample = CASES[task]
    return {name: m.value for name, m in metrics_of(schema, sample(np.random.default_rng(1), 400_000)).items()}


CASES = {
    "binary": (Schema((), (), "binary", "yes"), binary),
    "multiclass": (MULTI, multiclass),
    "multilabel": (TAGS, multilabel),
    "regression": (Schema((), (), "regression"), regression),
    "ranking": (Schema((), (), "ranking"), ranking),
    "quantile": (Schema((), (), "quantile", quantiles=(0.1, 0.5, 0.9), vectors={"quantiles": 3}), quantile),
}


def metrics_of(schema, rows):
    summary = PerformanceSummary.empty(schema)
    summary.add(rows)
    return {m.name: m for m in summary.metrics()}


@pytest.mark.parametrize("rows", [50, 400])
@pytest.mark.parametrize("task", CASES)
def test_intervals_hold_the_value_as_often_as_they_say(task, rows):
    """Of 50 rows some are wider, for few rows of a class can hide more, and Wilson's own holds in 92 to 97 %, as the share may be."""
    schema, sample = CASES[task]
    rng, repeats = np.random.default_rng(42), REPEATS * 2 if rows == 50 else REPEATS
    truth = true_values(task)
    held: dict[str, list[bool]] = {}
    for _ in range(repeats):
        for name, m in metrics_of(schema, sample(rng, rows)).items():
            if rows == 400 or math.isfinite(m.low):
                assert m.low <= m.value <= m.high, name
                held.setdefault(name, []).append(m.low <= truth[name] <= m.high)
    assert set(held) == set(truth)
    for name, found in held.items():
        share = np.mean(found)
        of_classes = task == "multiclass" and name.partition(":")[0] in CLASSWISE
        always = rows == 50 or of_classes or name in ALWAYS | OF_GAPS or name.startswith("roc_auc:")
        assert (0.9 if rows == 50 else 0.91) <= share <= (1.0 if always else 0.995), (name, share)


@pytest.mark.parametrize("rows", [50, 500])
def test_intervals_of_errors_hold_where_they_have_a_long_tail(rows):
    """Predictions of a lognormal that are off by a factor: of 50 rows Student's interval of rmse held in 72 %."""
    schema = CASES["regression"][0]

    def sample(rng, n):
        y = rng.lognormal(3, 0.8, n)
        return outcomes(n, None, y * rng.lognormal(0, 0.3, n), value=y)

    truth = metrics_of(schema, sample(np.random.default_rng(1), 400_000))
    rng, held = np.random.default_rng(4), {name: [] for name in truth}
    for _ in range(400):
        for name, m in metrics_of(schema, sample(rng, rows)).items():
            if "interval" in m.evidence:  # it says that it has none
                continue
            assert m.low <= m.value <= m.high, name
            held[name].append(m.low <= truth[name].value <= m.high)
    for name, found in held.items():
        assert len(found) >= (300 if name in ("r2", "rmse") else 400), name
        assert np.mean(found) >= {"r2": 0.83, "rmse": 0.88}.get(name, 0.9), (name, np.mean(found))


@pytest.mark.parametrize("rows", [50, 500])
@pytest.mark.parametrize(("error", "left"), [("lognormal", 0.35), ("laplace", 1.0), ("normal", 1.0)])
def test_where_rows_too_rare_to_be_seen_make_up_the_squares_there_is_no_interval_but_the_reason(error, left, rows):
    schema, rng, there = CASES["regression"][0], np.random.default_rng(3), 0
    for _ in range(100):
        off = rng.lognormal(0, 1.6, rows) if error == "lognormal" else getattr(rng, error)(0, 1, rows)
        value = rng.normal(20, 4, rows)
        found = metrics_of(schema, outcomes(rows, None, value + off, value=value))
        for name in ("rmse", "r2"):
            assert math.isfinite(found[name].value)
            assert math.isnan(found[name].low) == ("no interval" in str(found[name].evidence.get("interval", "")))
        assert math.isfinite(found["mae"].low)
        there += math.isfinite(found["rmse"].low)
    assert there >= 98 if left == 1.0 else there <= 100 * left, there


def test_labels_with_a_very_long_tail_leave_r2_without_an_interval():
    rng = np.random.default_rng(3)
    value = rng.lognormal(0, 1.8, 500)
    found = metrics_of(CASES["regression"][0], outcomes(500, None, value + rng.normal(0, 1, 500), value=value))
    assert math.isnan(found["r2"].low) and "labels" in found["r2"].evidence["interval"] and math.isfinite(found["rmse"].low)


@pytest.mark.parametrize("skewness", [0.3, 2.0, 9.0])
def test_ends_of_a_skewed_means_interval_are_students_quantile_on_halls_scale(skewness):
    n, error = 40, 0.7
    for end, sign in zip(intervals.skewed(5.0, error, skewness, n), (1, -1), strict=True):
        t = (5.0 - end) / error
        a = skewness / math.sqrt(n)
        assert t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6 == pytest.approx(sign * stats.t.ppf(0.975, n - 1))


@pytest.mark.parametrize("rows", [50, 500])
def test_intervals_hold_where_few_rows_are_positive(rows):
    """One positive of 50 rows, on the average: half of the windows have none, or one."""
    schema, names = CASES["binary"][0], np.array(["no", "yes"])

    def sample(rng, n):
        y = rng.random(n) < 0.02
        score = 1 / (1 + np.exp(-rng.normal(np.where(y, 0.6, -2.0), 1.2)))
        return outcomes(n, names[(score >= 0.5) * 1], score, names[y * 1])

    truth = metrics_of(schema, sample(np.random.default_rng(1), 400_000))
    rng, held = np.random.default_rng(4), {}
    for _ in range(300):
        for name, m in metrics_of(schema, sample(rng, rows)).items():
            if math.isfinite(m.low):
                assert m.low <= m.value <= m.high, name
                held.setdefault(name, []).append(m.low <= truth[name].value <= m.high)
    assert set(held) == set(truth)
    for name, found in held.items():
        assert np.mean(found) >= 0.91, (name, np.mean(found))


@pytest.mark.parametrize("rows", [50, 200, 1000])
def test_mean_losses_hold_where_few_rows_are_positive_or_none_is(rows):
    """A third of windows of 50 rows have no positive: of what these lose their standard deviation does not know, and held in 62 %."""
    schema, names = CASES["binary"][0], np.array(["no", "yes"])

    def sample(rng, n):
        score = rng.beta(0.3, 14.7, n)
        return outcomes(n, names[(score >= 0.5) * 1], score, names[(rng.random(n) < score) * 1])

    truth = metrics_of(schema, sample(np.random.default_rng(1), 1_000_000))
    rng = np.random.default_rng(4)
    found = [metrics_of(schema, sample(rng, rows)) for _ in range(300)]
    for name in ("brier", "log_loss"):
        assert all(0.0 <= m[name].low <= m[name].value <= m[name].high for m in found)
        held = np.mean([m[name].low <= truth[name].value <= m[name].high for m in found])
        assert 0.91 <= held <= 0.985, (name, held)
        scatter = np.subtract(*np.quantile([m[name].value for m in found], [0.975, 0.025]))
        assert np.mean([m[name].high - m[name].low for m in found]) < (2.0 if rows == 50 else 1.3) * scatter


@pytest.mark.parametrize("rows", [400, 2000])
@pytest.mark.parametrize("rate", ["calibrated", "overconfident", "turned"])
def test_intervals_of_calibration_hold_also_where_a_model_is_calibrated_perfectly(rate, rows):
    of = {"calibrated": lambda s: s, "overconfident": lambda s: s**1.5, "turned": lambda s: 0.3 + s / 2}[rate]
    rng, names = np.random.default_rng(7), np.array(["no", "yes"])

    def sample(n):
        score = rng.beta(1.2, 2.5, n)
        return outcomes(n, names[(score >= 0.5) * 1], score, names[(rng.random(n) < of(score)) * 1])

    schema = CASES["binary"][0]
    truth, held, width = metrics_of(schema, sample(400_000)), dict.fromkeys(OF_GAPS - {"quantile_calibration_error"}, 0), 0.0
    for _ in range(100):
        found = metrics_of(schema, sample(rows))
        width += found["ece"].high - found["ece"].low
        for name in held:
            assert 0.0 <= found[name].low <= found[name].value <= found[name].high <= 1.0, name
            held[name] += found[name].low <= truth[name].value <= found[name].high
    assert min(held.values()) >= 92, held  # 95 less what chance allows of 100
    assert width / 100 < 0.12 * math.sqrt(400 / rows)


@pytest.mark.parametrize("rows", [50, 2000])
def test_the_interval_of_the_quantiles_calibration_holds_also_where_they_are_calibrated_perfectly(rows):
    schema = CASES["quantile"][0]
    rng, held, width = np.random.default_rng(21), 0, 0.0
    for _ in range(300):
        middle = rng.normal(0, 5, rows)
        forecast = middle[:, None] + stats.norm.ppf([0.1, 0.5, 0.9])
        found = metrics_of(schema, outcomes(rows, value=rng.normal(middle, 1.0), quantiles=forecast))["quantile_calibration_error"]
        held += found.low <= 0.0 <= found.high
        width += found.high - found.low
    assert 0.94 <= held / 300 <= 0.995, held
    assert width / 300 < 0.09 * math.sqrt(50 / rows)


@pytest.mark.parametrize(("hits", "rows"), [(0, 5), (1, 7), (50, 100), (998, 1000), (20, 20)])
def test_wilson_is_that_of_statsmodels(hits, rows):
    theirs = proportion_confint(hits, rows, method="wilson")
    assert intervals.wilson(hits, rows) == pytest.approx(theirs, abs=1e-12)


def test_the_error_of_an_area_is_delongs_and_near_the_bootstraps():
    rng = np.random.default_rng(3)
    negative, positive = rng.normal(0, 1, 150), rng.normal(1, 1.3, 90)
    edges = np.sort(np.concatenate([negative, positive]))
    counts = [np.histogram(v, np.append(edges, np.inf))[0] for v in (negative, positive)]
    area, error, freedom = curves.roc_auc(*counts)
    placed = (negative[:, None] < positive[None, :]).mean(axis=0), (negative[:, None] < positive[None, :]).mean(axis=1)
    exact = math.sqrt(placed[0].var(ddof=1) / 90 + placed[1].var(ddof=1) / 150)
    assert area == pytest.approx(stats.mannwhitneyu(positive, negative).statistic / (90 * 150)) and error == pytest.approx(exact)
    drawn = stats.bootstrap(
        (negative, positive), lambda a, b: stats.mannwhitneyu(b, a).statistic / (len(a) * len(b)), vectorized=False,
        n_resamples=400, random_state=1, method="percentile",
    )  # fmt: skip
    assert error == pytest.approx(drawn.standard_error, rel=0.15)
    theirs = stats.brunnermunzel(negative, positive)
    assert 2 * stats.t.sf(abs(area - 0.5) / error, freedom) == pytest.approx(theirs.pvalue, rel=1e-6)


@pytest.mark.parametrize("counts", [(20, 25, 8, 30), (5, 5, 0, 40), (1, 3, 7, 900)])
def test_the_interval_of_balanced_accuracy_is_newcombes_of_a_difference(counts):
    """Of statsmodels: the mean of two recalls is a difference of shares, halved and moved."""
    hit, positives, false, negatives = counts
    y = np.repeat(["yes", "no"], [positives, negatives])
    p = np.concatenate([np.repeat(["yes", "no"], [hit, positives - hit]), np.repeat(["yes", "no"], [false, negatives - false])])
    schema = CASES["binary"][0]
    found = metrics_of(schema, outcomes(len(y), p, None, y))["balanced_accuracy"]
    theirs = confint_proportions_2indep(hit, positives, false, negatives, method="newcomb")
    assert (2 * found.low - 1, 2 * found.high - 1) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("rows", [2, 7, 50, 100, 3000, 1_000_000])
@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
def test_ranks_of_a_quantiles_interval_hold_it_as_the_beta_distribution_says(q, rows):
    low, high = intervals.quantile_ranks(q, rows)
    assert stats.beta.sf(q, low, rows + 1 - low) == pytest.approx(0.025, abs=1e-6)
    assert stats.beta.cdf(q, high, rows + 1 - high) == pytest.approx(0.025, abs=1e-6)
    if rows >= 100:  # scipy's are whole ranks, one farther out than they have to be
        theirs = stats.quantile_test(np.arange(1, min(rows, 10**5) + 1), p=q).confidence_interval(0.95)
        assert rows > 10**5 or (theirs.low - 1e-9 <= low <= theirs.low + 1 and theirs.high - 1 <= high <= theirs.high + 1e-9)


def test_quantiles_of_a_few_errors_reach_beyond_the_rows_as_an_exponential_tail_does():
    """Twenty rows do not reach the 5 % quantile in 36 of 100 windows."""
    rng, truth, held = np.random.default_rng(12), -math.log(20), 0
    for _ in range(600):
        error = -rng.exponential(1.0, 20)
        found = metrics_of(CASES["regression"][0], outcomes(20, None, 100 + error, value=np.full(20, 100.0)))["error_p05"]
        assert math.isfinite(found.low)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 600 <= 0.985, held


@pytest.mark.parametrize("rows", [50, 500, 5000])
@pytest.mark.parametrize("spread", [(0.3, 0.3), (0.5, 10.0)], ids=["sharp", "rare"])
def test_the_interval_of_the_resolution_holds_and_is_no_wider_than_it_has_to_be(spread, rows):
    """With few rows it may hold always: what few rows of a bin can hide is in it. Noise makes the value itself greater."""
    schema, rng = CASES["binary"][0], np.random.default_rng(9)
    names = np.array(["no", "yes"])

    def measured(n):
        score = rng.beta(*spread, n)
        return metrics_of(schema, outcomes(n, names[(score >= 0.5) * 1], score, names[(rng.random(n) < score) * 1]))

    truth = measured(1_000_000)["brier_resolution"].value
    found = [measured(rows)["brier_resolution"] for _ in range(200)]
    held = np.mean([m.low <= truth <= m.high for m in found])
    assert 0.91 <= held <= (1.0 if rows == 50 else 0.995), held
    if rows == 5000:
        width = np.mean([m.high - m.low for m in found])
        assert width == pytest.approx(2 * intervals.Z * np.std([m.value for m in found]), rel=0.15)


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_a_perfect_order_is_not_certain(area):
    low, high = intervals.logit(area, 0.0, 20)
    assert (low, high) == intervals.wilson(20 * area, 20) and high - low > 0.1


@pytest.mark.parametrize("names", [("no", "yes"), ("yes", "no")], ids=["all right", "all wrong"])
def test_mcc_of_rows_that_are_all_alike_is_not_certain(names):
    """Where all are right and labels are equally frequent it is 2 x accuracy - 1, whose interval is Wilson's."""
    y = np.repeat(["no", "yes"], 10)
    found = metrics_of(CASES["binary"][0], outcomes(20, np.repeat(names, 10), None, y))["mcc"]
    low, high = (2 * end - 1 for end in intervals.wilson(20.0 * (names[0] == "no"), 20))
    assert abs(found.value) == 1.0 and (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(("area", "negatives", "positives"), [(0.9, 490, 10), (0.6, 7, 30), (1.0, 20, 5), (0.0, 3, 3)])
def test_newcombes_ends_of_an_area_are_as_many_of_hanleys_and_mcneils_errors_away(area, negatives, positives):
    def error(true):
        of_two, of_one = true / (2 - true) - true**2, 2 * true**2 / (1 + true) - true**2
        both = (negatives + positives) / 2 - 1  # Newcombe's: the mean of both sides
        return math.sqrt((true * (1 - true) + both * (of_two + of_one)) / (negatives * positives))

    for end in curves.newcombe(area, negatives, positives):
        assert abs(end - area) == pytest.approx(intervals.Z * error(end), abs=1e-6)
