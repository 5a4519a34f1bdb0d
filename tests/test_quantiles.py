"""Quantiles and the change of the median are those of the rows where cells are exact, else within the cell that holds them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.adaptive import AdaptiveSummary
from detectors.numeric import GridSummary, make_grid
from detectors.pairs import NumericPair
from detectors.registry import STATISTICS

LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
whole = st.lists(st.integers(-40, 40), min_size=1, max_size=200).map(lambda v: np.array(v, dtype=np.float64))


def grid(values, edges):
    out = GridSummary.empty(edges)
    out.add(values)
    return out


def adaptive(values):
    out = AdaptiveSummary()
    out.add(values)
    return out


@settings(deadline=None, max_examples=150)
@given(whole, st.integers(1, 4), st.sampled_from([1.0, 0.1, 1e9, 1e-9]))
def test_of_whole_numbers_they_are_numpys_with_its_method_linear(values, copies, unit):
    values = np.repeat(values * unit, copies)
    for summary in (grid(values, make_grid(values)), adaptive(values)):
        found = summary.cells().quantiles(LEVELS, float(values.min()), float(values.max()))
        assert found == pytest.approx(np.quantile(values, LEVELS, method="linear").tolist(), rel=1e-12, abs=1e-12 * unit)


@settings(deadline=None, max_examples=150)
@given(whole, whole)
def test_the_change_of_the_median_of_whole_numbers_is_exact_and_its_bound_says_so(before, after):
    edges = make_grid(before)
    for reference, current in ((grid(before, edges), grid(after, edges)), (adaptive(before), adaptive(after))):
        pair = NumericPair(reference, current)
        shift, bound = STATISTICS["median_shift"].value(pair), STATISTICS["median_shift"].error(pair)
        exact = (np.median(after) - np.median(before)) / pair.spread
        assert abs(shift - exact) <= bound + 1e-9 * abs(exact)
        if isinstance(reference, AdaptiveSummary) or set(after) <= set(before):
            assert bound == 0.0 and shift == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("q", LEVELS)
def test_others_lie_within_the_cell_of_the_rows_own(q):
    values = np.random.default_rng(4).lognormal(size=20_000)
    cells = grid(values, make_grid(values)).cells()
    found = cells.quantile(q, float(values.min()), float(values.max()))
    exact = float(np.quantile(values, q))
    i = int(np.searchsorted(cells.edges, exact, side="right")) - 1
    near = cells.edges[max(i - 1, 1)], cells.edges[min(i + 2, len(cells.edges) - 2)]
    assert near[0] <= found <= near[1]
    assert found == pytest.approx(exact, rel=0.02)
