"""Far out the limits of the drift scores are passed as often as they say: tests/bench/quality/tails.py with few windows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.calibrate.held import held
from detectors.calibrate.history import learn
from detectors.calibrate.series import Record, series_of
from detectors.category_pair import CategoryPair
from detectors.registry import STATISTICS
from detectors.score import Score
from monitor.config import parse_config
from monitor.judged_score import Judged
from monitor.parts import concept_detectors
from tests.bench.quality import tails


@pytest.mark.parametrize("ordered", [True, False])
def test_windows_by_importance_have_the_tail_of_the_true_law(ordered):
    """Against chi-square, of 5,000 rows in 11 strata, at probabilities that plain draws do not reach."""
    rng, shares = np.random.default_rng(1), np.full(11, 1 / 11)
    counts, weights = tails.draw_counts(rng, shares, 5_000, 20_000, tails.ways(shares, 5_000, 10**9, ordered))
    assert weights.mean() == pytest.approx(1.0, abs=0.06)
    square = ((counts - 5_000 / 11) ** 2).sum(axis=1) * 11 / 5_000
    for alpha in (1e-2, 1e-3, 1e-4, 1e-5):
        happened = (weights * (square >= stats.chi2.isf(alpha, 10))).mean()
        assert happened == pytest.approx(alpha, rel=0.25), alpha


@pytest.mark.parametrize(
    ("law", "rows", "reference_rows"),
    [("gaussian", 50, 20_000), ("heavy-tailed", 50, 20_000), ("zero-inflated", 50, 20_000), ("150 categories", 50, 20_000)],
)
def test_no_limit_is_passed_twice_as_often_as_it_says(law, rows, reference_rows):
    for name, tail in tails.tail_cell((law, rows, reference_rows, 400, 11))[3].items():
        share, error = tail.ratios()
        assert (share - 3.0 * error <= 2.0).all(), (name, share, error)


def test_a_small_reference_of_many_categories_passes_no_limit_too_often():
    """Of 1,000 rows by Zipf, that have not seen all values."""
    rng, names = np.random.default_rng(3), ("js", "psi", "chi2", "tv")
    counts = rng.multinomial(500, tails.ZIPF, size=150)
    pairs = [tails._pair(rng, "150 categories", tails._reference(rng, "150 categories", 1_000), window) for window in counts]
    for name in names:
        assert sum(tails.chance_of(name, pair) <= 1e-2 for pair in pairs) <= stats.binom.isf(1e-4, 150, 1e-2), name


def test_values_that_a_small_reference_has_not_seen_widen_its_limits():
    """200 rows by Zipf's law of 2.5, whose few values are compared by name. 1e-2 happens 4 times as often as it says, and 21 times without them."""
    rng, law = np.random.default_rng(1), 1.0 / np.arange(1, 61.0) ** 2.5
    law /= law.sum()
    draws = zip(rng.multinomial(200, law, size=200), rng.multinomial(500, law, size=200), strict=True)
    pairs = [CategoryPair(tails._categories(before), tails._categories(now)) for before, now in draws]
    assert sum(tails.chance_of("js", pair) <= 1e-2 for pair in pairs) <= 20


def test_a_record_is_as_likely_as_it_says():
    """By Pareto's law with the power that the series' tail has at least."""
    series = series_of("max", "", "value")
    draws = np.random.default_rng(5).pareto(series.freedom, (20_000, 41)) + 1.0
    records = [Record(0.0, 0.0, float(before), 40) for before in draws[:, :40].max(axis=1)]
    chances = np.array([r.probability(now, series) for r, now in zip(records, draws[:, 40].tolist(), strict=True)])
    for alpha in (4e-2, 1e-2, 2e-3):
        hits = int((chances <= alpha).sum())  # one of both sides
        assert stats.binom.cdf(hits, 20_000, alpha / 2.0) > 1e-3 and stats.binom.sf(hits - 1, 20_000, alpha / 2.0) > 1e-3, alpha
    for falls in (False, True):
        at = Record(1.0, 2.0, 3.0, 40).at(1e-6, falls, series)
        assert Record(1.0, 2.0, 3.0, 40).probability(at, series) == pytest.approx(1e-6)


def test_what_never_strayed_cannot_say_how_far_a_stray_goes():
    """The median of a column of zeros, that once in a while lies in its tail."""
    values = np.zeros((200, 1))
    learned = learn(values, 3_600_000 * np.arange(200))
    assert learned.farthest.tolist() == [[0.0], [0.0]]
    p50 = series_of("p50", "", "value")
    record = Record(0.0, 0.0, 0.0, 200)
    assert record.probability(5.0, p50) == pytest.approx(2.0 / 201.0)
    judged = Judged(("1", ""), 0, Score("f", "p50", 5.0, 50), 5.0, None, lambda place: place, series=p50, past=learned.plain(0))
    assert judged.probability() < 1e-9 and judged.limit(1e-6) < 1.0  # by Student's law alone
    judged.record = record
    assert judged.probability() == pytest.approx(2.0 / 201.0) and judged.limit(1e-6) is None
    assert Record(0.0, 0.0, 0.0, 200).at(1e-6, False, series_of("p50", "", "value")) == np.inf


@pytest.mark.parametrize("law", ["heavy-tailed", "zero-inflated"])
def test_the_spread_of_heavy_tails_is_unsure_also_where_a_small_reference_looks_calm(law):
    rng = np.random.default_rng(2)
    counts = rng.multinomial(500, np.diff(tails.STRATA), size=60)
    for window in counts:
        pair = tails._pair(rng, law, tails._reference(rng, law, 1_000), window)
        found = held("std_shift", pair, STATISTICS["std_shift"].value(pair))
        assert found is not None and found.unsure


def test_the_default_detector_of_concept_drift_has_its_share_of_the_budget_whatever_the_size_of_windows():
    def delta(size: str, more: str = "") -> float:
        config = f"models: [{{name: m, task: binary, positive_label: a, window: {{size: {size}}}{more}}}]"
        return concept_detectors(parse_config(config, "c").models[0])["adwin"]["delta"]

    assert delta("1h") == pytest.approx(3.17e-4, rel=0.01)
    assert delta("1m") == pytest.approx(delta("1h") / 60, rel=0.01)
    assert delta("1m", ", false_alarms_per_week: 10") == pytest.approx(10 * delta("1m"), rel=0.01)
    assert delta("1h", ", false_alarms_per_week: 0") == 0.002
