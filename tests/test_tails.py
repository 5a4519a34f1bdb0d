"""Far out the limits of the drift scores are passed as often as they say: tests/bench/quality/tails.py with few windows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.calibrate.held import held
from detectors.registry import STATISTICS
from monitor.config import parse_config
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


def test_a_small_reference_of_many_categories_knows_that_it_has_not_seen_all():
    """Of 1,000 rows by Zipf: without, js passes its limit of 1e-2 in one window of six."""
    found = tails.tail_cell(("150 categories", 500, 1_000, 600, 11))[3]
    for name in ("js", "psi", "chi2", "tv"):
        share, error = found[name].ratios()
        assert (share - 3.0 * error <= 2.0).all(), (name, share)


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
