"""A value's cell by table is its cell by search, for any grid and any values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.adaptive import CAP, AdaptiveSummary
from detectors.buckets import _make, table_for
from detectors.numeric import GridSummary, make_grid

finite = st.floats(allow_nan=False, allow_infinity=False)
DISTRIBUTIONS = {
    "normal": lambda rng: rng.normal(size=5000),
    "gamma": lambda rng: rng.gamma(0.3, 4.0, 5000),
    "heavy": lambda rng: rng.standard_cauchy(5000) ** 3,
    "rounded": lambda rng: np.round(rng.gamma(2.0, 3.0, 5000), 1),
    "integers": lambda rng: rng.integers(-5, 6, 5000).astype(float),
    "far": lambda rng: 1e12 + rng.random(5000),
    "constant": lambda rng: np.full(5000, 3.0),
    "zeros": lambda rng: np.array([0.0, -0.0] * 2500),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_cells_are_those_of_a_search(name):
    rng = np.random.default_rng(3)
    edges = make_grid(DISTRIBUTIONS[name](rng))
    values = np.concatenate([DISTRIBUTIONS[name](rng) * s for s in (1.0, 1.3, -2.0)] + [edges, np.nextafter(edges, -np.inf)])
    for by_bits in (False, True):
        assert (_make(edges, by_bits).cells(values) == np.searchsorted(edges, values, side="right")).all()


@given(st.lists(finite, min_size=1, max_size=80, unique=True), st.lists(finite, max_size=80))
def test_cells_are_those_of_a_search_for_any_floats(edges, values):
    grid = np.unique(np.array(edges))
    wanted = np.concatenate([np.array(values, dtype=float), grid])
    for by_bits in (False, True):
        assert (_make(grid, by_bits).cells(wanted) == np.searchsorted(grid, wanted, side="right")).all()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_grid_counts_every_row_once_in_any_split(name):
    rng = np.random.default_rng(4)
    edges = make_grid(DISTRIBUTIONS[name](rng))
    values = DISTRIBUTIONS[name](rng)
    values[::97], values[::89], values[::83] = np.nan, np.inf, -np.inf
    whole, parts = GridSummary.empty(edges), GridSummary.empty(edges)
    whole.add(values)
    for piece in np.array_split(values, 37):
        parts.add(piece)
    there = values[~np.isnan(values)]
    wanted = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1)
    assert (whole.counts == wanted).all() and (parts.counts == wanted).all()
    assert whole.missing == parts.missing == int(np.isnan(values).sum())
    np.testing.assert_allclose(parts.sums, whole.sums, rtol=1e-9, atol=1e-9 * np.abs(there[np.isfinite(there)]).sum())


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_adaptive_cells_do_not_depend_on_the_split(name):
    rng = np.random.default_rng(5)
    values = DISTRIBUTIONS[name](rng)
    whole, parts = AdaptiveSummary(), AdaptiveSummary()
    whole.add(values)
    for piece in np.array_split(values, 23):
        part = AdaptiveSummary()
        part.add(piece)
        parts.merge(part)
    assert whole.shift == parts.shift and len(whole.keys) <= CAP
    assert (whole.keys == parts.keys).all() and (whole.counts == parts.counts).all()
    finer = np.unique(np.where(True, values + 0.0, 0))
    assert whole.shift == 0 or len(finer) > CAP


def test_grids_where_edges_crowd_are_searched():
    edges = np.concatenate([1.0 + np.arange(300) * 1e-15 * 2, [1e300]])
    assert table_for(np.unique(edges)) is None or table_for(np.unique(edges)).crowded_share <= 0.5
