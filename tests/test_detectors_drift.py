"""Numeric summaries against numpy and scipy on the same rows. The statistics themselves: test_detectors_statistics.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detectors.adaptive import CAP, AdaptiveSummary, from_keys, to_keys
from detectors.numeric import GridSummary, make_grid
from detectors.ordered import kolmogorov_smirnov
from detectors.pairs import NumericPair

PAIRS = {
    "shifted normal": lambda r: (r.normal(0, 1, 20_000), r.normal(0.3, 1, 5_000)),
    "heavy tail": lambda r: (r.lognormal(0, 1.5, 20_000), r.lognormal(0.2, 1.5, 5_000)),
    "gamma": lambda r: (r.gamma(2, 3, 20_000), r.gamma(2.2, 3, 3_000)),
    "far from zero": lambda r: (r.normal(1e6, 1, 20_000), r.normal(1e6 + 0.5, 1, 5_000)),
    "few values": lambda r: (r.integers(0, 7, 20_000).astype(float), r.integers(1, 8, 5_000).astype(float)),
    "outwards": lambda r: (r.normal(0, 1, 20_000), r.normal(6, 3, 5_000)),
}


@pytest.fixture(params=PAIRS, ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    return PAIRS[request.param](np.random.default_rng(5))


def on_grid(reference: np.ndarray, current: np.ndarray) -> tuple[GridSummary, GridSummary]:
    edges = make_grid(reference)
    out = []
    for values in (reference, current):
        summary = GridSummary.empty(edges)
        summary.add(values)
        out.append(summary)
    return out[0], out[1]


def test_quantiles_lie_in_the_cell_of_numpys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, cur = on_grid(*pair)
    cells = cur.cells()
    for q in (0.01, 0.25, 0.5, 0.75, 0.99):
        around = [float(np.quantile(pair[1], q, method=method)) for method in ("lower", "higher")]
        first, last = np.searchsorted(cells.edges, around, side="right")
        ours = cells.quantile(q, cur.moments.low, cur.moments.high)
        assert cells.edges[first - 1] <= ours <= cells.edges[last]


def test_moments_are_numpys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, cur = on_grid(*pair)
    assert cur.moments.mean == pytest.approx(pair[1].mean(), rel=1e-12)
    assert cur.moments.std == pytest.approx(pair[1].std(), rel=1e-9)
    assert (cur.moments.low, cur.moments.high) == (pair[1].min(), pair[1].max())


def test_missing_and_infinite_values_are_counted_and_leave_the_sums_alone() -> None:
    summary = GridSummary.empty(np.array([0.0, 1.0]))
    summary.add(np.array([np.nan, np.inf, -np.inf, 0.5, 2.0, np.nan]))
    assert (summary.missing, summary.infinite, summary.rows) == (2, 2, 4)
    assert summary.counts.tolist() == [1, 1, 2] and summary.moments.mean == 1.25


numbers = st.lists(st.one_of(st.floats(width=64), st.integers(-5, 5).map(float)), min_size=0, max_size=80)


@settings(max_examples=200, deadline=None)
@given(values=numbers, cut=st.integers(0, 80))
@pytest.mark.parametrize("kind", ["grid", "adaptive"])
def test_any_split_gives_the_same_counts(kind: str, values: list[float], cut: int) -> None:
    array = np.array(values, dtype=np.float64)

    def summary(part: np.ndarray) -> GridSummary | AdaptiveSummary:
        out = GridSummary.empty(np.array([-1.0, 0.0, 2.0])) if kind == "grid" else AdaptiveSummary()
        out.add(part)
        return out

    whole, left = summary(array), summary(array[cut:])
    left.merge(summary(array[:cut]))  # type: ignore[arg-type]
    assert whole.counts.tolist() == left.counts.tolist()
    assert (whole.missing, whole.infinite) == (left.missing, left.infinite)
    if isinstance(whole, AdaptiveSummary) and isinstance(left, AdaptiveSummary):
        assert whole.keys.tolist() == left.keys.tolist() and whole.shift == left.shift


def test_adaptive_cells_do_not_depend_on_the_order_of_many_values() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_cauchy(30_000)
    one, other = AdaptiveSummary(), AdaptiveSummary()
    one.add(values)
    for part in np.array_split(rng.permutation(values), 17):
        other.add(part)
    assert one.keys.tolist() == other.keys.tolist() and one.counts.tolist() == other.counts.tolist()
    assert len(one.keys) <= CAP


def test_adaptive_cells_put_ks_within_a_hundredth(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = AdaptiveSummary(), AdaptiveSummary()
    a.add(pair[0])
    b.add(pair[1])
    assert kolmogorov_smirnov(NumericPair(a, b)) == pytest.approx(stats.ks_2samp(*pair).statistic, abs=0.01)


@given(values=st.lists(st.floats(allow_nan=False), min_size=1))
def test_keys_keep_the_order_of_floats_and_lead_back(values: list[float]) -> None:
    array = np.array(values)
    keys = to_keys(array)
    assert np.array_equal(from_keys(keys), array + 0.0)
    assert np.array_equal(np.argsort(keys, kind="stable"), np.argsort(array + 0.0, kind="stable"))


@pytest.mark.parametrize("kind", ["grid", "adaptive"])
def test_bytes_lead_back(kind: str) -> None:
    values = np.random.default_rng(1).normal(size=500)
    edges = make_grid(values)
    summary = GridSummary.empty(edges) if kind == "grid" else AdaptiveSummary()
    summary.add(values)
    data = summary.to_bytes()
    again = GridSummary.from_bytes(data, edges) if kind == "grid" else AdaptiveSummary.from_bytes(data)
    assert again.to_bytes() == data
    with pytest.raises(ValueError):
        _ = GridSummary.from_bytes(data[:-1], edges) if kind == "grid" else AdaptiveSummary.from_bytes(data[:-1])
