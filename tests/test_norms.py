"""Norms of gaps: moments against scipy's distributions, and that intervals hold and are no wider than they have to be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.labelled import norms
from detectors.labelled.intervals import Z
from detectors.labelled.norms import BY_CHANCE, gaps_of, greatest_ends, norm_ends
from tests.test_labelled_intervals import CASES, metrics_of, outcomes


def one_bin(rows, hits, promised):
    parts = (np.array([float(rows)]), np.array([float(hits)]), np.array([promised]), np.array([1.0]), np.array([float(rows)]))
    return gaps_of(*(part[None, None] for part in parts))


@pytest.mark.parametrize(("rows", "rate"), [(1, 0.03), (7, 0.5), (40, 0.13), (2000, 0.9)])
def test_the_mean_absolute_deviation_is_the_binomials(rows, rate):
    at = np.arange(rows + 1)
    theirs = float(stats.binom.pmf(at, rows, rate) @ np.abs(at / rows - rate))
    assert float(norms._mean_absolute_deviation(np.array(float(rows)), np.array(rate))) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("far", [0.0, 0.4, 1.5, 6.0])
def test_moments_of_one_bin_are_those_of_a_folded_normal_and_of_a_noncentral_chi_square(far):
    gaps = one_bin(40_000, 8_000, 0.2)
    sd = float(np.sqrt(gaps.noise[0, 0, 0]))
    together = [np.ones((1, 1))] * 2
    form = np.ones((1, 1, 1, 1, 1))
    scale = np.full((1, 1, 1), far * sd)
    sizes = norms._moments(gaps, form, scale, 1, together)
    theirs = stats.foldnorm(far, scale=sd).stats("mv")
    assert [float(sizes[0].item()), float(sizes[1].item())] == pytest.approx([float(v) for v in theirs], rel=2e-3)
    squares = norms._moments(gaps, form, scale, 2, together)
    theirs = stats.ncx2(1, far**2).stats("mv") if far else stats.chi2(1).stats("mv")
    expected = [float(theirs[0]) * sd**2, float(theirs[1]) * sd**4]
    assert [float(squares[0].item()), float(squares[1].item())] == pytest.approx(expected, rel=1e-9)
    assert float(sizes[2].item()) == pytest.approx(far * sd) and float(squares[2].item()) == pytest.approx((far * sd) ** 2)


@pytest.mark.parametrize("freedom", [1, 4, 16, 90])
def test_quantiles_are_nearly_a_chi_squares(freedom):
    found = [float(norms._quantile(np.array(float(freedom)), np.array(2.0 * freedom), np.array(z))) for z in (-Z, 0.0, Z)]
    theirs = stats.chi2.ppf([0.025, 0.5, 0.975], freedom).tolist()
    assert found == pytest.approx(theirs, rel=0.05, abs=0.06)


def test_a_gap_of_one_bin_with_many_rows_has_the_interval_of_its_rate():
    hits, rows = 3_300, 10_000
    found = norm_ends(one_bin(rows, hits, 0.2), 1)
    half = Z * np.sqrt(0.33 * 0.67 / rows)
    assert [found.low[0], found.middle[0], found.high[0]] == pytest.approx([0.13 - half, 0.13, 0.13 + half], abs=3e-4)


def test_the_greatest_gap_is_at_least_what_all_bins_leave_and_at_most_what_one_may_show():
    held, hits, promised = np.array([0.0, 400.0, 1.0]), np.array([0.0, 200.0, 0.0]), np.array([0.03, 0.3, 0.1])
    low, high = greatest_ends(held, hits, promised)
    assert 0.2 - 3.0 * 0.025 < low < 0.2 - Z * 0.025, "of two bins at once"
    assert high > 0.6, "one row may be the bin that is off"
    assert greatest_ends(held[:2], hits[:2], promised[:2])[1] == pytest.approx(0.2 + Z * 0.025, abs=2e-3)


@pytest.mark.parametrize("rows", [50, 200, 1000, 5000])
@pytest.mark.parametrize("power", [1.0, 1.5, 0.6], ids=["calibrated", "too sure", "not sure enough"])
def test_intervals_of_calibration_are_as_wide_as_their_values_scatter(power, rows):
    """Of a calibrated model, or of few rows, ECE has to reach to nearly 0, which the value lies farther from than it scatters."""
    rng, names, schema = np.random.default_rng(8), np.array(["no", "yes"]), CASES["binary"][0]

    def measured(n):
        score = rng.beta(1.2, 4.8, n)
        return metrics_of(schema, outcomes(n, names[(score >= 0.5) * 1], score, names[(rng.random(n) < score**power) * 1]))

    truth = measured(1_000_000)
    found = [measured(rows) for _ in range(250)]
    for name in ("ece", "brier_reliability"):
        held = np.mean([m[name].low <= truth[name].value <= m[name].high for m in found])
        assert 0.92 <= held, (name, held)
        values = [m[name].value for m in found]
        scatter = np.subtract(*np.quantile(values, [0.975, 0.025]))
        width = np.mean([m[name].high - m[name].low for m in found])
        assert width < (2.0 if name == "ece" and (power == 1.0 or rows <= 200) else 1.4) * scatter, (name, width / scatter)
        below = np.mean([m[name].value - m[name].evidence[BY_CHANCE] for m in found])
        assert abs(below - truth[name].value) < 0.7 * scatter, "what is left without chance is nearer to the truth"
