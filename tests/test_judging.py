"""Every registered score has a null, is held against its past, or says why neither; and nulls in values' units keep their rate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from detectors.calibrate import moves
from detectors.calibrate.held import HELD, NEW, held
from detectors.calibrate.quadratic import quadratic_null, squares_null
from detectors.category import CategorySummary
from detectors.choice import Choice
from detectors.columns import Columns, DictColumn, Schema
from detectors.numeric import GridSummary, make_grid
from detectors.pairs import CategoryPair, NumericPair
from detectors.profile import Profile
from detectors.registry import STATISTICS
from detectors.score import Score
from detectors.score_names import DRIFT, SCORE_NAMES
from detectors.window import WindowSummary
from monitor.budget import Calibration
from monitor.calibrations import calibration_of
from monitor.config import parse_config
from monitor.judging import BY_P, JUDGED, MISSING, NULLS, TESTS, by_past, reason
from monitor.model import Model
from tests.bench.quality.driftd import Memory, judged_window

HOUR_MS = 3_600_000
MAKERS = {
    "normal": lambda r, n: r.normal(size=n),
    "heavy tails": lambda r, n: r.standard_t(2.5, n),
    "zero-inflated": lambda r, n: np.where(r.random(n) < 0.7, 0.0, r.lognormal(size=n)),
    "few values": lambda r, n: r.integers(0, 5, n).astype(float),
}


def pair_of(reference: GridSummary, values: np.ndarray) -> NumericPair:
    window = GridSummary.empty(reference.edges)
    window.add(values)
    return NumericPair(reference, window)


def grid_of(values: np.ndarray) -> GridSummary:
    out = GridSummary.empty(make_grid(values))
    out.add(values)
    return out


@pytest.mark.parametrize("name", sorted(SCORE_NAMES))
def test_every_registered_score_has_a_null_or_its_past_or_a_reason(name):
    assert (name in JUDGED) + by_past(name) + bool(reason(name)) == 1
    config = f"models: [{{name: m, calibration: {{scores: [{name}]}}}}]\n"
    if reason(name):
        with pytest.raises(ValueError, match="has no calibrated limit"):
            parse_config(config, "c")
        return
    cfg = parse_config(config, "c")
    found = calibration_of(cfg, cfg.models[0])
    assert found.judges(name) and (name in found.series) == by_past(name)


def everything() -> tuple[Model, WindowSummary, list[Score]]:
    """A window with every statistic of the registry, and a score of every other name that is judged by a p-value or the past."""
    rng = np.random.default_rng(3)
    schema = Schema(("n", "gaps"), ("c",))

    def rows(n: int) -> Columns:
        nothing = np.full(n, np.nan)
        numbers = {"n": rng.normal(size=n), "gaps": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n))}
        codes = DictColumn(rng.integers(0, 6, n).astype(np.int32), [f"v{i}" for i in range(6)])
        return Columns(n, numbers, {"c": codes}, nothing, DictColumn.missing(n), nothing, np.zeros(n, dtype=np.bool_))

    profile = Profile.build(rows(5000), schema, "reference")
    summary = WindowSummary.empty(schema, profile)
    summary.add(rows(400))
    others = [Score("other", name, 0.4, 400, "reference") for name in sorted({*TESTS, *BY_P})]
    others += [Score("past", name, 0.4, 400) for name in sorted(filter(by_past, SCORE_NAMES))]
    model = Model("m", schema, HOUR_MS, HOUR_MS, 0, active_profile="reference", profiles={"reference": profile})
    calibration = Calibration(scores=NULLS, series=frozenset(filter(by_past, SCORE_NAMES)))
    return replace(model, statistics=Choice(tuple(STATISTICS)), calibration=calibration), summary, others


def test_no_score_that_is_named_goes_without_a_verdict_that_says_its_rule():
    model, summary, others = everything()
    found = judged_window(model, Memory(), summary, 0, others)
    seen = {f.score.name for f in found}
    assert {*DRIFT, *TESTS, *BY_P, *filter(by_past, SCORE_NAMES)} <= seen
    for finding in found:
        name = finding.score.name
        if name in MISSING and finding.score.subject in ("n", "c"):
            continue  # nothing is missing, nor ever was
        if name in DRIFT or finding.score.subject in ("other", "past"):
            assert finding.rule.startswith(f"calibrated {name}"), (finding.score.subject, name)
        if finding.score.subject == "past":
            assert finding.level == "unsure" and "too few past windows" in finding.rule
        elif name in DRIFT and finding.level == "ok":
            assert finding.threshold is not None, name


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
@pytest.mark.parametrize("rows", [60, 1000])
def test_what_has_probability_p_happens_that_often_in_the_values_own_units(rows, make):
    """4 references, 240 windows: each statistic is passed as often as said, or says that it cannot tell."""
    names = ("wasserstein", "energy", "cramer_von_mises", "anderson_darling", "kuiper", "mean_shift", "welch_t", "std_shift",
             "median_shift", "range_shift")  # fmt: skip
    found = {name: [] for name in names}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        reference = grid_of(make(rng, 10_000))
        for _ in range(60):
            pair = pair_of(reference, make(rng, rows))
            for name in names:
                value = STATISTICS[name].value(pair)
                item = held(name, pair, value)
                assert item is not None
                if item.unsure:
                    continue
                p = item.table.survival(item.out)
                limit = item.back(item.table.value_at(0.03))
                assert (abs(value) >= abs(limit)) == (p <= 0.03) or abs(value) == pytest.approx(abs(limit), rel=1e-3), name
                found[name].append(p)
    for name, values in found.items():
        p = np.array(values)
        for level in (0.3, 0.1, 0.03) if len(p) and name != "range_shift" else ():  # a count: its law is tested below
            spread = 4 * math.sqrt(level * (1 - level) / len(p)) + 0.1 * level
            assert (p <= level).mean() < level + spread, (name, level)
            if name != "median_shift":  # of ties: at most
                assert (p <= level).mean() > level - spread, (name, level)
    heavy = make in (MAKERS["heavy tails"], MAKERS["zero-inflated"])
    assert [name for name in names if not found[name]] == [
        n for n in names if (n in ("mean_shift", "welch_t", "std_shift") and heavy)
        or (n == "kuiper" and make in (MAKERS["zero-inflated"], MAKERS["few values"]))
        or (n == "std_shift" and rows == 60 and make is MAKERS["few values"])
    ]  # fmt: skip


def test_a_shift_that_matters_is_far_out_by_every_statistic():
    rng = np.random.default_rng(1)
    pair = pair_of(grid_of(rng.normal(size=20_000)), rng.normal(0.5, 1.6, size=1000))
    for name in sorted(n for n in HELD if n in STATISTICS and "numeric" in STATISTICS[n].kinds and n not in ("range_shift",)):
        item = held(name, pair, STATISTICS[name].value(pair))
        assert item is not None and item.table.survival(item.out) < 1e-6, name


def test_values_beyond_the_reference_widen_the_limit_of_wasserstein_by_what_they_add():
    rng = np.random.default_rng(2)
    values = rng.normal(size=1000)
    reference = grid_of(rng.normal(size=20_000))
    plain, far = pair_of(reference, values), pair_of(reference, np.append(values, 500.0))
    limits = []
    for pair in (plain, far):
        item = held("wasserstein", pair, STATISTICS["wasserstein"].value(pair))
        assert item.table.survival(item.out) > 0.01
        limits.append(item.back(item.table.value_at(1e-6)))
    added = STATISTICS["wasserstein"].value(far) - STATISTICS["wasserstein"].value(plain)
    assert added > 0.3 and limits[1] - limits[0] == pytest.approx(added, rel=0.05)


def test_rows_beyond_the_extremes_are_beta_binomial():
    rng = np.random.default_rng(5)
    reference = grid_of(rng.normal(size=900))
    pair = pair_of(reference, rng.normal(size=300))
    law = stats.betabinom(300, 2, 899)
    for count in (0, 1, 3, 9):
        out = moves.range_shift(pair, count / 300).out
        assert stats.norm.sf(out) == pytest.approx(law.sf(count - 1) - law.pmf(count) / 2, rel=1e-6, abs=1e-9)


def test_new_values_are_as_rare_as_rows_dealt_out_anew_have_them():
    """8,000 deals: categories, and rows of categories, that the window alone has."""
    rng = np.random.default_rng(6)
    shares = 1.0 / np.arange(1, 120.0) ** 1.5
    both = rng.multinomial(1200, shares / shares.sum())
    rows = np.repeat(np.arange(len(both)), both)
    counts = []
    for _ in range(8000):
        window = np.bincount(rng.choice(rows, 200, replace=False), minlength=len(both))
        alone = (window == both) & (both > 0)
        counts.append((alone.sum(), window[alone].sum()))
    found = np.array(counts)
    sides = [{f"v{i}": int(c) for i, c in enumerate(side) if c} for side in (both - window, window)]
    pair = CategoryPair(*(CategorySummary(500, side) for side in sides))
    for column, by_rows in ((0, False), (1, True)):
        for at in np.quantile(found[:, column], [0.5, 0.9, 0.99]):
            true = (found[:, column] > at).mean() + (found[:, column] == at).mean() / 2
            out = moves.new_values(pair, at / 200 if by_rows else at, rows=by_rows).out
            assert stats.norm.sf(out) == pytest.approx(true, rel=0.35, abs=0.004)


def test_a_sum_of_squares_has_the_law_of_cramer_and_von_mises_and_of_chi_square():
    from detectors.pvalues import _cramer_von_mises_limit

    bridge = quadratic_null(np.full(64, 1 / 64), (np.arange(64) + 0.5) / 64, np.zeros(64))
    single = squares_null(np.array([2.0]))
    for p in (0.3, 0.05, 1e-3, 1e-6):
        assert 1.0 - _cramer_von_mises_limit(bridge.value_at(p)) == pytest.approx(p, rel=0.1)
        assert stats.chi2.sf(single.value_at(p) / 2.0, 1) == pytest.approx(p, rel=0.1)


def test_the_mean_of_uneven_values_is_unsure_until_there_are_rows_enough():
    rng = np.random.default_rng(7)
    reference = grid_of(rng.exponential(size=50_000))
    few, many = (pair_of(reference, rng.exponential(size=n)) for n in (300, 20_000))
    assert "not normal" in held("mean_shift", few, 0.1).unsure and held("mean_shift", many, 0.1).unsure == ""


@pytest.mark.parametrize("others", [0.0, 0.0005, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("rows", [2, 30, 3_000])
def test_no_reference_is_too_odd_for_a_null(rows, others):
    """Nearly all rows in one place, a handful of rows, values whose squares are no numbers: a place, or nothing with a reason."""
    rng = np.random.default_rng(7)
    for reference_rows in (2, 7, 400, 20_000):
        for scale in (1e-9, 1.0, 1e150):
            for shift in (0.0, 3.0):
                before, after = (
                    np.where(rng.random(n) < others, rng.standard_t(2.5, n), 0.0) * scale for n in (reference_rows, rows)
                )
                pair = pair_of(grid_of(before), after + shift * scale)
                for name in sorted(HELD - set(NEW)):
                    value = STATISTICS[name.removesuffix("_p")].value(pair)
                    if math.isfinite(value) and (found := held(name, pair, min(value, 1.0) if name.endswith("_p") else value)):
                        assert 0.0 <= found.table.survival(found.out) <= 1.0, (name, reference_rows, scale, shift)
