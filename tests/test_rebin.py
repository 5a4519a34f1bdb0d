"""Counts of one reference in the cells of another: what stays exact, and how far the rest may be off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.adaptive import AdaptiveSummary
from detectors.numeric import GridSummary, make_grid
from detectors.rebin import merge_rebinned

SEEDS = st.integers(0, 2**32 - 1)


def drawn(rng, rows):
    values = [rng.normal(3, 2, rows), rng.lognormal(1, 1.5, rows), rng.integers(0, 6, rows).astype(float)][int(rng.integers(3))]
    values[rng.random(rows) < 0.3] = 0.0
    values[rng.random(rows) < 0.02] = np.nan
    return values


def grid_of(values):
    return make_grid(values[np.isfinite(values)])


@given(SEEDS)
def test_shares_are_off_by_no_more_than_is_said(seed):
    rng = np.random.default_rng(seed)
    mine, other = GridSummary.empty(grid_of(drawn(rng, 800))), GridSummary.empty(grid_of(drawn(rng, 700)))
    here, there = drawn(rng, 300), drawn(rng, 500)
    mine.add(here)
    other.add(there)
    off = merge_rebinned(mine, other)
    exact = GridSummary.empty(mine.edges)
    exact.add(np.concatenate([here, there]))
    assert np.abs(np.cumsum(mine.counts) - np.cumsum(exact.counts)).max() <= off <= np.isfinite(there).sum()
    assert (mine.rows, mine.missing, mine.moments.n) == (exact.rows, exact.missing, exact.moments.n)
    assert mine.moments.mean == pytest.approx(exact.moments.mean, rel=1e-9, abs=1e-9)
    assert mine.sums.sum() == pytest.approx(exact.sums.sum(), rel=1e-9, abs=1e-6)


def test_references_of_one_source_are_off_by_little():
    rng = np.random.default_rng(5)
    mine, other = (GridSummary.empty(grid_of(rng.normal(0, 1, 50_000))) for _ in range(2))
    values = rng.normal(0, 1, 100_000)
    other.add(values)
    off = merge_rebinned(mine, other)
    exact = GridSummary.empty(mine.edges)
    exact.add(values)
    assert off / len(values) < 0.004
    assert np.abs(np.cumsum(mine.counts) - np.cumsum(exact.counts)).max() <= off


def test_values_that_have_cells_of_their_own_stay_exact():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 5, 4000).astype(float)
    mine, other = GridSummary.empty(grid_of(values)), GridSummary.empty(grid_of(values[:3000]))
    other.add(values)
    merge_rebinned(mine, other)
    exact = GridSummary.empty(mine.edges)
    exact.add(values)
    assert (mine.counts == exact.counts).all()


@pytest.mark.parametrize("to_grid", [True, False])
def test_cells_that_adapt_go_into_a_grid_and_back(to_grid):
    rng = np.random.default_rng(3)
    values = np.append(rng.normal(10, 2, 2000), [np.inf, np.nan])
    grid, adaptive = GridSummary.empty(make_grid(rng.normal(10, 2, 2000))), AdaptiveSummary()
    mine, other = (grid, adaptive) if to_grid else (adaptive, grid)
    other.add(values)
    merge_rebinned(mine, other)
    assert (mine.rows, mine.missing, mine.infinite) == (2001, 1, 1)
    for q in (0.1, 0.5, 0.9):
        assert mine.cells().quantile(q, 2.0, 20.0) == pytest.approx(np.quantile(values[:2000], q), abs=0.1)
